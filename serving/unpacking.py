"""Uploads of many files, and of zip archives, into single files: in memory, and within bounds that are stated."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from serving.upload import Upload
from thorax.errors import InputError, ThoraxError
from thorax.imaging.archive import is_archive, members, too_large


@dataclass(frozen=True)
class Item:
    """One file of a batch: its name as it was sent, and its bytes, or why there are none."""

    name: str
    content: bytes | ThoraxError


@dataclass(frozen=True)
class Bounds:
    """What a batch may hold: files, bytes of one of them, and bytes in all, as they are unpacked."""

    files: int
    file_bytes: int
    bytes: int


def unpack(uploads: Iterable[Upload], bounds: Bounds) -> list[Item]:
    """Return the files of a batch, archives opened.

    A file that cannot be unpacked is an item with the reason; only what concerns the whole is raised.

    Raises:
        InputError: more files or bytes than allowed, or an archive that cannot be read.
    """
    items: list[Item] = []
    total = 0
    for item in _each(uploads, bounds):
        items.append(item)
        if len(items) > bounds.files:
            raise InputError(f"The batch holds more than {bounds.files} files.", "Send it in parts.")
        total += len(item.content) if isinstance(item.content, bytes) else 0
        if total > bounds.bytes:
            raise InputError(f"The batch unpacks to more than {bounds.bytes >> 20} MiB.", "Send it in parts.")
    if not items:
        raise InputError("The batch holds no file.", "Send radiographs, or a zip archive of them.")
    return items


def _each(uploads: Iterable[Upload], bounds: Bounds) -> Iterator[Item]:
    for upload in uploads:
        if is_archive(upload.content):
            for name, content in members(upload.content, bounds.files, bounds.file_bytes):
                yield Item(name, content)
        else:
            yield Item(upload.name, _bounded(upload.content, bounds))


def _bounded(content: bytes, bounds: Bounds) -> bytes | ThoraxError:
    return content if len(content) <= bounds.file_bytes else too_large(bounds.file_bytes)
