"""Incidents: an alarm that goes on is one incident, told once, until it is over.

An alarm opens an incident where its version has none. Later alarms belong to it. A person acknowledges it, which says
that somebody looks after it. It closes by itself after `monitor.close_after` windows in a row without an alarm, or when
another version has taken over.
"""

import json
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any, Literal

from thorax.errors import InputError
from thorax.monitoring.history import History, stamp
from thorax.monitoring.verdict import Verdict

State = Literal["open", "acknowledged", "closed"]


@dataclass(frozen=True)
class Incident:
    """One incident.

    Attributes:
        id: 1, 2, 3, …
        version: of the model that is watched.
        state: open, acknowledged or closed.
        opened: when, ISO 8601 in UTC.
        updated: when it last changed.
        closed: when it ended; "" while it lasts.
        figures: all that alarmed in it, the first first.
        windows: ids of the windows that belong to it: those that alarmed, and the quiet ones at its end.
        who: who acknowledged it; "" for nobody.
        note: what they said, or why it was closed.
    """

    id: int
    version: str
    state: State
    opened: str
    updated: str
    closed: str
    figures: tuple[str, ...]
    windows: tuple[str, ...]
    who: str
    note: str

    @property
    def key(self) -> str:
        """A name that no other incident has, here or elsewhere."""
        return f"{self.version}-{self.id}-{self.opened}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class Followed:
    """The incident that concerns a verdict (None: there is none), and whether this verdict opened or closed it."""

    incident: Incident | None
    opened: bool = False
    closed: bool = False


class Incidents:
    """The incidents of an installation."""

    def __init__(self, history: History) -> None:
        self._history = history

    def all(self) -> list[Incident]:
        """Return every incident, the oldest first."""
        with self._history.connect() as database:
            return [_read(row) for row in database.execute("SELECT * FROM incidents ORDER BY id")]

    def current(self, version: str | None = None) -> Incident | None:
        """Return the latest incident that lasts, of a version or of any."""
        lasting = [i for i in self.all() if i.state != "closed" and version in (None, i.version)]
        return lasting[-1] if lasting else None

    def follow(self, verdict: Verdict, close_after: int) -> Followed:
        """Let a verdict open, prolong or close an incident; the same verdict again changes nothing."""
        with self._history.connect() as database:
            database.execute("BEGIN IMMEDIATE")
            # The window that opened or closed it says so again, so that a repeated run tells what was not told.
            seen = _find(database, "EXISTS (SELECT 1 FROM json_each(windows) WHERE value = ?)", [verdict.id])
            if seen is not None:
                last = seen.windows[-1] == verdict.id
                return Followed(seen, opened=seen.windows[0] == verdict.id, closed=last and seen.state == "closed")
            incident = _find(database, "version = ? AND state != 'closed'", [verdict.window.version])
            if verdict.status == "alarm":
                return _alarmed(database, incident, verdict)
            if incident is None or verdict.status == "too_few":
                return Followed(incident)
            return _calmer(database, incident, verdict, close_after)

    def acknowledge(self, number: int | None, who: str, note: str = "") -> Incident:
        """Note that a person looks after an incident; without a number, after the latest that lasts.

        Raises:
            InputError: there is none such, or it is over.
        """
        wanted = number if number is not None else getattr(self.current(), "id", None)
        found = next((item for item in self.all() if item.id == wanted), None)
        if found is None:
            known = ", ".join(str(item.id) for item in self.all() if item.state != "closed")
            raise InputError(
                f"There is no incident {number}." if number is not None else "No incident lasts.",
                f"These last: {known}." if known else "Nothing has to be acknowledged.",
            )
        if found.state == "closed":
            raise InputError(f"Incident {found.id} was closed on {found.closed[:16]}.", "It needs no acknowledgement.")
        return self._change(found.id, state="acknowledged", who=who, note=note or found.note)

    def close_others(self, version: str) -> list[Incident]:
        """Close what lasts of every other version: another model answers now."""
        lasting = [item for item in self.all() if item.state != "closed" and item.version != version]
        why = f"version {version} answers now"
        return [self._change(item.id, state="closed", closed=stamp(), note=item.note or why) for item in lasting]

    def _change(self, number: int, **values: str) -> Incident:
        with self._history.connect() as database:
            return _update(database, number, **values)


def _alarmed(database: sqlite3.Connection, incident: Incident | None, verdict: Verdict) -> Followed:
    names = [alarm.figure for alarm in verdict.alarms]
    if incident is None:
        now = stamp()
        cursor = database.execute(
            "INSERT INTO incidents (version, state, opened, updated, closed, figures, windows, who, note) "
            "VALUES (?, 'open', ?, ?, '', ?, ?, '', '')",
            [verdict.window.version, now, now, json.dumps(names), json.dumps([verdict.id])],
        )
        return Followed(_find(database, "id = ?", [cursor.lastrowid]), opened=True)
    figures = json.dumps(list(dict.fromkeys([*incident.figures, *names])))
    windows = json.dumps([*incident.windows, verdict.id])
    return Followed(_update(database, incident.id, figures=figures, windows=windows))


def _calmer(database: sqlite3.Connection, incident: Incident, verdict: Verdict, close_after: int) -> Followed:
    windows = [*incident.windows, verdict.id]
    marks = ", ".join("?" * len(windows))
    known = dict(
        database.execute(f"SELECT id, status FROM windows WHERE id IN ({marks})", windows).fetchall()  # noqa: S608  # nosec B608
    ) | {verdict.id: verdict.status}
    calm = 0
    for window in reversed(windows):
        if known.get(window) == "alarm":
            break
        calm += 1
    if calm < close_after:
        return Followed(_update(database, incident.id, windows=json.dumps(windows)))
    note = incident.note or f"{calm} windows in a row without an alarm"
    closed = _update(database, incident.id, windows=json.dumps(windows), state="closed", closed=stamp(), note=note)
    return Followed(closed, closed=True)


def _update(database: sqlite3.Connection, number: int, **values: str) -> Incident:
    values["updated"] = stamp()
    body = ", ".join(f"{name} = ?" for name in values)
    database.execute(f"UPDATE incidents SET {body} WHERE id = ?", [*values.values(), number])  # noqa: S608  # nosec B608
    found = _find(database, "id = ?", [number])
    assert found is not None
    return found


def _find(database: sqlite3.Connection, where: str, values: list[Any]) -> Incident | None:
    row = database.execute(f"SELECT * FROM incidents WHERE {where} ORDER BY id DESC LIMIT 1", values).fetchone()  # noqa: S608  # nosec B608
    return None if row is None else _read(row)


def _read(row: sqlite3.Row) -> Incident:
    values = dict(row)
    return Incident(**values | {name: tuple(json.loads(values[name])) for name in ("figures", "windows")})
