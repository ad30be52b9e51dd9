"""Move old rows out of the database into Parquet files, and delete those that are older still."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from thorax.prediction_log import archive as archives
from thorax.prediction_log.places import TABLES, Place, open_store
from thorax.prediction_log.reading import as_frame
from thorax.prediction_log.record import stamp

#: Rows that are held in memory at once.
_ROWS = 50_000


@dataclass(frozen=True)
class Pruned:
    """What a pruning did, or, as a dry run, would do.

    Attributes:
        rows: predictions that left the database.
        written: Parquet files that took them.
        deleted: Parquet files that were past their time.
    """

    rows: int
    written: tuple[Path, ...] = ()
    deleted: tuple[Path, ...] = ()


def move(
    place: Place,
    before: datetime,
    folder: Path,
    period: archives.Period = "month",
    advance: Callable[[int], None] | None = None,
) -> Pruned:
    """Move predictions made before a moment, and what was said of them, into Parquet files.

    The files are whole on the disk before a row is deleted. Cut short in between, rows are in both places; reading
    counts them once, and the next move adds none twice.

    Args:
        place: the log.
        before: the first moment that stays.
        folder: of the files.
        period: of one file.
        advance: called with how many predictions are safe in files since the last call.
    """
    store = open_store(place)
    written: set[Path] = set()
    try:
        store.grow({})
        with store.moving(stamp(before)) as moving:
            for table in (*TABLES, "predictions"):
                for names, rows in moving.parts(table, _ROWS):
                    written |= set(archives.add(folder, table, as_frame(names, rows, table), period))
                    if advance is not None and table == "predictions":
                        advance(len(rows))
            return Pruned(moving.delete(), tuple(sorted(written)))
    finally:
        store.close()


def old_rows(place: Place, before: datetime) -> int:
    """Return the number of predictions made before a moment that are still in the database."""
    store = open_store(place, read_only=True)
    try:
        return store.count(stamp(before))
    finally:
        store.close()


def prune(place: Place, before: datetime) -> int:
    """Delete predictions made before a moment, and what was said of them; return how many predictions went."""
    store = open_store(place)
    try:
        store.grow({})
        with store.moving(stamp(before)) as moving:
            return moving.delete()
    finally:
        store.close()


def discard(folder: Path, keep: timedelta, now: datetime, dry_run: bool = False) -> tuple[Path, ...]:
    """Delete the files whose whole period is longer ago than `keep`; return them."""
    old = archives.expired(archives.files(folder), now - keep)
    if not dry_run:
        for path in old:
            path.unlink(missing_ok=True)
    return tuple(old)
