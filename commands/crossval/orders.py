"""The units of a cross-validation: what each is to do, where its result lies, and whether it is there."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.stores import built_store

if TYPE_CHECKING:
    from commands.crossval.arms import Arm
    from thorax.settings import Settings


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


def finished(order: dict[str, Any]) -> bool:
    """Whether the unit's file is there and is of this very order."""
    return result_of(order) is not None


def result_of(order: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the unit of this very order found; None where it is not finished."""
    from thorax.errors import InputError
    from thorax.files import read_json

    try:
        found: dict[str, Any] = read_json(order["out"])
    except InputError:
        return None
    return found if found.get("key") == order["key"] else None


def _recipe(arm: "Arm", asked: bool = True) -> dict[str, Any] | None:
    """Return an arm's recipe; without how its network is asked, on which its weights do not depend."""
    if arm.recipe is None:
        return None
    leave = {"architectures", "overrides", "seed", "threads", "processes"} | (set() if asked else {"tta_views"})
    return arm.recipe.model_dump(mode="json", exclude=leave)
