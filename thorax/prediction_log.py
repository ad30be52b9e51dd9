"""The prediction log: every answer, durable before it leaves, without anything that names a person.

A record holds what the columns below allow and nothing else: an allow-list, so that a field which is added elsewhere
never slips in. The image appears only as a salted digest, which tells repeats apart within one installation and
cannot be looked up outside it.
"""

import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax.errors import InputError, RoomError
from thorax.prediction import FindingAnswer, ImageReport, Novelty, Prediction

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = ("brightness", "contrast", "sharpness", "noise", "border", "entropy")
_TEXT, _REAL, _WHOLE = "TEXT", "REAL", "INTEGER"
#: What says who answered and when.
IDENTITY = {"request_id": "TEXT PRIMARY KEY", "time": "TEXT NOT NULL", "model_version": _TEXT, "image_digest": _TEXT}
#: What monitoring compares with the bundle's reference, before the columns of each finding.
COMPARED = dict.fromkeys(STATISTICS, _REAL) | {
    "view": _TEXT,
    "age": _REAL,
    "sex": _TEXT,
    "ood_score": _REAL,
    "ood": _WHOLE,
}
#: Columns of one finding: probability, decision, conformal answer, uncertainty, and where the heatmap looked.
OF_FINDING = {
    "p": _REAL,
    "d": _WHOLE,
    "c": _TEXT,
    "u": _REAL,
    "heat_x": _REAL,
    "heat_y": _REAL,
    "heat_spread": _REAL,
}
#: Ages above this are kept as this: the very old are few enough to be told apart (45 CFR 164.514(b)(2)(i)(C)).
OLDEST = 90.0


def log_path(var: Path) -> Path:
    """Return where an installation keeps its log, given `settings.var`."""
    return var / "serving" / "predictions.db"


def columns_of(findings: Iterable[str]) -> dict[str, str]:
    """Return `{column: SQLite type}` of everything that monitoring compares."""
    return COMPARED | {f"{kind}_{finding}": type_ for finding in findings for kind, type_ in OF_FINDING.items()}


def flatten(image: ImageReport, answers: Sequence[FindingAnswer], novelty: Novelty) -> dict[str, Any]:
    """Return what monitoring compares as one flat row; the log and the bundle's reference are made of the same."""
    row: dict[str, Any] = {name: image.statistics.get(name) for name in STATISTICS}
    row |= {"view": image.view or "unknown", "age": _coarse(image.age), "sex": image.sex or "unknown"}
    row |= {"ood_score": novelty.score, "ood": int(novelty.out)}
    for answer in answers:
        heat = answer.heat
        values = (
            answer.probability,
            int(answer.decision),
            answer.conformal,
            answer.uncertainty,
            heat.x if heat else None,
            heat.y if heat else None,
            heat.spread if heat else None,
        )
        row |= {f"{kind}_{answer.finding}": value for kind, value in zip(OF_FINDING, values, strict=True)}
    return row


def _coarse(age: float | None) -> float | None:
    return None if age is None or age != age else float(min(round(age), OLDEST))


def read_salt(path: Path) -> bytes:
    """Return this installation's salt, made once and readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(32))
        try:
            path.hardlink_to(temporary)  # fails where another process was first; its salt stays
        finally:
            temporary.unlink()
    return path.read_bytes()


class PredictionLog:
    """A writer of the log; one a process, used from any thread.

    Args:
        path: the SQLite file; made where it is missing, together with a `salt` file beside it.
        findings: to make columns for; those of later models are added when they first answer.

    SQLite's write-ahead log with `synchronous=FULL` lets several workers write at once, and a row is on the disk
    when `write` returns.
    """

    def __init__(self, path: Path | str, findings: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._salt = read_salt(self.path.with_name("salt"))
        self._lock = threading.Lock()
        with _Room(self.path):
            self._connection = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._migrate(findings)

    def _migrate(self, findings: Sequence[str]) -> None:
        known = IDENTITY | columns_of(findings)
        body = ", ".join(f'"{name}" {type_}' for name, type_ in known.items())
        run = self._connection.execute
        run("BEGIN IMMEDIATE")  # two workers may start at once: the second sees the first's columns
        try:
            run(f"CREATE TABLE IF NOT EXISTS predictions ({body})")
            present = {row[1] for row in run("PRAGMA table_info(predictions)")}
            for name, type_ in known.items():
                if name not in present:
                    run(f'ALTER TABLE predictions ADD COLUMN "{name}" {type_}')
            run("CREATE INDEX IF NOT EXISTS predictions_time ON predictions (time)")
            run(
                "CREATE TABLE IF NOT EXISTS feedback (request_id TEXT NOT NULL, time TEXT NOT NULL, role TEXT, "
                "finding TEXT NOT NULL, present INTEGER NOT NULL)"
            )
            run("CREATE INDEX IF NOT EXISTS feedback_request ON feedback (request_id)")
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise
        self._columns = present | set(known)

    def digest(self, data: bytes) -> str:
        """Return the salted SHA-256 (HMAC, hex) of an image file's bytes."""
        return hmac.new(self._salt, data, hashlib.sha256).hexdigest()

    def write(self, prediction: Prediction, image_digest: str) -> None:
        """Keep one answer; it is on the disk when this returns.

        Raises:
            RoomError: the disk is full; the answer must not leave.
        """
        row = {
            "request_id": prediction.request_id,
            "time": _stamp(prediction.time),
            "model_version": prediction.model.version,
            "image_digest": image_digest,
        } | flatten(prediction.image, prediction.findings, prediction.novelty)
        marks = ", ".join("?" * len(row))
        quoted = ", ".join(f'"{name}"' for name in row)
        with self._lock, _Room(self.path):
            if not row.keys() <= self._columns:  # a model with findings that the log has not seen
                self._migrate([answer.finding for answer in prediction.findings])
            self._connection.execute(
                f"INSERT INTO predictions ({quoted}) VALUES ({marks})",  # noqa: S608  # nosec B608
                list(row.values()),
            )

    def write_feedback(self, request_id: str, findings: Mapping[str, bool], role: str | None, time: datetime) -> None:
        """Keep what a reader says of an earlier answer.

        Raises:
            InputError: there is no such answer.
            RoomError: the disk is full.
        """
        rows = [(request_id, _stamp(time), role, name, int(present)) for name, present in findings.items()]
        with self._lock, _Room(self.path):
            known = self._connection.execute("SELECT 1 FROM predictions WHERE request_id = ?", [request_id]).fetchone()
            if known is None:
                raise InputError(
                    f"There is no prediction {request_id!r} in the log.", "Use the request_id of an answer."
                )
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT INTO feedback VALUES (?, ?, ?, ?, ?)", rows)
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def read_log(path: Path | str, since: datetime | None = None, until: datetime | None = None) -> "pd.DataFrame":
    """Read predictions in the order of their time as a DataFrame; `time` is a UTC timestamp.

    Args:
        path: the log's file.
        since: the first moment, included; UTC where it has no zone.
        until: the last moment, left out.

    Raises:
        InputError: there is no log, or the file is not one.
    """
    import pandas as pd

    frame = _read(path, "predictions", since, until)
    frame["time"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
    return frame


def read_feedback(path: Path | str, since: datetime | None = None, until: datetime | None = None) -> "pd.DataFrame":
    """Read what readers said: request_id, time, role, finding, present (1 or 0).

    Raises:
        InputError: there is no log, or the file is not one.
    """
    import pandas as pd

    frame = _read(path, "feedback", since, until)
    frame["time"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
    return frame


def count(path: Path | str) -> int:
    """Return the number of predictions in the log; 0 where there is none."""
    if not Path(path).is_file():
        return 0
    with _open(path) as connection:
        return int(connection.execute("SELECT count(*) FROM predictions").fetchone()[0])


def prune(path: Path | str, before: datetime) -> int:
    """Delete predictions made before a moment, and the feedback on them; return how many predictions went."""
    with closing(sqlite3.connect(Path(path), timeout=30, isolation_level=None)) as connection, _Room(Path(path)):
        connection.execute("BEGIN IMMEDIATE")
        old = "SELECT request_id FROM predictions WHERE time < ?"
        connection.execute(f"DELETE FROM feedback WHERE request_id IN ({old})", [_stamp(before)])  # noqa: S608  # nosec B608
        gone = connection.execute("DELETE FROM predictions WHERE time < ?", [_stamp(before)]).rowcount
        connection.execute("COMMIT")
    return gone


def _read(path: Path | str, table: str, since: datetime | None, until: datetime | None) -> "pd.DataFrame":
    import pandas as pd

    clauses, values = [], []
    for moment, clause in ((since, "time >= ?"), (until, "time < ?")):
        if moment is not None:
            clauses.append(clause)
            values.append(_stamp(moment))
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    try:
        with _open(path) as connection:
            cursor = connection.execute(f"SELECT * FROM {table}{where} ORDER BY time", values)  # noqa: S608  # nosec B608
            names = [item[0] for item in cursor.description]
            rows = cursor.fetchall()
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path} is not a prediction log: {error}.") from error
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    frame = pd.DataFrame(dict(zip(names, columns, strict=True)))
    real = [name for name in names if name in COMPARED and COMPARED[name] == _REAL]
    real += [name for name in names if name.startswith(("p_", "u_", "heat_"))]
    return frame.astype(dict.fromkeys(real, "float64"))


def _open(path: Path | str) -> "closing[sqlite3.Connection]":
    if not Path(path).is_file():
        raise InputError(f"There is no prediction log at {path}.", "Start `thorax serve` and send it an image first.")
    return closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=30))


def _stamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, so that text order is time order."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Room:
    """Turn SQLite's "database or disk is full" into a RoomError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        full = isinstance(error, sqlite3.OperationalError) and any(
            word in str(error) for word in ("disk is full", "disk I/O error")
        )
        if full:
            raise RoomError(
                f"The prediction log {self._path} cannot grow: its disk is full.",
                "Free some space; no answer leaves without being logged.",
            ) from error
