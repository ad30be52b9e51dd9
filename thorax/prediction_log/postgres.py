"""A log in PostgreSQL, for services on several machines. The commit is on the server's disk before an answer leaves."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from thorax.errors import RoomError
from thorax.prediction_log.places import TABLES, LogError, Rows, listed, quoted, shown

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
_TYPES = {"TEXT": "TEXT", "REAL": "DOUBLE PRECISION", "INTEGER": "BIGINT"}
_OWN = {
    "sequence": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "request_id": "TEXT NOT NULL UNIQUE",
    "time": "TEXT NOT NULL",
}
#: The advisory lock under which tables grow: two workers may start at once.
_GROWING = 0x7468_6F72
_CONNECT_SECONDS = 5


class PostgresStore:
    """A database at an address; see `places.Store`. Each thread has a connection of its own.

    A connection that broke is made anew once. An insert whose commit was in doubt is sent again, and the request's id,
    which is unique, keeps it from counting twice.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.columns: set[str] = set()
        self._own = threading.local()
        self._all: list[psycopg.Connection[Any]] = []
        self._lock = threading.Lock()

    def grow(self, columns: Mapping[str, str]) -> None:
        """Make the tables, and add the columns that are missing."""

        def work(connection: "psycopg.Connection[Any]") -> set[str]:
            with connection.transaction():
                run = connection.execute
                run("SELECT pg_advisory_xact_lock(%s)", [_GROWING])
                run(f"CREATE TABLE IF NOT EXISTS predictions ({_body(columns)})")
                present = {
                    row[0]
                    for row in run(
                        "SELECT attname FROM pg_attribute WHERE attrelid = 'predictions'::regclass "
                        "AND attnum > 0 AND NOT attisdropped"
                    )
                }
                for name, type_ in columns.items():
                    if name not in present:
                        run(f"ALTER TABLE predictions ADD COLUMN {quoted(name)} {_TYPES[type_]}")
                run("CREATE INDEX IF NOT EXISTS predictions_time ON predictions (time)")
                for table, body in TABLES.items():
                    inside = ", ".join(f"{quoted(name)} {_TYPES[type_]}" for name, type_ in body.items())
                    run(
                        f"CREATE TABLE IF NOT EXISTS {table} "
                        f"(row BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {inside})"
                    )
                    run(f"CREATE INDEX IF NOT EXISTS {table}_request ON {table} (request_id)")
            return present | set(columns)

        self.columns = self._do(work)

    def insert(self, row: Mapping[str, Any]) -> None:
        """Keep one prediction."""
        marks = ", ".join(["%s"] * len(row))
        statement = (
            f"INSERT INTO predictions ({listed(list(row))}) VALUES ({marks}) "  # noqa: S608  # nosec B608
            "ON CONFLICT (request_id) DO NOTHING"
        )
        values = list(row.values())
        self._do(lambda connection: connection.execute(statement, values))

    def insert_many(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows of a table beside it."""
        if not rows:
            return
        names = list(rows[0])
        statement = f"INSERT INTO {table} ({listed(names)}) VALUES ({', '.join(['%s'] * len(names))})"  # noqa: S608  # nosec B608

        def work(connection: "psycopg.Connection[Any]") -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(statement, [list(row.values()) for row in rows])

        self._do(work)

    def latest_feedback(self, request_id: str) -> dict[tuple[str, str], bool] | None:
        """Return what each role last said of each finding."""
        known = self._rows("SELECT 1 FROM predictions WHERE request_id = %s", [request_id])[1]
        if not known:
            return None
        said = self._rows(
            "SELECT role, finding, present FROM feedback WHERE request_id = %s ORDER BY row", [request_id]
        )
        return {(role, finding): bool(present) for role, finding, present in said[1]}

    def fetch(self, table: str, since: str | None, until: str | None) -> Rows:
        """Return column names and rows in the order of their time."""
        bounds = {"time >= %s": since, "time < %s": until}
        clauses = [clause for clause, value in bounds.items() if value is not None]
        where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
        values = [value for value in bounds.values() if value is not None]
        return self._rows(f"SELECT {_selected(table)} FROM {table}{where} ORDER BY time, {_order(table)}", values)  # noqa: S608  # nosec B608

    @contextmanager
    def moving(self, before: str) -> "Iterator[_Moving]":
        """Choose what is older than a moment, as it stands now: one snapshot, in which it is deleted too."""
        import psycopg

        with self._told():
            connection = self._connection()
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            try:
                with connection.transaction():
                    yield _Moving(connection, before)
            finally:
                connection.isolation_level = None

    def count(self, before: str | None = None) -> int:
        """Return the number of predictions; 0 where there is no table yet."""
        clause = " WHERE time < %s" if before is not None else ""
        rows = self._rows(f"SELECT count(*) FROM predictions{clause}", [before] if before is not None else [])[1]  # noqa: S608  # nosec B608
        return int(rows[0][0]) if rows else 0

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            for connection in self._all:
                with suppress(Exception):
                    connection.close()
            self._all.clear()

    def _rows(self, statement: str, values: Sequence[Any]) -> Rows:
        from psycopg.errors import UndefinedTable

        def work(connection: "psycopg.Connection[Any]") -> Rows:
            try:
                cursor = connection.execute(statement, values)
            except UndefinedTable:
                return [], []
            return [item.name for item in cursor.description or ()], cursor.fetchall()

        return self._do(work)

    def _do(self, work: "Callable[[psycopg.Connection[Any]], T]") -> T:
        """Work on this thread's connection; a broken one is made anew, once."""
        import psycopg

        with self._told():
            connection = self._connection()
            try:
                return work(connection)
            except psycopg.OperationalError:
                if not connection.broken and not connection.closed:
                    raise
            return work(self._connection())

    def _connection(self) -> "psycopg.Connection[Any]":
        import psycopg

        mine: psycopg.Connection[Any] | None = getattr(self._own, "connection", None)
        if mine is None or mine.closed or mine.broken:
            mine = psycopg.connect(
                self._address,
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS,
                application_name="thorax",
                # A server that is set to acknowledge early would break the promise of the log.
                options="-c synchronous_commit=on",
            )
            self._own.connection = mine
            with self._lock:
                self._all = [one for one in self._all if not one.closed] + [mine]
        return mine

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the driver's errors into those that a person can act on."""
        import psycopg

        try:
            yield
        except psycopg.errors.DiskFull as error:
            raise RoomError(
                f"The prediction log {shown(self._address)} cannot grow: its disk is full.",
                "Free some space; no answer leaves without being logged.",
            ) from error
        except psycopg.Error as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise LogError(
                f"The prediction log {shown(self._address)} cannot be used: {reason}.",
                "Start PostgreSQL, or correct serve.log_url; no answer leaves without being logged.",
            ) from error


class _Moving:
    """Rows that one transaction sees; what others write meanwhile is not among them."""

    def __init__(self, connection: "psycopg.Connection[Any]", before: str) -> None:
        self._connection = connection
        self._before = before

    def parts(self, table: str, size: int) -> Iterator[Rows]:
        """Yield the rows of a table."""
        with self._connection.cursor(name="parts") as cursor:
            cursor.execute(
                f"SELECT {_selected(table)} FROM {table} WHERE {_old(table)} ORDER BY {_order(table)}",  # noqa: S608  # nosec B608
                [self._before],
            )
            names = [item.name for item in cursor.description or ()]
            while rows := cursor.fetchmany(size):
                yield names, rows

    def delete(self) -> int:
        """Delete those very rows; nobody who writes waits for it."""
        gone = 0
        for table in (*TABLES, "predictions"):
            gone = self._connection.execute(f"DELETE FROM {table} WHERE {_old(table)}", [self._before]).rowcount  # noqa: S608  # nosec B608
        return gone


def _old(table: str) -> str:
    """Rows about a prediction go with it, and so do those that came when it had gone already."""
    if table == "predictions":
        return "time < %s"
    return f"NOT EXISTS (SELECT 1 FROM predictions AS p WHERE p.request_id = {table}.request_id AND p.time >= %s)"  # noqa: S608  # nosec B608


def _body(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{quoted(name)} {_OWN.get(name, _TYPES[type_])}" for name, type_ in columns.items())


def _selected(table: str) -> str:
    """The columns that both databases have."""
    return listed(list(TABLES[table])) if table in TABLES else "*"


def _order(table: str) -> str:
    return "row" if table in TABLES else "sequence"
