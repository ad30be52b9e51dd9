"""Writing so that a half-written file is never taken for a whole one, and digests of what was written."""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from thorax.errors import InputError, RoomError

_CHUNK = 1 << 20
_SQLITE = ("sqlite:///", "sqlite+pysqlite:///")


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and move it into place.

    Raises:
        RoomError: the disk is full; `path` is as it was before.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with room_errors(target):
            yield temporary
            descriptor = os.open(temporary, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces `path` whole, else it is removed."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir()
    try:
        with room_errors(target):
            yield temporary
        if target.exists():
            retired = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
            target.replace(retired)
            temporary.replace(target)
            shutil.rmtree(retired)
        else:
            temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def room_errors(path: Path) -> Iterator[None]:
    """Turn "no space left on device" into a RoomError that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RoomError(
                f"No room left on the disk while writing {path}.",
                "Free some space and run the same command again: what was finished is kept.",
            ) from error
        raise


def require_room(path: Path | str, needed: int) -> None:
    """Refuse to begin when the disk that holds `path` has fewer than `needed` bytes free.

    Raises:
        RoomError: with both figures.
    """
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise RoomError(
            f"{path} needs about {needed / 2**20:.0f} MiB, and its disk has {free / 2**20:.0f} MiB free.",
            "Free some space or choose another folder.",
        )


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: Path | str, line: str) -> None:
    """Append a line to a file that is only ever appended to; it is on the disk when this returns.

    A last line without its end is what a process killed while writing left; it was never said, and is overwritten.
    Writers must hold a lock.

    Raises:
        RoomError: the disk is full.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with room_errors(target):
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            end = data.rfind(b"\n") + 1
            os.ftruncate(descriptor, end)
            os.pwrite(descriptor, f"{line}\n".encode(), end)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys and no NaN, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        InputError: it is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON: {error}.", "It may be cut short; make it again.") from error


def digest_json(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON-serialisable value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path | str) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_folder(folder: Path | str, skip: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return `{relative path: SHA-256}` of every file below `folder`, without the relative paths in `skip`."""
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    names = [path.relative_to(root).as_posix() for path in files]
    return {name: digest_file(path) for name, path in zip(names, files, strict=True) if name not in skip}


def sqlite_url(file: Path) -> str:
    """Return SQLAlchemy's address of a SQLite file, with the characters escaped that mean something in an address.

    >>> sqlite_url(Path("/a b/c.db")), sqlite_url(Path("/50%?/c.db"))
    ('sqlite:////a b/c.db', 'sqlite+pysqlite:////50%25%3F/c.db')
    """
    path = str(file)
    escaped = path.replace("%", "%25").replace("?", "%3F")
    # With its driver named, MLflow does not make a folder of the escaped name.
    return f"{_SQLITE[0]}{path}" if path == escaped else f"{_SQLITE[1]}{escaped}"


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite address; None where the address is of something else.

    >>> [str(sqlite_file(sqlite_url(Path(path)))) for path in ("/a b/c.db", "/50%?/%20.db")]
    ['/a b/c.db', '/50%?/%20.db']
    """
    for prefix in _SQLITE:
        if url.startswith(prefix):
            return Path(unquote(url.removeprefix(prefix)))
    return None
