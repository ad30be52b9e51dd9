"""What is written down of requests and of decisions: lines of JSON that are only ever added, and that name no patient.

The access log says who asked what, when, and which version answered, in a file a day. The audit log says who changed
something: keys, the champion, the prediction log, and what readers said. Its lines are chained by hashes, so that one
that was changed or removed shows.
"""

import contextlib
import fcntl
import getpass
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from thorax.errors import InputError
from thorax.files import room_errors
from thorax.prediction import now

GENESIS = "0" * 64
_NAME = "%Y-%m-%d.jsonl"
#: Bytes from the end among which the last line is looked for.
_TAIL = 1 << 16


class AccessLog:
    """The access log of an installation; any number of workers may write it at once.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: tuple[str, int] | None = None

    def write(self, record: dict[str, Any]) -> None:
        """Add a line; one that finds no room is lost, as the prediction log is what answers depend on."""
        moment = now()
        line = json.dumps({"time": _stamp(moment), **record}, separators=(",", ":")) + "\n"
        with contextlib.suppress(OSError):
            os.write(self._descriptor(moment.strftime(_NAME)), line.encode())  # one write: lines never mix

    def _descriptor(self, name: str) -> int:
        if self._file is None or self._file[0] != name:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            old, self._file = self._file, (name, fresh)
            if old is not None:
                os.close(old[1])
        return self._file[1]

    def read(self, since: datetime | None = None) -> Iterator[dict[str, Any]]:
        """Yield what was written, oldest first; a line that was cut short is left out."""
        begin = _stamp(since) if since else ""
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    if record["time"] >= begin:
                        yield record

    def expired(self, before: datetime) -> list[Path]:
        """Return the files of days before a moment."""
        last = before.strftime(_NAME)
        return [path for path in sorted(self.folder.glob("????-??-??.jsonl")) if path.name < last]


class AuditLog:
    """The audit log of an installation.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, action: str, who: str | None = None, **facts: Any) -> None:
        """Add a line, on the disk when this returns.

        Args:
            action: what was done, such as `key.create`.
            who: did it; the account that runs this process where it is not given.
            facts: more about it; nothing that names a patient.

        Raises:
            RoomError: the disk is full.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with room_errors(self.path), self.path.open("ab+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL))
            last, ends = _last_line(stream.read())
            link = str(json.loads(last)["hash"]) if last else GENESIS
            body = {"time": _stamp(now()), "action": action, "who": who or account(), **facts, "link": link}
            line = json.dumps(body | {"hash": _seal(body)}, sort_keys=True) + "\n"
            # What a killed process left of a line stays, on a line of its own.
            stream.write((b"" if ends else b"\n") + line.encode())
            stream.flush()
            os.fsync(stream.fileno())
        self.path.chmod(0o600)

    def read(self) -> list[dict[str, Any]]:
        """Return every line, checked against its hash and against the line before.

        Raises:
            InputError: a line was changed, removed or added; names it.
        """
        if not self.path.is_file():
            return []
        link, found = GENESIS, []
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                record = json.loads(line)
            except ValueError:
                continue  # cut short, and nothing follows from it
            seal = record.pop("hash", "")
            if record.get("link") != link or seal != _seal(record):
                raise InputError(
                    f"Line {number} of {self.path} was changed, or one before it was removed.",
                    "Compare it with a copy.",
                )
            link = seal
            found.append(record)
        return found


def _last_line(content: bytes) -> tuple[bytes, bool]:
    """Return the last whole line that is JSON, and whether the file ends with a whole one."""
    for line in reversed(content.splitlines()):
        try:
            json.loads(line)
        except ValueError:
            continue
        return line, content.endswith(b"\n")
    return b"", not content or content.endswith(b"\n")


def _seal(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def account() -> str:
    """Return the name of the account that runs this process."""
    try:
        return f"account:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"account:{os.getuid()}"


def forget(log: AccessLog, keep: timedelta, dry_run: bool = False) -> list[Path]:
    """Delete access logs of days longer ago than `keep`; return them."""
    old = log.expired(now() - keep)
    if not dry_run:
        for path in old:
            path.unlink(missing_ok=True)
    return old
