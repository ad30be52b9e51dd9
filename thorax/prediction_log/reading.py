"""Read the log as tables: what monitoring, exports and people look at."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax.prediction_log import archive as archives
from thorax.prediction_log.places import Place, is_address, open_store
from thorax.prediction_log.record import COMPARED, FAILURES, FEEDBACK, IDENTITY, SHADOW, one_answer, stamp

if TYPE_CHECKING:
    import pandas as pd

_REALS = ("p_", "u_", "heat_", "e_", "shadow_p")


def read_log(
    place: Place, since: datetime | None = None, until: datetime | None = None, archive: Path | None = None
) -> "pd.DataFrame":
    """Read predictions in the order of their time as a DataFrame; `time` is a UTC timestamp.

    Args:
        place: the log's file, or PostgreSQL's address.
        since: the first moment, included; UTC where it has no zone.
        until: the last moment, left out.
        archive: the folder of rows that were moved to Parquet files; beside the log's file where it is not given.

    Raises:
        InputError: there is no log, or the file is not one.
        LogError: PostgreSQL does not answer.
    """
    return _read(place, "predictions", since, until, archive)


def read_feedback(
    place: Place, since: datetime | None = None, until: datetime | None = None, archive: Path | None = None
) -> "pd.DataFrame":
    """Read what readers said: request_id, time, role, finding, present (1 or 0); of a role, the last one counts.

    Raises:
        InputError: there is no log, or the file is not one.
        LogError: PostgreSQL does not answer.
    """
    return _read(place, "feedback", since, until, archive)


def read_shadow(
    place: Place, since: datetime | None = None, until: datetime | None = None, archive: Path | None = None
) -> "pd.DataFrame":
    """Read what a shadow made of the same images: a row a request and finding, with both probabilities and decisions.

    Raises:
        InputError: there is no log, or the file is not one.
        LogError: PostgreSQL does not answer.
    """
    return _read(place, "shadow", since, until, archive)


def read_failures(
    place: Place, since: datetime | None = None, until: datetime | None = None, archive: Path | None = None
) -> "pd.DataFrame":
    """Read which requests were refused or failed: request_id, time, and the HTTP status that they were answered with.

    Raises:
        InputError: there is no log, or the file is not one.
        LogError: PostgreSQL does not answer.
    """
    return _read(place, "failures", since, until, archive)


def count(place: Place) -> int:
    """Return the number of predictions in the log, without those that were moved; 0 where there is none."""
    if not is_address(place) and not Path(place).is_file():
        return 0
    store = open_store(place, read_only=True)
    try:
        return store.count()
    finally:
        store.close()


def _read(
    place: Place, table: str, since: datetime | None, until: datetime | None, archive: Path | None
) -> "pd.DataFrame":
    import pandas as pd

    store = open_store(place, read_only=True)
    try:
        bounds = [None if moment is None else stamp(moment) for moment in (since, until)]
        names, rows = store.fetch(table, *bounds)
    finally:
        store.close()
    frame = as_frame(names or list(_EMPTY[table]), rows, table)
    folder = archive if archive is not None else archives.beside(place)
    moved = archives.read(folder, table, since, until) if folder is not None else []
    if moved:
        # A move that was cut short leaves rows in both places.
        frame = pd.concat([*moved, frame], ignore_index=True)
        frame = frame.drop_duplicates("request_id" if table == "predictions" else None, keep="last")
        frame = frame.sort_values("time", kind="stable", ignore_index=True)
    return one_answer(frame) if table == "predictions" else frame


_EMPTY: dict[str, dict[str, str]] = {
    "predictions": IDENTITY | COMPARED,
    "feedback": FEEDBACK,
    "shadow": SHADOW,
    "failures": FAILURES,
}


def as_frame(names: list[str], rows: list[tuple[Any, ...]], table: str) -> "pd.DataFrame":
    """Return rows as a DataFrame whose types do not depend on which values happen to be there."""
    import pandas as pd

    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    frame = pd.DataFrame(dict(zip(names, columns, strict=True)))
    frame["time"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
    real = [
        name for name in names if COMPARED.get(name) == "REAL" or name.startswith(_REALS) or name in ("p", "took_ms")
    ]
    return frame.astype(dict.fromkeys(real, "float64"))
