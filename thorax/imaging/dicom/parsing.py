"""From bytes to a pydicom dataset, within bounds: no preamble, no transfer syntax, a wrong one, deflated data."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from thorax.errors import ImageError
from thorax.imaging.dicom import codestream

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# pydicom warns of every value that bends the standard; what matters here is checked by the reader.
warnings.filterwarnings("ignore", module=r"pydicom\.")

_DEFLATED = "1.2.840.10008.1.2.1.99"
_IMPLICIT, _EXPLICIT, _BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_NATIVE = (_IMPLICIT, _EXPLICIT, _BIG, _DEFLATED)
#: Of a deflated file, so much is unpacked to find what its header claims, and so much is allowed beside its pixels.
_HEADER = 1 << 20
_BESIDE = 8 << 20
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
#: Bytes of a dataset that begins with a group of identifying tags, little endian and big endian.
_LITTLE, _BIG_GROUP = (b"\x02\x00", b"\x08\x00"), b"\x00\x08"


def looks_bare(data: bytes) -> bool:
    """Whether the bytes begin like a DICOM dataset without its preamble: an element of group 0002 or 0008."""
    if data[:4] == b"DICM":
        return True
    if len(data) < 8 or (data[:2] not in _LITTLE and data[:2] != _BIG_GROUP):
        return False
    element = struct.unpack("<H" if data[:2] in _LITTLE else ">H", data[2:4])[0]
    named = data[4:6].isalpha() and data[4:6].isupper()
    return element < 0x3000 and (named or struct.unpack("<I", data[4:8])[0] < 1 << 12)


@contextmanager
def damage() -> Iterator[None]:
    """Turn whatever pydicom raises on a damaged file, at any access to a tag, into an `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"It is a truncated or damaged DICOM file: {error}.") from error


def parse(data: bytes, pixels: bool = True) -> "Dataset":
    """Return the dataset of a file, its transfer syntax corrected where it is missing or wrong.

    Args:
        data: the whole file.
        pixels: False stops before the pixel data, and unpacks no more than the header of a deflated file.

    Raises:
        ImageError: truncated, damaged, or more inside a deflated file than its header claims.
    """
    import pydicom

    if data[:4] == b"DICM":
        data = b"\0" * 128 + data
    with damage():
        start, syntax = _meta(data)
        if syntax == _DEFLATED:
            return _inflated(data[start:], pixels)
        dataset = pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=not pixels)
        if not syntax or (pixels and syntax not in _NATIVE) or _holds_items(dataset):
            _correct(dataset, syntax)
        return dataset


def claimed_size(data: bytes) -> tuple[int, int]:
    """Return columns and rows as the header has them, from the first megabytes of a file; (0, 0) where damaged."""
    import pydicom

    try:
        if _meta(data)[1] == _DEFLATED:
            dataset = parse(data, pixels=False)
        else:
            stream, tags = io.BytesIO(data), ["Rows", "Columns"]
            dataset = pydicom.dcmread(stream, force=True, stop_before_pixels=True, specific_tags=tags)
        return int(number(dataset, "Columns", 0)), int(number(dataset, "Rows", 0))
    except Exception:  # pydicom raises whatever a damaged file leads it to
        return 0, 0


def _meta(data: bytes) -> tuple[int, str]:
    """Return where the dataset begins behind its meta information, and the transfer syntax that this names."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    stream = io.BytesIO(data)
    read_preamble(stream, force=True)
    meta = _read_file_meta_info(stream)
    return stream.tell(), str(meta.get("TransferSyntaxUID") or "").strip()


def _inflated(packed: bytes, pixels: bool) -> "Dataset":
    """Read a deflated dataset (PS3.5 A.5); the pixels are unpacked only as far as the header claims them."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset
    from pydicom.uid import UID

    head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _HEADER)
    dataset = read_dataset(io.BytesIO(head), False, True, stop_when=lambda tag, vr, length: tag >= 0x7FE00000)
    if pixels:
        size = number(dataset, "Rows", 0) * number(dataset, "Columns", 0) * number(dataset, "SamplesPerPixel", 1)
        size *= max(number(dataset, "BitsAllocated", 16), 8) / 8 * max(number(dataset, "NumberOfFrames", 1), 1)
        most = int(size) + _BESIDE
        unpack = zlib.decompressobj(-zlib.MAX_WBITS)
        whole = unpack.decompress(packed, most)
        if unpack.unconsumed_tail and unpack.decompress(unpack.unconsumed_tail, 1):
            raise ImageError(f"It unpacks to more than the {most >> 20} MiB that its header claims.")
        dataset = read_dataset(io.BytesIO(whole), False, True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(_EXPLICIT)
    return dataset


def _holds_items(dataset: "Dataset") -> bool:
    value: Any = dataset.get("PixelData")
    return isinstance(value, bytes) and value.startswith(codestream.ITEM)


def _correct(dataset: "Dataset", declared: str) -> None:
    """Name the transfer syntax that the bytes have: files without one, or of another than they declare, are common."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    implicit, little = dataset.original_encoding
    raw = _BIG if not little else _IMPLICIT if implicit else _EXPLICIT
    if not dataset.get("PixelData"):
        found = declared or raw
    elif _holds_items(dataset):
        found = codestream.syntax(bytes(dataset.PixelData), "" if declared in _NATIVE else declared)
        dataset["PixelData"].is_undefined_length = True
    else:
        found = raw
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(found)


def is_compressed(dataset: "Dataset") -> bool:
    """Whether the pixels are encapsulated; a syntax that pydicom does not know is."""
    return str(dataset.file_meta.TransferSyntaxUID) not in _NATIVE


def pixel_keyword(dataset: "Dataset") -> str | None:
    """Return the keyword of the tag that holds the pixels, or None."""
    return next((keyword for keyword in _PIXELS if keyword in dataset), None)


def text(dataset: "Dataset", keyword: str, whole: bool = False) -> str:
    """Return a tag as text, in upper case: its first value, or all; empty where it is missing or damaged.

    Tags that may hold plain letters alone are decoded by the file's character set too: people type their own language.
    """
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataelem import RawDataElement

    element: Any = dataset.get_item(tag_for_keyword(keyword) or 0)
    try:
        if isinstance(element, RawDataElement) and isinstance(element.value, bytes) and not element.value.isascii():
            value: Any = _decoded(element.value, dataset).split("\\")
        else:
            value = dataset.get(keyword)
    except Exception:  # a value that pydicom cannot convert
        return ""
    if value is not None and not isinstance(value, str) and hasattr(value, "__iter__"):
        value = "\\".join(map(str, value)) if whole else next(iter(value), None)
    return str(value if value is not None else "").replace("\0", " ").strip().upper()


def _decoded(value: bytes, dataset: "Dataset") -> str:
    from pydicom.charset import convert_encodings, decode_bytes

    try:
        return value.decode("utf-8")  # text of another encoding is never valid UTF-8 by chance
    except UnicodeDecodeError:
        encodings = convert_encodings(dataset.get("SpecificCharacterSet") or "ISO_IR 100")
        declared = [encoding for encoding in encodings if encoding.lower() not in ("utf8", "utf-8")]
        return decode_bytes(value, declared or ["latin-1"], set())


def numbers(dataset: "Dataset", keyword: str) -> list[float]:
    """Return the numbers of a tag; those that are none, such as text, are left out, and a decimal comma is a point."""
    try:
        value: Any = dataset.get(keyword)
    except Exception:  # a value that pydicom cannot convert: read it as text
        from pydicom.datadict import tag_for_keyword

        raw: Any = dataset.get_item(tag_for_keyword(keyword) or 0)
        value = bytes(getattr(raw, "value", b"") or b"").decode("latin-1").split("\\")
    if value is None or value == "":
        return []
    found = []
    for part in [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value:
        try:
            found.append(float(str(part).replace(",", ".")))
        except ValueError:
            continue
    return found


def number(dataset: "Dataset", keyword: str, default: float) -> float:
    """Return the first number of a tag, or `default` where it is missing or empty.

    Raises:
        ImageError: the tag holds something that is no number.
    """
    found = numbers(dataset, keyword)
    if found:
        return found[0]
    if text(dataset, keyword):
        raise ImageError(f"Its tag {keyword} holds no number.")
    return default
