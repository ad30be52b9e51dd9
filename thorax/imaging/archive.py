"""Zip archives, opened in memory and within bounds: what an archive says of itself is not believed.

Bytes are counted as they come out. Nothing is written to a disk, so the names inside lead nowhere; one that tries to
is refused all the same, and so is an archive inside an archive.
"""

import io
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from thorax.errors import ImageError, InputError

_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
#: Times that a file may grow when it is unpacked. Uncompressed radiographs shrink to a third or less, blank ones more.
MAX_RATIO = 200
_CHUNK = 1 << 20
_ENCRYPTED = 0x1


def is_archive(data: bytes) -> bool:
    """Whether the bytes begin like a zip archive."""
    return data.startswith(_SIGNATURES)


def members(data: bytes, files: int, file_bytes: int) -> Iterator[tuple[str, bytes | ImageError]]:
    """Yield each file of an archive: its name, and its bytes or why there are none.

    Args:
        data: the archive.
        files: so many files at most.
        file_bytes: so many bytes each, unpacked.

    Raises:
        InputError: more files than allowed, or an archive that cannot be read.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > files:
                raise InputError(
                    f"The archive holds {len(entries)} files, and {files} are allowed.", "Send it in parts."
                )
            for entry in entries:
                yield entry.filename, _member(archive, entry, file_bytes)
    except InputError:
        raise
    except Exception as error:  # a damaged directory makes the library stumble in many ways
        raise InputError(
            "The archive is damaged, or of a kind that cannot be read.", "Pack it again as zip."
        ) from error


def too_large(file_bytes: int) -> ImageError:
    """Return what is said of a file of more bytes than allowed."""
    return ImageError(f"It is larger than {file_bytes >> 20} MiB.", "Reduce or compress the image.")


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file_bytes: int) -> bytes | ImageError:
    """Unpack one file, and stop as soon as it is larger than it may be."""
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts[0] if path.parts else ""):
        return ImageError("Its name leads out of the archive.", "Pack it under a plain name.")
    if entry.flag_bits & _ENCRYPTED:
        return ImageError("It is encrypted.", "Pack it without a password.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return ImageError("It is packed by a rare method.", "Pack it as a plain zip.")
    most = min(file_bytes, max(entry.compress_size, 1) * MAX_RATIO)
    content = bytearray()
    try:
        with archive.open(entry) as stream:
            while part := stream.read(_CHUNK):
                content += part
                if len(content) > most:
                    return too_large(file_bytes) if most == file_bytes else _too_dense()
    except Exception:  # as above
        return ImageError("It cannot be unpacked.", "Pack it again as zip.")
    if content.startswith(_SIGNATURES):
        return ImageError("It is an archive inside an archive.", "Unpack it first.")
    return bytes(content)


def _too_dense() -> ImageError:
    return ImageError(f"It unpacks to more than {MAX_RATIO} times its packed size.", "Send it as an image by itself.")
