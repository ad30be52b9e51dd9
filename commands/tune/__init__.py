"""`thorax tune`: search for a recipe; what is found can be used as a preset."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import print_json, progress

if TYPE_CHECKING:
    from thorax.settings import Settings


def tune(
    architecture: Annotated[str | None, typer.Option(help="[default: the first of train.architectures]")] = None,
    trials: Annotated[int, typer.Option(min=0, help="Trials to run now; 0 runs what is left of tune.trials.")] = 0,
    timeout: Annotated[float | None, typer.Option(min=1, help="Seconds after which no new trial starts.")] = None,
    study: Annotated[str, typer.Option(help="Name of the study; the same name resumes it.")] = "study",
    preset: Annotated[str | None, typer.Option(help="Settings common to all trials: a file under presets/.")] = None,
    save: Annotated[str | None, typer.Option(metavar="NAME", help="Save the best trial as presets/NAME.yaml.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search the settings of `train` for the highest validation AUROC. Ctrl-C keeps finished trials."""
    from commands.tune.report import result_of, show, write_override
    from thorax.settings import load

    settings = load(overrides=set_ or (), preset=preset)
    name = architecture or settings.train.architectures[0]
    found, interrupted = run(settings, name, study, trials, timeout)
    place = settings.var / "tune" / f"{study}.yaml"
    if save is not None:
        place = settings.home / "presets" / f"{save}.yaml"
    result = result_of(found, name, study)
    if result["best"]:
        write_override(place, name, study, result["best"][0])
        result["override"] = str(place)
    if json:
        print_json(result)
    else:
        show(result, save)
    if interrupted:
        raise KeyboardInterrupt


def run(settings: "Settings", architecture: str, name: str, trials: int, timeout: float | None) -> tuple[Any, bool]:
    """Run trials; return the study, and whether it was interrupted.

    Raises:
        InputError: the study is of other settings, or another process runs it.
    """
    from filelock import FileLock, Timeout

    from commands.stores import built_store
    from commands.tune.runs import Runs
    from thorax.errors import InputError
    from thorax.models import specification
    from thorax.preprocessing.store import ImageStore
    from thorax.training import search

    specification(architecture)
    folder, info = built_store(settings)
    recipe = settings.train.of(architecture)
    leave = {"architectures", "overrides", "device", "threads", "processes"}
    basis = {
        "architecture": architecture,
        "store": info["key"],
        "train": recipe.model_dump(mode="json", exclude=leave),
        "space": settings.tune.model_dump(mode="json")["space"],
    }
    file = settings.var / "tune" / f"{name}.db"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file.with_suffix(".lock"), timeout=0):
            study = search.open_study(file, basis, settings.tune, recipe.seed)
            done = sum(search.counts(study)[kind] for kind in ("complete", "pruned"))
            left = trials or max(0, settings.tune.trials - done)
            runs = Runs(settings, architecture, name, study)
            try:
                with progress(f"Trials of {architecture}", left) as advance:

                    def tell(told: search.Told) -> None:
                        runs.take(told)
                        if told.event == "end" and told.state != "interrupted":
                            advance()

                    if left:
                        search.search(
                            study,
                            ImageStore.open(folder),
                            architecture,
                            recipe,
                            settings.tune,
                            settings.var / "tune" / f"{name}-running",
                            trials=left,
                            timeout=timeout,
                            tell=tell,
                            pretrained_dir=settings.var / "pretrained",
                        )
            except KeyboardInterrupt:
                runs.close("KILLED")
                return study, True
            runs.close("FINISHED")
            return study, False
    except Timeout as error:
        raise InputError(f"Another process runs the study {file}.", "Wait for it, or name another: --study.") from error
