"""What the finished units of a cross-validation say together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from commands.crossval.orders import result_of

if TYPE_CHECKING:
    from thorax.settings import Settings


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

    units = {order["out"]: found for order in orders if (found := result_of(order)) is not None}
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
    # Arms that share a training pay for it once.
    left = {order["training"]: order["arm"] for order in orders if order["out"] not in units}
    return sum(sum(took[arm]) / len(took[arm]) if arm in took else usual for arm in left.values()) / 3600
