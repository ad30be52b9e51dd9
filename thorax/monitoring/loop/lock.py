"""One loop at a time: a lock that the system takes back when its process dies, and the name of who holds it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from thorax.errors import ThoraxError


class BusyError(ThoraxError):
    """Another process is at it."""


@contextmanager
def held(var: Path) -> Iterator[None]:
    """Hold the loop's lock of an installation.

    It is an advisory lock of the system on `var/monitoring/loop.lock`: the file stays, the lock goes with its process,
    however that ended.

    Raises:
        BusyError: another process holds it; names it.
    """
    from filelock import FileLock, Timeout

    path = var / "monitoring" / "loop.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.with_name("loop.holder.json")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BusyError(f"Another monitoring run is under way{_holder(note)}.", "Wait for it to end.") from error
    with lock:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        note.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}))
        try:
            yield
        finally:
            note.unlink(missing_ok=True)


def _holder(note: Path) -> str:
    """Say who holds it, as far as they said so."""
    try:
        told = json.loads(note.read_text())
        return f": process {told['pid']} on {told['host']}, since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
