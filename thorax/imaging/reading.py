"""The one way into Thorax for a radiograph: a file or its bytes in, checked pixels out."""

from pathlib import Path

from thorax.errors import ImageError
from thorax.imaging import archive, checks, dicom, raster, study
from thorax.imaging.preparation import thumbnail
from thorax.imaging.radiograph import Kind, Radiograph
from thorax.settings.reading import Dicom

MAX_PIXELS = 50_000_000
#: 50 million pixels of 16 bit, uncompressed, with room for a header.
MAX_BYTES = 128 << 20
#: File names that the datasets' adapters take for images.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")

_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)


def read_image(
    path: Path | str, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES, accept: Dicom | None = None
) -> Radiograph:
    """Read a radiograph from a file; see `read_image_bytes`.

    Raises:
        ImageError: names the file and says what is wrong with it.
    """
    return read_image_bytes(read_bytes(path, max_bytes), name=str(path), max_pixels=max_pixels, accept=accept)


def read_bytes(path: Path | str, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a file's bytes.

    Raises:
        ImageError: it does not exist, is no file, is larger than `max_bytes`, or cannot be read.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise ImageError(f"{path} does not exist." if not file.exists() else f"{path} is not a file.")
        with file.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > max_bytes:
        raise ImageError(f"{path} is larger than {max_bytes >> 20} MiB.", "Reduce or compress the image.")
    return data


def read_image_bytes(
    data: bytes, *, name: str = "The image", max_pixels: int = MAX_PIXELS, accept: Dicom | None = None
) -> Radiograph:
    """Read a radiograph from the bytes of a PNG, JPEG, TIFF or DICOM file, or of a zipped study of them.

    The format is told by the bytes, never by a name. Headers are checked against `max_pixels` and against what the
    bytes can hold before a pixel is decoded. Identifying tags of DICOM files are never read into the result.

    Args:
        data: the whole file.
        name: what errors call it.
        max_pixels: refuse larger images.
        accept: which DICOM images are taken; the settings' defaults where it is not given.

    Raises:
        ImageError: it cannot be read, or must not be; the message names the image and the reason.
    """
    try:
        if archive.is_archive(data):
            return study.read(data, lambda one: _read(one, max_pixels, accept), sniff, accept or Dicom())
        return _read(data, max_pixels, accept)
    except ImageError as error:
        raise ImageError(f"{name}: {error.message}", error.mend) from error


def _read(data: bytes, max_pixels: int, accept: Dicom | None) -> Radiograph:
    kind = sniff(data)
    if kind == "DICOM":
        return dicom.read(data, max_pixels, accept)
    pixels, bits, colour = raster.read(data, kind, max_pixels)
    height, width = pixels.shape
    small = thumbnail(pixels)
    found = checks.inspect(pixels, small, colour)
    return Radiograph(pixels, width, height, bits, kind, thumbnail=small, checks=found)


def claimed_pixels(data: bytes) -> int:
    """Return how many pixels the header claims, without decoding any; 0 where it cannot be read.

    A zipped study claims as many as are allowed: what it holds is known when it is unpacked.

    It takes well under a millisecond. Whether the claim is allowed, and true, `read_image_bytes` says.
    """
    if archive.is_archive(data):
        return MAX_PIXELS
    try:
        kind = sniff(data)
        if kind == "DICOM":
            width, height = dicom.claimed_size(data)
            return width * height
        return raster.claimed_pixels(data, kind)
    except ImageError:
        return 0


def sniff(data: bytes) -> Kind:
    """Tell the format by its signature.

    Raises:
        ImageError: it is none that Thorax reads.
    """
    if not data:
        raise ImageError("It is empty.")
    # First: the 128 free bytes before it may hold a TIFF header, so that the file opens in both kinds of viewer.
    if data[128:132] == b"DICM":
        return "DICOM"
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return kind
    if dicom.looks_bare(data):
        return "DICOM"
    raise ImageError("It is not a PNG, JPEG, TIFF or DICOM image.", "Export the radiograph in one of these formats.")
