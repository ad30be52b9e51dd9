"""What was found so far: every judged window with its figures, the incidents, and the notices that wait to be sent.

One small SQLite file, `var/monitoring/history.db`. Every write is a transaction, and a window that is judged again
replaces itself, so that a run that was killed can be repeated.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from thorax.errors import InputError
from thorax.files import room_errors
from thorax.monitoring.verdict import Verdict, Window

_SCHEMA = """
CREATE TABLE IF NOT EXISTS windows (
    id TEXT PRIMARY KEY, version TEXT NOT NULL, since TEXT NOT NULL, until TEXT NOT NULL, rows INTEGER NOT NULL,
    status TEXT NOT NULL, made TEXT NOT NULL, page TEXT NOT NULL, verdict TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS windows_until ON windows (version, until);
CREATE TABLE IF NOT EXISTS incidents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, version TEXT NOT NULL, state TEXT NOT NULL, opened TEXT NOT NULL,
    updated TEXT NOT NULL, closed TEXT NOT NULL, figures TEXT NOT NULL, windows TEXT NOT NULL, who TEXT NOT NULL,
    note TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
    id TEXT PRIMARY KEY, channel TEXT NOT NULL, made TEXT NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL,
    sent TEXT NOT NULL, problem TEXT NOT NULL);
"""


def history_path(var: Path) -> Path:
    """Return where an installation keeps it, given `settings.var`."""
    return var / "monitoring" / "history.db"


def stamp(moment: datetime | None = None) -> str:
    """Return a moment (now, without one) as ISO 8601 in UTC, so that text order is time order."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds")


class History:
    """The file; made where it is missing. Open it, use it, and drop it: each call has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.connect() as database:
            database.executescript(_SCHEMA)

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction that is committed at the end, or rolled back.

        Raises:
            InputError: the file is no history.
            RoomError: the disk is full.
        """
        with room_errors(self.path):
            database = sqlite3.connect(self.path, timeout=30)
            database.row_factory = sqlite3.Row
            try:
                with database:
                    yield database
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                raise InputError(
                    f"{self.path} is not a monitoring history: {error}.", "Move it away; a new one is made."
                ) from error
            finally:
                database.close()

    def keep(self, verdict: Verdict, page: str = "") -> None:
        """Keep a window's verdict; the same window replaces itself."""
        window = verdict.window
        row = (window.id, window.version, window.since, window.until, window.rows, verdict.status, stamp(), page)
        with self.connect() as database:
            database.execute(
                "INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "status = excluded.status, made = excluded.made, verdict = excluded.verdict, "
                "page = CASE excluded.page WHEN '' THEN page ELSE excluded.page END",
                [*row, json.dumps(verdict.as_dict())],
            )

    def windows(self, version: str | None = None, since: str = "", last: int | None = None) -> list[dict[str, Any]]:
        """Return the judged windows, the earliest first: `made`, `page` and what `Verdict.as_dict` gives.

        Args:
            version: only those of this version.
            since: only those that end at or after this moment (ISO 8601 in UTC).
            last: only the latest so many.
        """
        query = "SELECT made, page, verdict FROM windows WHERE until >= ? AND (? IS NULL OR version = ?)"
        with self.connect() as database:
            rows = database.execute(
                f"{query} ORDER BY until DESC, made DESC LIMIT ?", [since, version, version, last or -1]
            ).fetchall()
        return [json.loads(row["verdict"]) | {"made": row["made"], "page": row["page"]} for row in reversed(rows)]

    def resume(self, version: str) -> datetime | None:
        """Return where the next window of a version begins: after the last one that had enough predictions."""
        with self.connect() as database:
            row = database.execute(
                "SELECT max(until) FROM windows WHERE version = ? AND status != 'too_few'", [version]
            ).fetchone()
        return datetime.fromisoformat(row[0]) + timedelta(milliseconds=1) if row[0] else None

    def crossed_before(self, window: Window, count: int) -> list[frozenset[str]]:
        """Return which figures were beyond their cut-off in the windows before one, the latest first.

        Only windows of the same version that ended before this one began to be judged count; overlapping windows are
        not two witnesses, so one that reaches into this window is passed over, as is one with too few predictions.
        """
        if count < 1:
            return []
        with self.connect() as database:
            rows = database.execute(
                "SELECT verdict FROM windows WHERE version = ? AND until <= ? AND id != ? AND status != 'too_few' "
                "ORDER BY until DESC LIMIT ?",
                [window.version, window.since, window.id, count],
            ).fetchall()
        return [frozenset(f["name"] for f in json.loads(row["verdict"])["figures"] if f["crossed"]) for row in rows]
