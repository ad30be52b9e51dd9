"""A log in a SQLite file, with a write-ahead log: several workers write at once, and readers never wait for them."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from thorax.errors import InputError, RoomError
from thorax.prediction_log.places import TABLES, Rows, listed, quoted

#: Of the file's layout, in `PRAGMA user_version`. 0: rows without a sequence; 1: with one.
VERSION = 1
_OWN = {"sequence": "INTEGER PRIMARY KEY AUTOINCREMENT", "request_id": "TEXT NOT NULL UNIQUE", "time": "TEXT NOT NULL"}
#: Rows that are deleted between two chances for others to write.
_STEP = 5000


class SqliteStore:
    """One file; see `places.Store`. `synchronous=FULL` puts a row on the disk before `insert` returns."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.columns: set[str] = set()
        self._lock = threading.Lock()
        if read_only:
            if not path.is_file():
                raise InputError(
                    f"There is no prediction log at {path}.", "Start `thorax serve` and send it an image first."
                )
            self.connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30, check_same_thread=False
            )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with _room(path):
            self.connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=FULL")

    def grow(self, columns: Mapping[str, str]) -> None:
        """Make the tables, carry an older file over, and add the columns that are missing."""
        run = self.connection.execute
        with self.writing():  # two workers may start at once: the second sees the first's columns
            version = int(run("PRAGMA user_version").fetchone()[0])
            if version > VERSION:
                raise InputError(
                    f"{self.path} was written by a newer Thorax (layout {version}).", "Use that version to go on."
                )
            present = [row[1] for row in run("PRAGMA table_info(predictions)")]
            if present and "sequence" not in present:
                self._carry_over(present)
            elif not present:
                run(f"CREATE TABLE predictions ({_body(columns)})")
            present = [row[1] for row in run("PRAGMA table_info(predictions)")]
            for name, type_ in columns.items():
                if name not in present:
                    run(f"ALTER TABLE predictions ADD COLUMN {quoted(name)} {type_}")
            run("CREATE INDEX IF NOT EXISTS predictions_time ON predictions (time)")
            for table, body in TABLES.items():
                inside = ", ".join(f"{quoted(name)} {type_}" for name, type_ in body.items())
                run(f"CREATE TABLE IF NOT EXISTS {table} ({inside})")
                run(f"CREATE INDEX IF NOT EXISTS {table}_request ON {table} (request_id)")
            run(f"PRAGMA user_version = {VERSION}")
        self.columns = {*present, *columns}

    def _carry_over(self, present: Sequence[str]) -> None:
        """Give an older file's rows their sequence, in the order in which they were written."""
        run = self.connection.execute
        types = {row[1]: row[2] for row in run("PRAGMA table_info(predictions)")}
        run("DROP INDEX IF EXISTS predictions_time")
        run("ALTER TABLE predictions RENAME TO older")
        run(f"CREATE TABLE predictions ({_body({'sequence': '', **types})})")
        names = listed(present)
        run(f"INSERT INTO predictions ({names}) SELECT {names} FROM older ORDER BY rowid")  # noqa: S608  # nosec B608
        run("DROP TABLE older")

    def insert(self, row: Mapping[str, Any]) -> None:
        """Keep one prediction."""
        marks = ", ".join("?" * len(row))
        with self._lock, _room(self.path):
            self.connection.execute(
                f"INSERT INTO predictions ({listed(list(row))}) VALUES ({marks})",  # noqa: S608  # nosec B608
                list(row.values()),
            )

    def insert_many(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows of a table beside it."""
        if not rows:
            return
        names = list(rows[0])
        statement = f"INSERT INTO {table} ({listed(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608  # nosec B608
        with self.writing():
            self.connection.executemany(statement, [list(row.values()) for row in rows])

    def latest_feedback(self, request_id: str) -> dict[tuple[str, str], bool] | None:
        """Return what each role last said of each finding."""
        with self._lock:
            known = self.connection.execute("SELECT 1 FROM predictions WHERE request_id = ?", [request_id]).fetchone()
            if known is None:
                return None
            said = self.connection.execute(
                "SELECT role, finding, present FROM feedback WHERE request_id = ? ORDER BY rowid", [request_id]
            ).fetchall()
        return {(role, finding): bool(present) for role, finding, present in said}

    def fetch(self, table: str, since: str | None, until: str | None) -> Rows:
        """Return column names and rows in the order of their time."""
        bounds = {"time >= ?": since, "time < ?": until}
        clauses = [clause for clause, value in bounds.items() if value is not None]
        where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
        values = [value for value in bounds.values() if value is not None]
        try:
            with self._lock:
                cursor = self.connection.execute(
                    f"SELECT * FROM {table}{where} ORDER BY time, rowid",  # noqa: S608  # nosec B608
                    values,
                )
                return [item[0] for item in cursor.description], cursor.fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error) and table in TABLES:
                return list(TABLES[table]), []  # an older file
            raise self._no_log(error) from error
        except sqlite3.DatabaseError as error:
            raise self._no_log(error) from error

    def _no_log(self, error: Exception) -> InputError:
        return InputError(f"{self.path} is not a prediction log: {error}.")

    @contextmanager
    def moving(self, before: str) -> "Iterator[_Moving]":
        """Choose what is older than a moment, as it stands now."""
        yield _Moving(self, before)

    def count(self, before: str | None = None) -> int:
        """Return the number of predictions."""
        clause = " WHERE time < ?" if before is not None else ""
        with self._lock:
            try:
                found = self.connection.execute(
                    f"SELECT count(*) FROM predictions{clause}",  # noqa: S608  # nosec B608
                    [before] if before is not None else [],
                ).fetchone()
            except sqlite3.DatabaseError as error:
                raise self._no_log(error) from error
        return int(found[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.connection.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the block as one transaction."""
        with self._lock, _room(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # a full disk has ended it already
                    self.connection.execute("ROLLBACK")
                raise


class _Moving:
    """Rows up to the last of each table when it was made; the only writer at a time numbers them in their order."""

    def __init__(self, store: SqliteStore, before: str) -> None:
        self._store = store
        run = store.connection.execute
        last = {
            table: run(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()[0]  # noqa: S608  # nosec B608
            for table in ("predictions", *TABLES)
        }
        self._chosen: dict[str, tuple[str, list[Any]]] = {
            # Rows about a prediction go with it, and so do those that came when it had gone already.
            table: (
                f"rowid <= ? AND NOT EXISTS (SELECT 1 FROM predictions AS p WHERE p.request_id = {table}.request_id "  # noqa: S608  # nosec B608
                "AND NOT (p.time < ? AND p.sequence <= ?))",
                [last[table], before, last["predictions"]],
            )
            for table in TABLES
        }
        self._chosen["predictions"] = ("time < ? AND sequence <= ?", [before, last["predictions"]])

    def parts(self, table: str, size: int) -> Iterator[Rows]:
        """Yield the rows of a table."""
        clause, values = self._chosen[table]
        with closing(
            self._store.connection.execute(f"SELECT * FROM {table} WHERE {clause} ORDER BY rowid", values)  # noqa: S608  # nosec B608
        ) as cursor:
            names = [item[0] for item in cursor.description]
            while rows := cursor.fetchmany(size):
                yield names, rows

    def delete(self) -> int:
        """Delete those very rows, in small steps between which others write."""
        return [self._delete(table) for table in (*TABLES, "predictions")][-1]

    def _delete(self, table: str) -> int:
        clause, values = self._chosen[table]
        gone, step = 0, _STEP
        while step == _STEP:
            with self._store.writing():
                step = self._store.connection.execute(
                    f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {clause} LIMIT {_STEP})",  # noqa: S608  # nosec B608
                    values,
                ).rowcount
            gone += step
        return gone


def _body(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{quoted(name)} {_OWN.get(name, type_)}" for name, type_ in columns.items())


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """Turn SQLite's "database or disk is full" into a RoomError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if any(word in str(error) for word in ("disk is full", "disk I/O error")):
            raise RoomError(
                f"The prediction log {path} cannot grow: its disk is full.",
                "Free some space; no answer leaves without being logged.",
            ) from error
        raise
