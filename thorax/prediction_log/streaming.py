"""Read a long log in batches, only the columns that are wanted: what monitoring does with a million rows."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from thorax.errors import InputError
from thorax.prediction_log import archive as archives
from thorax.prediction_log.places import LogError, Place, is_address, listed, shown
from thorax.prediction_log.record import COMPARED, EMBEDDING, IDENTITY, one_answer, stamp

if TYPE_CHECKING:
    import pandas as pd

_REALS = ("p_", "u_", "heat_")
#: Rows of a batch.
BATCH = 20_000


@dataclass(frozen=True)
class Span:
    """The predictions of one version: how many, and the first and the last moment as the log writes them."""

    version: str
    rows: int
    first: str
    last: str


class _Source(Protocol):
    """One database."""

    def columns(self) -> list[str]: ...
    def query(self, statement: str, values: Sequence[Any], size: int) -> Iterator[list[tuple[Any, ...]]]: ...


def columns_in(place: Place) -> list[str]:
    """Return the names of the log's columns.

    Raises:
        InputError: there is no log, or the file is not one.
        LogError: PostgreSQL does not answer.
    """
    with closing(_open(place)) as source:
        return source.columns()


def survey(
    place: Place, since: datetime | None = None, until: datetime | None = None, archive: Path | None = None
) -> list[Span]:
    """Say which versions answered in a span of time, the one with the most predictions first.

    Args:
        place: the log's file, or PostgreSQL's address.
        since: the first moment, included.
        until: the last moment, left out.
        archive: the folder of rows that were moved; beside the log's file where it is not given.

    Raises:
        InputError: there is no log, or the file is not one.
        LogError: PostgreSQL does not answer.
    """
    found: dict[str, Span] = {}

    def add(version: str, rows: int, first: str, last: str) -> None:
        old = found.get(version, Span(version, 0, first, last))
        found[version] = Span(version, old.rows + rows, min(old.first, first), max(old.last, last))

    with closing(_open(place)) as source:
        clause, values = _bounds(source, since, until, None)
        body = f"SELECT model_version, count(*), min(time), max(time) FROM predictions{clause} GROUP BY model_version"  # noqa: S608  # nosec B608
        for batch in source.query(body, values, BATCH):
            for version, rows, first, last in batch:
                add(str(version), int(rows), str(first), str(last))
    for frame in _archived(place, since, until, archive):
        for version, part in frame.groupby(frame["model_version"].astype(str)):
            add(str(version), len(part), stamp(part["time"].min()), stamp(part["time"].max()))
    return sorted(found.values(), key=lambda span: -span.rows)


def stream(
    place: Place,
    columns: Sequence[str],
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    version: str | None = None,
    every: int = 1,
    archive: Path | None = None,
    size: int = BATCH,
) -> "Iterator[pd.DataFrame]":
    """Yield predictions batch by batch, with those of `columns` that the log has; not in the order of their time.

    Args:
        place: the log's file, or PostgreSQL's address.
        columns: the wanted ones; numbers come as float64, everything else as it was written.
        since: the first moment, included.
        until: the last moment, left out.
        version: only predictions of this version.
        every: only each so-manieth row, evenly over the log.
        archive: the folder of rows that were moved; beside the log's file where it is not given.
        size: rows of a batch.

    Raises:
        InputError: there is no log, or the file is not one.
        LogError: PostgreSQL does not answer.
    """
    for frame in _archived(place, since, until, archive):
        kept = frame if version is None else frame[frame["model_version"].astype(str) == version]
        yield one_answer(kept[[name for name in columns if name in kept.columns]].iloc[::every].reset_index(drop=True))
    with closing(_open(place)) as source:
        known = set(source.columns())
        wanted = [name for name in columns if name in known]
        reals = [name for name in wanted if _real(name)]
        words = [name for name in wanted if not _real(name)]
        clause, values = _bounds(source, since, until, version, every)
        body = f"SELECT {listed([*reals, *words]) or '1'} FROM predictions{clause}"  # noqa: S608  # nosec B608
        for batch in source.query(body, values, size):
            yield one_answer(_frame(reals, words, batch))


def _frame(reals: list[str], words: list[str], rows: list[tuple[Any, ...]]) -> "pd.DataFrame":
    import pandas as pd

    count = len(reals)
    numbers = np.array([row[:count] for row in rows], dtype=np.float64).reshape(len(rows), count)
    frame = pd.DataFrame(numbers, columns=reals)
    texts = {name: [row[count + at] for row in rows] for at, name in enumerate(words)}
    return pd.concat([frame, pd.DataFrame(texts, index=frame.index)], axis=1) if words else frame


def _real(name: str) -> bool:
    kind = IDENTITY.get(name) or COMPARED.get(name)
    return kind == "REAL" or name in EMBEDDING or (kind is None and name.startswith(_REALS))


def _bounds(
    source: "_Source", since: datetime | None, until: datetime | None, version: str | None, every: int = 1
) -> tuple[str, list[Any]]:
    row, mark = ("rowid", "?") if isinstance(source, _Sqlite) else ("sequence", "%s")
    percent = "%" if isinstance(source, _Sqlite) else "%%"
    parts: list[tuple[str, Any]] = []
    if since is not None:
        parts.append((f"time >= {mark}", stamp(since)))
    if until is not None:
        parts.append((f"time < {mark}", stamp(until)))
    if version is not None:
        parts.append((f"model_version = {mark}", version))
    if every > 1:
        parts.append((f"{row} {percent} {mark} = 0", every))
    clause = f" WHERE {' AND '.join(text for text, _ in parts)}" if parts else ""
    return clause, [value for _, value in parts]


def _archived(
    place: Place, since: datetime | None, until: datetime | None, archive: Path | None
) -> "Iterator[pd.DataFrame]":
    folder = archive if archive is not None else archives.beside(place)
    if folder is not None and folder.is_dir():
        yield from archives.read(folder, "predictions", since, until)


def _open(place: Place) -> "_Sqlite | _Postgres":
    return _Postgres(str(place)) if is_address(place) else _Sqlite(Path(place))


class _Sqlite:
    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(
                f"There is no prediction log at {path}.", "Start `thorax serve` and send it an image first."
            )
        self._path = path
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)

    def columns(self) -> list[str]:
        return [row[1] for batch in self.query("PRAGMA table_info(predictions)", [], BATCH) for row in batch]

    def query(self, statement: str, values: Sequence[Any], size: int) -> Iterator[list[tuple[Any, ...]]]:
        try:
            with closing(self._connection.execute(statement, list(values))) as cursor:
                while rows := cursor.fetchmany(size):
                    yield rows
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self._path} is not a prediction log: {error}.") from error

    def close(self) -> None:
        self._connection.close()


class _Postgres:
    def __init__(self, address: str) -> None:
        import psycopg

        try:
            self._connection = psycopg.connect(address, connect_timeout=5, application_name="thorax monitor")
        except psycopg.Error as error:
            raise LogError(
                f"The prediction log {shown(address)} cannot be read: {str(error).splitlines()[0]}.",
                "Start PostgreSQL, or correct serve.log_url.",
            ) from error

    def columns(self) -> list[str]:
        found = "SELECT column_name FROM information_schema.columns WHERE table_name = 'predictions'"
        return [row[0] for batch in self.query(found, [], BATCH) for row in batch]

    def query(self, statement: str, values: Sequence[Any], size: int) -> Iterator[list[tuple[Any, ...]]]:
        with self._connection.cursor(name="monitor") as cursor:  # on the server: a batch at a time crosses the wire
            cursor.execute(statement, list(values))  # type: ignore[call-overload]  # names were checked by `quoted`
            while rows := cursor.fetchmany(size):
                yield rows

    def close(self) -> None:
        self._connection.close()
