"""Size and digest of image files, read by threads: the files' bytes once, the pixels never."""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

#: Formats that Pillow may try; any other is unreadable.
_FORMATS = ("PNG", "JPEG", "TIFF")
_BATCH = 64
#: So much of a DICOM file is enough for its header.
_HEADER = 4 << 20


@dataclass(frozen=True)
class Headers:
    """What the files of a dataset are, each array of shape (files,).

    Attributes:
        width: int32, px; 0 where the header cannot be read.
        height: int32, px; 0 where the header cannot be read.
        sha256: hex digests of the files' bytes; "" where the file is missing.
        present: bool; the file is there.
    """

    width: np.ndarray
    height: np.ndarray
    sha256: np.ndarray
    present: np.ndarray


def read_headers(
    root: Path, paths: Sequence[str], advance: Callable[[int], None] | None = None, threads: int | None = None
) -> Headers:
    """Read size and SHA-256 of every file.

    Args:
        root: the folder that the paths are relative to.
        paths: relative paths; "" counts as missing.
        advance: called with the number of files done since the last call.
        threads: how many files are read at once; two a core, at most 16, where it is not given.
    """
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    rows: list[tuple[int, int, str, bool]] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(threads or min(16, 2 * (os.cpu_count() or 1))) as pool:
        # A header that claims an enormous image is unreadable here, not a line on the console.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for done in pool.map(lambda batch: [_header(root, path) for path in batch], batches):
            rows.extend(done)
            if advance is not None:
                advance(len(done))
    width, height, digest, present = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Headers(
        np.asarray(width, np.int32), np.asarray(height, np.int32), np.asarray(digest, object), np.asarray(present, bool)
    )


def _header(root: Path, path: str) -> tuple[int, int, str, bool]:
    if not path:
        return 0, 0, "", False
    file = root / path
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            width, height = _size(stream, file)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return 0, 0, "", False
    except OSError:
        return 0, 0, "", True
    return width, height, digest, True


def _size(stream: BinaryIO, file: Path) -> tuple[int, int]:
    """Width and height in px; (0, 0) where no reader understands the header."""
    stream.seek(128)
    dicom = stream.read(4) == b"DICM" or file.suffix.lower() in (".dcm", ".dicom")
    stream.seek(0)
    # A damaged header can raise almost anything from a parser: whatever it is, validation names the file.
    try:
        if dicom:
            from thorax.imaging.dicom import claimed_size

            return claimed_size(stream.read(_HEADER))
        with Image.open(stream, formats=_FORMATS) as image:
            return image.size
    except Exception:
        return 0, 0
