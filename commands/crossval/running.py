"""Running the units of a cross-validation: several side by side, and beside other runs of the same study."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.console import err, progress
from commands.crossval.orders import finished


def run_units(orders: list[dict[str, Any]], workers: int) -> None:
    """Run what is not finished and no other run has, `workers` at once; what was finished before is kept."""
    waiting = [order for order in orders if not finished(order)]
    if len(waiting) < len(orders):
        err.print(f"{len(orders) - len(waiting)} of {len(orders)} units are finished already.")
    with progress("Units", len(waiting)) as advance:
        for arms in _run(_shared(waiting), workers):
            advance(arms)
    if left := sum(not finished(order) for order in waiting):
        err.print(
            f"{left} units are running in another process of this study. Run the same command again when it has ended."
        )


def _shared(orders: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Put together what one training answers, at the place of the first."""
    together: dict[str, list[dict[str, Any]]] = {}
    for order in orders:
        together.setdefault(order["training"], []).append(order)
    return list(together.values())


def _run(waiting: list[list[dict[str, Any]]], workers: int) -> Iterator[int]:
    if workers == 1:
        for orders in waiting:
            yield run_unclaimed(orders)
        return
    from concurrent.futures import as_completed

    from thorax.workers import pool_of, until_told

    with pool_of(workers, waiting[0][0]["threads"] if waiting else 1) as pool:
        for done in as_completed([pool.submit(until_told, run_unclaimed, orders) for orders in waiting]):
            yield done.result()


def run_unclaimed(orders: list[dict[str, Any]]) -> int:
    """Run a unit, unless another run of the study has it or had it meanwhile; return how many arms are told of.

    The claim is a lock on a file, which the system lets go when its holder dies.
    """
    from filelock import FileLock, Timeout

    from commands.crossval.unit import run_unit

    claim = Path(f"{orders[0]['running']}.lock")
    claim.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(claim)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return 0
    try:
        left = [order for order in orders if not finished(order)]
        if left:
            run_unit(left)
        # Whoever waits on this very file finds the unit finished.
        claim.unlink(missing_ok=True)
    finally:
        lock.release()
    return len(orders)
