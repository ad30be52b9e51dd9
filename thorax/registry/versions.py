"""What the registry holds: versions of the model, their aliases, their lineage and the verdicts of their gates."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from thorax.errors import RegistryError
from thorax.registry.gates import Gate
from thorax.registry.tracking import client, speaking
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
STATE, FORCED, APPROVED = "thorax.state", "thorax.forced", "thorax.approved"
#: Which champion ("" for none) the stored verdict of the gate against it was judged by.
AGAINST = "thorax.judged.against"
VALIDATION = "thorax.validation"
#: On a run whose bundle was a registered version before.
UNCHANGED = "thorax.unchanged"
BUNDLE_DIGEST, BUNDLE_PATH = "thorax.bundle.digest", "thorax.bundle.path"
#: What two bundles of the same model have in common; see `thorax.bundle.verify.content`.
BUNDLE_CONTENT = "thorax.bundle.content"
GATE, LINEAGE, METRIC, FACT = "thorax.gate.", "thorax.lineage.", "thorax.metric.", "thorax.model."


@dataclass(frozen=True)
class Version:
    """One version of the registered model.

    `state` is one of registered, challenger, champion, retired, rejected; `bundle_digest` is the SHA-256 of the
    bundle's `bundle.json`, which itself holds the digest of every other file.
    """

    name: str
    version: str
    created: datetime
    aliases: tuple[str, ...]
    run_id: str
    tags: Mapping[str, str]

    @property
    def state(self) -> str:
        """Where the version stands."""
        return self.tags.get(STATE, "registered")

    @property
    def bundle_digest(self) -> str:
        """SHA-256 of the bundle's `bundle.json`."""
        return self.tags.get(BUNDLE_DIGEST, "")

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates as they were judged when the version was registered."""
        return tuple(Gate(**json.loads(value)) for key, value in sorted(self.tags.items()) if key.startswith(GATE))

    @property
    def passed(self) -> bool:
        """Whether every gate passed; a version without gates did not."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)

    @property
    def forced(self) -> str:
        """Why it was promoted although a gate did not pass; "" where it was not."""
        return self.tags.get(FORCED, "")

    @property
    def approvals(self) -> tuple[dict[str, str], ...]:
        """Who approved it, the first first: `who`, `time` and `reason` each."""
        return tuple(json.loads(self.tags.get(APPROVED) or "[]"))

    @property
    def servable(self) -> bool:
        """Whether it may answer for patients: every gate passed, or a person took the responsibility with a reason."""
        return self.passed or bool(self.forced)

    @property
    def lineage(self) -> dict[str, str]:
        """Where the version comes from, by name."""
        return _below(self.tags, LINEAGE)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures that stand on the version itself."""
        return {key: float(value) for key, value in _below(self.tags, METRIC).items()}

    @property
    def facts(self) -> dict[str, str]:
        """Architecture, findings, whether it was trained on phantoms, and the like."""
        return _below(self.tags, FACT)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for a machine."""
        return {
            "name": self.name,
            "version": self.version,
            "created": self.created.isoformat(timespec="seconds"),
            "aliases": list(self.aliases),
            "state": self.state,
            "passed": self.passed,
            "forced": self.forced,
            "approvals": list(self.approvals),
            "run_id": self.run_id,
            "bundle_digest": self.bundle_digest,
            "facts": self.facts,
            "metrics": self.metrics,
            "gates": [asdict(gate) for gate in self.gates],
            "lineage": self.lineage,
        }


def _below(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in sorted(tags.items()) if key.startswith(prefix)}


def aliases(settings: Settings, connection: "MlflowClient | None" = None) -> dict[str, str]:
    """Return `{alias: version}`; empty where no model is registered yet.

    Raises:
        RegistryError: the registry cannot be reached.
    """
    from mlflow.exceptions import MlflowException

    connection = connection or client(settings)
    with speaking(settings):
        try:
            model = connection.get_registered_model(settings.registry.name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
    return {alias: str(version) for alias, version in model.aliases.items()}


def list_versions(settings: Settings) -> list[Version]:
    """Return every version, the newest first.

    Raises:
        RegistryError: the registry cannot be reached.
    """
    connection = client(settings)
    named = aliases(settings, connection)
    found: list[Version] = []
    token: str | None = None
    with speaking(settings):
        while True:
            page = connection.search_model_versions(
                f"name = '{settings.registry.name}'", max_results=200, page_token=token
            )
            found += [_version(item, named) for item in page]
            token = page.token
            if not token:
                break
    return sorted(found, key=lambda item: int(item.version), reverse=True)


def resolve(settings: Settings, which: str = CHAMPION, connection: "MlflowClient | None" = None) -> Version:
    """Return the version that a number or an alias stands for.

    Raises:
        RegistryError: there is none, or the registry cannot be reached.
    """
    from mlflow.exceptions import MlflowException

    connection = connection or client(settings)
    named = aliases(settings, connection)
    number = which.removeprefix("v") if which.removeprefix("v").isdigit() else named.get(which)
    if number is None:
        known = ", ".join(f"{alias} (version {version})" for alias, version in sorted(named.items()))
        raise RegistryError(
            f"{settings.registry.name} has no {which!r}.",
            f"Known: {known}." if known else "Train a model first: thorax pipeline run.",
        )
    with speaking(settings):
        try:
            item = connection.get_model_version(settings.registry.name, number)
        except MlflowException as error:
            if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise
            known = ", ".join(version.version for version in reversed(list_versions(settings)))
            what = f"{which!r} points to version {number}, which is gone" if which in named else f"no version {number}"
            raise RegistryError(
                f"{settings.registry.name}: {what}.",
                f"Known versions: {known}." if known else "Train a model first: thorax pipeline run.",
            ) from error
    return _version(item, named)


def exists(settings: Settings, number: str, connection: "MlflowClient") -> bool:
    """Say whether the registry still holds a version."""
    from mlflow.exceptions import MlflowException

    with speaking(settings):
        try:
            connection.get_model_version(settings.registry.name, number)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
    return True


def _version(item: Any, named: Mapping[str, str]) -> Version:
    number = str(item.version)
    return Version(
        name=item.name,
        version=number,
        created=datetime.fromtimestamp(item.creation_timestamp / 1000, UTC),
        aliases=tuple(sorted(alias for alias, version in named.items() if version == number)),
        run_id=item.run_id or "",
        tags=dict(item.tags),
    )
