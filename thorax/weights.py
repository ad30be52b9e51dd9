"""Which weights a run's recipe starts from, told so that other weights make another training."""

from thorax.settings import Settings

_REGISTRY = "registry:"


def moving(settings: Settings) -> bool:
    """Say whether the weights may become others while the settings stay: an alias, or those made on phantoms."""
    kind, _, which = settings.train.pretrained.partition(":")
    return (kind == "phantom" and not which) or (kind == "registry" and not which.isdigit())


def pinned(settings: Settings) -> Settings:
    """Say which version an alias of `train.pretrained` stands for, and which weights "phantom" does.

    Training starts anew when the alias moves, or the weights are made again; that they lack is said before any work.

    Raises:
        InputError: there are no weights made on phantoms.
        RegistryError: there is no such version, or the registry cannot be reached.
    """
    if not moving(settings):
        return settings
    if settings.train.pretrained == "phantom":
        from thorax.training import pinned as with_phantoms

        return settings.model_copy(update={"train": with_phantoms(settings.train, settings.var / "pretrained")})
    from thorax.registry.versions import resolve

    which = settings.train.pretrained.removeprefix(_REGISTRY)
    start = f"{_REGISTRY}{resolve(settings, which).version}"
    return settings.model_copy(update={"train": settings.train.model_copy(update={"pretrained": start})})
