"""The Parquet files of old rows: one a table and month, or day, named by it."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from thorax.files import atomic_path
from thorax.prediction_log.places import Place, is_address

if TYPE_CHECKING:
    import pandas as pd

    from thorax.settings import Settings

Period = Literal["day", "month"]
_NAME = re.compile(r"(predictions|feedback|shadow|failures)-(\d{4}-\d{2}(?:-\d{2})?)\.parquet")
_FORMATS: dict[str, str] = {"day": "%Y-%m-%d", "month": "%Y-%m"}


def archive_of(settings: "Settings") -> Path:
    """Return where an installation keeps its old rows."""
    return settings.var / "serving" / "archive"


def beside(place: Place) -> Path | None:
    """Return the folder beside a log's file; None for a database."""
    return None if is_address(place) else Path(place).with_name("archive")


def bounds(path: Path) -> tuple[datetime, datetime] | None:
    """Return the first moment of a file's period, and the first after it; None where it is no such file."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    parts = [int(part) for part in match[2].split("-")]
    begin = datetime(parts[0], parts[1], parts[2] if len(parts) > 2 else 1, tzinfo=UTC)
    if len(parts) > 2:
        return begin, datetime.fromtimestamp(begin.timestamp() + 86_400, UTC)
    year, month = (begin.year + 1, 1) if begin.month == 12 else (begin.year, begin.month + 1)
    return begin, begin.replace(year=year, month=month)


def files(folder: Path, table: str = "*") -> list[Path]:
    """Return the files of a table in the order of their periods."""
    return sorted(path for path in folder.glob(f"{table}-*.parquet") if bounds(path))


def read(folder: Path, table: str, since: datetime | None, until: datetime | None) -> "list[pd.DataFrame]":
    """Return the old rows of a span of time, a DataFrame a file that has any."""
    import pandas as pd

    since, until = (one.replace(tzinfo=UTC) if one and one.tzinfo is None else one for one in (since, until))
    found = []
    for path in files(folder, table):
        begin, end = bounds(path) or (None, None)
        if (since and end and end <= since) or (until and begin and begin >= until):
            continue
        frame = pd.read_parquet(path)
        kept = pd.Series(True, index=frame.index)
        if since:
            kept &= frame["time"] >= since
        if until:
            kept &= frame["time"] < until
        if kept.any():
            found.append(frame[kept])
    return found


def add(folder: Path, table: str, frame: "pd.DataFrame", period: Period) -> list[Path]:
    """Move rows into the files of their periods; what a file holds already is not added again.

    Raises:
        RoomError: the disk is full; every file is as it was, or whole.
    """
    import pandas as pd

    written = []
    for name, part in frame.groupby(frame["time"].dt.strftime(_FORMATS[period]), sort=True):
        path = folder / f"{table}-{name}.parquet"
        if path.is_file():
            part = pd.concat([pd.read_parquet(path), part], ignore_index=True)
        part = part.drop_duplicates("request_id" if table == "predictions" else None, keep="last")
        with atomic_path(path) as temporary:
            part.sort_values("time", kind="stable").to_parquet(temporary, index=False, compression="zstd")
        written.append(path)
    return written


def expired(paths: Iterable[Path], before: datetime) -> list[Path]:
    """Return the files whose whole period lies before a moment."""
    return [path for path in paths if (found := bounds(path)) and found[1] <= before]
