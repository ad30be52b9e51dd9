"""`thorax crossval`: what a recipe is worth on a dataset, beside references, a control and ablations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import print_json

if TYPE_CHECKING:
    from commands.crossval.arms import Arm
    from thorax.settings import Settings


def crossval(
    root: Annotated[Path | None, typer.Argument(help="The dataset's folder. [default: data.root]")] = None,
    source: Annotated[str | None, typer.Option(help="phantom, nih, chexpert or table. [default: data.source]")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Findings to learn, as in data.findings; repeatable.")] = None,
    within: Annotated[
        list[str] | None, typer.Option(help="Also report the mean over these, such as `chexpert-report`; repeatable.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="The recipe: a file under presets/.")] = None,
    architecture: Annotated[list[str] | None, typer.Option(help="Repeatable; the first is the baseline.")] = None,
    size: Annotated[int, typer.Option(min=0, help="Image side, px; 0 takes preprocess.size.")] = 0,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds, split by patient.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Number of repetitions with different seeds.")] = 3,
    references: Annotated[bool, typer.Option(help="Also train the reference models, for as many epochs.")] = True,
    control: Annotated[bool, typer.Option(help="Also train the baseline on shuffled labels.")] = True,
    technique: Annotated[
        list[str] | None, typer.Option(help="Add a technique to the baseline, or remove it; repeatable; or `all`.")
    ] = None,
    boxes: Annotated[bool, typer.Option(help="Compare heatmaps with readers' boxes on the held-out folds.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Units trained in parallel.")] = 1,
    name: Annotated[str, typer.Option(help="Name of the study; results are in var/crossval/NAME.")] = "study",
    plan: Annotated[bool, typer.Option("--plan", help="Print what is left to do, and stop.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="Also write the tables to this page.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Plot the first task's results to this PNG or SVG file.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Cross-validate by patient. The same command resumes: finished units are kept.

    Several processes, also on machines that share var/, can work on one study.
    """
    from commands.crossval.orders import unit_orders
    from commands.crossval.running import run_units
    from commands.crossval.summary import summarise
    from commands.crossval.tables import tell, write
    from thorax.settings import load

    overrides = [*([f"data.source={source}"] if source else []), *([f"preprocess.size={size}"] if size else [])]
    overrides += [f"data.root={root.absolute()}"] if root else []
    settings = load(overrides=[*overrides, *(set_ or ())], preset=preset)
    names = architecture or list(settings.train.architectures)
    settings = with_starting_weights(settings, names)
    arms = choose_arms(settings, names, references, control, technique or [])
    place = settings.var / "crossval" / name
    tasks = task or [_task_name(settings)]
    orders = [order for one in tasks for order in unit_orders(settings, one, arms, folds, seeds, boxes, workers, place)]
    if not plan:
        run_units(orders, workers)
    result = summarise(settings, orders, folds, arms[0].name, within or ())
    if markdown is not None:
        write(markdown, result)
    if plot is not None:
        from commands.crossval.drawing import draw

        draw(result, plot)
    if json:
        print_json(result)
    else:
        tell(result)


def with_starting_weights(settings: "Settings", architectures: list[str]) -> "Settings":
    """Return settings whose recipe names the very weights that these architectures start from.

    Raises:
        InputError: an unknown architecture (the nearest is named), or there are no such weights.
    """
    from thorax.models import specification
    from thorax.training import pinned

    for architecture in architectures:
        specification(architecture)
    recipe = settings.train.model_copy(update={"architectures": tuple(architectures)})
    return settings.model_copy(update={"train": pinned(recipe, settings.var / "pretrained")})


def choose_arms(
    settings: "Settings", architectures: list[str], references: bool, control: bool, techniques: list[str]
) -> "list[Arm]":
    """Return what is compared; the first arm is the base.

    Raises:
        InputError: an unknown technique; the nearest is named.
    """
    from commands.crossval import arms as known

    arms = [known.network_arm(settings, architecture) for architecture in architectures]
    base = arms[0]
    if references:
        arms += known.reference_arms(settings, base)
    if control:
        arms.append(known.control_arm(base))
    wanted = list(known.TECHNIQUES) if techniques == ["all"] else techniques
    return arms + known.technique_arms(base, wanted)


def _task_name(settings: "Settings") -> str:
    return ",".join(settings.data.findings) if not isinstance(settings.data.findings, str) else settings.data.findings
