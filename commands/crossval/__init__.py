"""`thorax crossval`: what a recipe is worth on a dataset, beside references, a control and ablations."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, print_json, progress
from commands.stores import built_store

if TYPE_CHECKING:
    from commands.crossval.arms import Arm
    from thorax.settings import Settings


def crossval(
    root: Annotated[Path | None, typer.Argument(help="The dataset's folder. [default: data.root]")] = None,
    source: Annotated[str | None, typer.Option(help="phantom, nih, chexpert or table. [default: data.source]")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Findings to learn, as data.findings; repeatable.")] = None,
    within: Annotated[
        list[str] | None, typer.Option(help="Also the mean over some of the findings: `chexpert-report`; repeatable.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="The recipe: a file under presets/.")] = None,
    architecture: Annotated[list[str] | None, typer.Option(help="Repeatable; the first is the base.")] = None,
    size: Annotated[int, typer.Option(min=0, help="Image side, px; 0 takes preprocess.size.")] = 0,
    folds: Annotated[int, typer.Option(min=2, help="By patient.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="How often everything is repeated.")] = 3,
    references: Annotated[bool, typer.Option(help="Train the references at the same budget.")] = True,
    control: Annotated[bool, typer.Option(help="Train the base on shuffled labels.")] = True,
    technique: Annotated[
        list[str] | None, typer.Option(help="Try the base with, or without, a technique; repeatable; or `all`.")
    ] = None,
    boxes: Annotated[bool, typer.Option(help="Compare maps with readers' boxes on the held-out folds.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Units trained side by side.")] = 1,
    name: Annotated[str, typer.Option(help="Of the study: results are kept in var/crossval/NAME.")] = "study",
    plan: Annotated[bool, typer.Option("--plan", help="Only say what there is to do; train nothing.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="Keep the tables on this page too.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the first task's arms: a PNG or SVG file.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Cross-validate by patient; what is finished is kept, and the same command goes on from there."""
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


def unit_orders(
    settings: "Settings",
    task: str,
    arms: "list[Arm]",
    folds: int,
    seeds: int,
    boxes: bool,
    workers: int,
    place: Path,
) -> list[dict[str, Any]]:
    """Build the store of a task and return an order a unit: seeds outermost, so that early results say something."""
    from thorax.files import digest_json

    store, info = built_store(settings, task)
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    orders = []
    for seed in range(seeds):
        for fold in range(folds):
            for arm in arms:
                basis = {
                    "task": task,
                    "kind": arm.kind,
                    "architecture": arm.architecture,
                    "recipe": _recipe(arm),
                    "shuffled": arm.shuffled,
                    "seed": settings.train.seed + seed,
                    "fold": fold,
                    "folds": folds,
                    "fold_seed": settings.split.seed,
                    "boxes": boxes and arm.kind == "network" and not arm.shuffled,
                }
                key = digest_json({**basis, "store": info["key"]})[:24]
                training = digest_json({**basis, "recipe": _recipe(arm, asked=False), "store": info["key"]})[:24]
                slug = "".join(c if c.isalnum() else "-" for c in f"{task}-{arm.name}".lower())
                file = place / slug / f"seed-{seed}-fold-{fold}.json"
                running = place / "running" / training
                where = {
                    "key": key,
                    "training": training,
                    "out": str(file),
                    "running": str(running),
                    "store": str(store),
                    "pretrained": str(settings.var / "pretrained"),
                }
                orders.append({**basis, **where, "arm": arm.name, "threads": threads})
    return orders


def run_units(orders: list[dict[str, Any]], workers: int) -> None:
    """Run what is not finished, `workers` at once; what was finished before an interruption is kept."""
    waiting = [order for order in orders if not finished(order)]
    if len(waiting) < len(orders):
        err.print(f"{len(orders) - len(waiting)} of {len(orders)} units are finished already.")
    with progress("Units", len(waiting)) as advance:
        for arms in _run(_shared(waiting), workers):
            advance(arms)


def _shared(orders: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Put together what one training answers, at the place of the first."""
    together: dict[str, list[dict[str, Any]]] = {}
    for order in orders:
        together.setdefault(order["training"], []).append(order)
    return list(together.values())


def _run(waiting: list[list[dict[str, Any]]], workers: int) -> Iterator[int]:
    from commands.crossval.unit import run_unit

    if workers == 1:
        for orders in waiting:
            yield run_unit(orders)
        return
    from concurrent.futures import as_completed

    from thorax.workers import pool_of, until_told

    with pool_of(workers, waiting[0][0]["threads"] if waiting else 1) as pool:
        for done in as_completed([pool.submit(until_told, run_unit, orders) for orders in waiting]):
            yield done.result()


def finished(order: dict[str, Any]) -> bool:
    """Whether the unit's file is there and is of this very order."""
    return _result(order) is not None


def _result(order: dict[str, Any]) -> dict[str, Any] | None:
    from thorax.errors import InputError
    from thorax.files import read_json

    try:
        found: dict[str, Any] = read_json(order["out"])
    except InputError:
        return None
    return found if found.get("key") == order["key"] else None


def summarise(
    settings: "Settings", orders: list[dict[str, Any]], folds: int, base: str, within: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what the finished units say.

    Returns:
        A JSON-able dict: base, folds, units, finished, hours_left (None before any unit), and a task: images, patients,
        `arms` (`pool.figures`), `within` (the same over each set of findings that is wholly the task's) and `boxes`
        (`pool.located`).
    """
    from commands.crossval.pool import figures, located, narrowed, pool
    from thorax.findings import resolve

    units = {order["out"]: found for order in orders if (found := _result(order)) is not None}
    done = [order for order in orders if order["out"] in units]
    result: dict[str, Any] = {
        "base": base,
        "folds": folds,
        "units": len(orders),
        "finished": len(done),
        "hours_left": _hours_left(orders, units),
        "tasks": {},
    }
    drawing = (settings.evaluation.bootstrap, settings.evaluation.seed, settings.evaluation.confidence)
    for task in dict.fromkeys(order["task"] for order in orders):
        by_arm = {
            arm: pool([units[o["out"]] for o in done if o["task"] == task and o["arm"] == arm], folds)
            for arm in dict.fromkeys(order["arm"] for order in orders)
        }
        pools = {arm: found for arm, found in by_arm.items() if found is not None}
        if pools:
            first = next(iter(pools.values()))
            result["tasks"][task] = {
                "images": len(first.patients),
                "patients": len(set(first.patients)),
                "arms": figures(pools, base, *drawing),
                "within": {
                    name: figures({arm: narrowed(one, some) for arm, one in pools.items()}, base, *drawing)
                    for name in within
                    if set(some := resolve(name)) < set(first.findings)
                },
                "boxes": located(pools, *drawing),
            }
    return result


def _hours_left(orders: list[dict[str, Any]], units: dict[str, dict[str, Any]]) -> float | None:
    """Return the hours of work in what is not finished, by what finished units of the same arm took."""
    took: dict[str, list[float]] = {}
    for order in orders:
        if order["out"] in units:
            took.setdefault(order["arm"], []).append(units[order["out"]]["seconds"])
    if not took:
        return None
    usual = sum(map(sum, took.values())) / sum(map(len, took.values()))
    left = [order["arm"] for order in orders if order["out"] not in units]
    return sum(sum(took[arm]) / len(took[arm]) if arm in took else usual for arm in left) / 3600


def _recipe(arm: "Arm", asked: bool = True) -> dict[str, Any] | None:
    """Return an arm's recipe; without how its network is asked, on which its weights do not depend."""
    if arm.recipe is None:
        return None
    leave = {"architectures", "overrides", "seed", "threads", "processes"} | (set() if asked else {"tta_views"})
    return arm.recipe.model_dump(mode="json", exclude=leave)


def _task_name(settings: "Settings") -> str:
    return ",".join(settings.data.findings) if not isinstance(settings.data.findings, str) else settings.data.findings
