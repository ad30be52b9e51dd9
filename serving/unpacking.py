"""Uploads of many files, and of zip archives, into single files: in memory, and within bounds that are stated.

An archive's own figures are not believed: bytes are counted as they come out. Nothing is written to a disk, so the
names inside lead nowhere; one that tries to is refused all the same.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from serving.upload import Upload
from thorax.errors import ImageError, InputError, ThoraxError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
#: Times that a file may grow when it is unpacked. Uncompressed radiographs shrink to a third or less, blank ones more.
MAX_RATIO = 200
_CHUNK = 1 << 20
_ENCRYPTED = 0x1


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
        if upload.content.startswith(_ZIP):
            yield from _members(upload, bounds)
        else:
            yield Item(upload.name, _bounded(upload.content, bounds))


def _members(upload: Upload, bounds: Bounds) -> Iterator[Item]:
    try:
        with zipfile.ZipFile(io.BytesIO(upload.content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > bounds.files:
                raise InputError(
                    f"The archive holds {len(entries)} files, and {bounds.files} are allowed.", "Send it in parts."
                )
            for entry in entries:
                yield Item(entry.filename, _member(archive, entry, bounds))
    except InputError:
        raise
    except Exception as error:  # a damaged directory makes the library stumble in many ways
        raise InputError(
            "The archive is damaged, or of a kind that cannot be read.", "Pack it again as zip."
        ) from error


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, bounds: Bounds) -> bytes | ThoraxError:
    """Unpack one file, and stop as soon as it is larger than it may be."""
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts[0] if path.parts else ""):
        return ImageError("Its name leads out of the archive.", "Pack it under a plain name.")
    if entry.flag_bits & _ENCRYPTED:
        return ImageError("It is encrypted.", "Pack it without a password.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return ImageError("It is packed by a rare method.", "Pack it as a plain zip.")
    most = min(bounds.file_bytes, max(entry.compress_size, 1) * MAX_RATIO)
    content = bytearray()
    try:
        with archive.open(entry) as stream:
            while part := stream.read(_CHUNK):
                content += part
                if len(content) > most:
                    return _too_large(bounds) if most == bounds.file_bytes else _too_dense()
    except Exception:  # as above
        return ImageError("It cannot be unpacked.", "Pack it again as zip.")
    return bytes(content)


def _bounded(content: bytes, bounds: Bounds) -> bytes | ThoraxError:
    return content if len(content) <= bounds.file_bytes else _too_large(bounds)


def _too_large(bounds: Bounds) -> ImageError:
    return ImageError(f"It is larger than {bounds.file_bytes >> 20} MiB.", "Reduce or compress the image.")


def _too_dense() -> ImageError:
    return ImageError(f"It unpacks to more than {MAX_RATIO} times its packed size.", "Send it as an image by itself.")
