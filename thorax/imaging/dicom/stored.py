"""The stored pixels of one frame, whatever of the image pixel module (PS3.3 C.7.6.3) is missing or unusual."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.errors import ImageError
from thorax.imaging.dicom import codestream
from thorax.imaging.dicom.parsing import is_compressed, number, pixel_keyword, text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
_HALVED = ("YBR_FULL_422", "YBR_PARTIAL_422")
_PALETTE = "PALETTE COLOR"
#: Spellings of "grey, black is zero" that are no defined term.
_ALIASES = {"MONOCHROME": "MONOCHROME2", "GRAYSCALE": "MONOCHROME2", "GREYSCALE": "MONOCHROME2", "": "MONOCHROME2"}
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
#: Of a picture's channels, every so many pixels are compared.
_STEP = 4
#: Bits allocated of pixels that share bytes.
_PACKED = 12


@dataclass(frozen=True)
class Layout:
    """What the header says of the pixels, with what it leaves out filled in.

    Attributes:
        photometric: a defined term; MONOCHROME2 where there is none.
        stated: whether the header has one.
        frame: which frame is read, from 0.
        assumptions: what was filled in, one sentence each.
    """

    keyword: str
    rows: int
    columns: int
    samples: int
    photometric: str
    stated: bool
    planar: int
    allocated: int
    stored: int
    high: int
    signed: bool
    frames: int
    frame: int
    assumptions: list[str] = field(default_factory=list)

    @property
    def grey(self) -> bool:
        """Whether each pixel is one grey level."""
        return self.photometric in GREY


def layout(dataset: "Dataset", max_pixels: int) -> Layout:
    """Read the image pixel module, and refuse by it alone what cannot, or must not, be decoded.

    Raises:
        ImageError: no pixels, none or too many by the header, of an unknown kind, or of another size inside.
    """
    keyword = pixel_keyword(dataset)
    if keyword is None or not dataset[keyword].value:
        raise ImageError("It holds no pixels.", "Export the image, not a report, a presentation state or a DICOMDIR.")
    said, photometric, samples = _kind(dataset)
    # Colour takes three times the memory on its way to grey.
    rows, columns = _size(dataset, keyword, max_pixels if photometric in GREY else max_pixels // 3)
    allocated = int(number(dataset, "BitsAllocated", 16))
    stored = int(min(number(dataset, "BitsStored", allocated), allocated)) or allocated
    frames = _frames(dataset, keyword, rows * columns * samples * allocated / 8)
    chosen = min(max(int(number(dataset, "RepresentativeFrameNumber", 1)), 1), frames)
    assumptions = [] if said else ["No tag says whether black or white is zero; black was assumed."]
    if frames > 1:
        assumptions.append(f"It holds {frames} frames; frame {chosen} was read.")
    halved = photometric in _HALVED and not is_compressed(dataset)
    if halved and len(dataset[keyword].value) >= rows * columns * samples * frames:
        assumptions.append(f"Its pixels are not {photometric}, as its header says; RGB was assumed.")
        photometric = "RGB"
    return Layout(
        keyword,
        rows,
        columns,
        samples,
        photometric,
        bool(said),
        int(number(dataset, "PlanarConfiguration", 0)),
        allocated,
        stored,
        int(number(dataset, "HighBit", stored - 1)),
        number(dataset, "PixelRepresentation", 0) == 1,
        frames,
        chosen - 1,
        assumptions,
    )


def _size(dataset: "Dataset", keyword: str, max_pixels: int) -> tuple[int, int]:
    """Return rows and columns, which the header and the compressed stream must agree on."""
    rows, columns = number(dataset, "Rows", 0), number(dataset, "Columns", 0)
    claimed = f"{columns:.0f} × {rows:.0f} pixels"
    if rows < 1 or columns < 1:
        raise ImageError(f"Its header claims {claimed}.")
    if rows * columns > max_pixels:
        raise ImageError(f"It claims {claimed}, more than the {max_pixels:,} allowed.", "Reduce the image.")
    inside = codestream.size_inside(dataset.PixelData) if keyword == "PixelData" else None
    if inside is not None and inside != (columns, rows):
        raise ImageError(f"Its header claims {claimed}, and the compressed stream {inside[0]} × {inside[1]}.")
    return int(rows), int(columns)


def _kind(dataset: "Dataset") -> tuple[str, str, int]:
    """Return the photometric interpretation as given and as a defined term, and the samples a pixel."""
    said = " ".join(text(dataset, "PhotometricInterpretation").split())
    photometric = _ALIASES.get(said, said.replace("MONOCHROME ", "MONOCHROME"))
    wanted = 3 if photometric in _COLOUR else 1
    samples = int(number(dataset, "SamplesPerPixel", wanted))
    if photometric not in (*GREY, *_COLOUR, _PALETTE) or samples != wanted:
        raise ImageError(
            f"Its pixels are {photometric} with {samples} samples each, which no viewer shows.",
            "Export it as grey (MONOCHROME1 or 2) or RGB.",
        )
    return said, photometric, samples


def _frames(dataset: "Dataset", keyword: str, size: float) -> int:
    """Return how many frames there are: at least one, and no more than uncompressed pixels hold."""
    frames = max(int(number(dataset, "NumberOfFrames", 1)), 1)
    if is_compressed(dataset) or frames == 1:
        return frames
    return min(frames, max(int(len(dataset[keyword].value) // max(size, 1)), 1))


def levels(dataset: "Dataset", how: Layout) -> np.ndarray:
    """Return the stored values of the chosen frame: (H, W), or uint8 or uint16 (H, W, 3) in colour.

    Raises:
        ImageError: truncated, damaged, or of a compression that no installed decoder reads.
    """
    from pydicom.pixels import pixel_array

    clean = _clean(dataset, how)
    native = not is_compressed(dataset)
    shifted = how.keyword == "PixelData" and how.high != how.stored - 1
    _require_decoder(dataset)
    try:
        found: Any = pixel_array(clean, index=how.frame, correct_unused_bits=not shifted)
        if how.photometric == _PALETTE:
            from pydicom.pixels import apply_color_lut

            found = apply_color_lut(found, dataset)[..., :3]
    except BaseException as error:
        # A decoder in Rust reports damaged run lengths by a panic, which is no `Exception`.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"Its pixels cannot be decoded: {reason}.") from error
    if shifted and (native or int(found.max()) >= 1 << how.stored):
        found = _at_high_bit(found, how)
    if found.shape[:2] != (how.rows, how.columns) or found.ndim > 3:
        raise ImageError(f"It holds an array of shape {found.shape}, not one picture.")
    return np.nan_to_num(found, copy=False) if found.dtype.kind == "f" else np.asarray(found)


def grey_of(colour: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the luminance of a colour picture (H, W, 3), and how colourful it is: 0 for grey, in [0, 1]."""
    top = float(np.iinfo(colour.dtype).max)
    sample = colour[::_STEP, ::_STEP].astype(np.int32)
    spread = float((sample.max(axis=2) - sample.min(axis=2)).mean() / top)
    if spread == 0:
        return colour[..., 0], 0.0
    return colour.astype(np.float32) @ _LUMA, spread


def _clean(dataset: "Dataset", how: Layout) -> "Dataset":
    """Return a dataset of the pixels alone, each tag of the type that the decoders expect."""
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    clean = Dataset()
    clean.file_meta = dataset.file_meta
    clean.set_original_encoding(*dataset.original_encoding)
    clean.Rows, clean.Columns, clean.SamplesPerPixel = how.rows, how.columns, how.samples
    clean.PhotometricInterpretation = how.photometric
    if how.samples > 1:
        clean.PlanarConfiguration = how.planar
    element = dataset[how.keyword]
    if how.allocated == _PACKED and how.samples == 1 and not is_compressed(dataset):
        element, how = DataElement(element.tag, "OW", _unpacked(element.value)), replace(how, allocated=16)
    clean.BitsAllocated, clean.NumberOfFrames = how.allocated, how.frames
    clean[how.keyword] = element
    if how.keyword != "PixelData":
        return clean
    clean.BitsStored, clean.HighBit, clean.PixelRepresentation = how.stored, how.stored - 1, int(how.signed)
    if not is_compressed(dataset):
        missing = _expected(how) - len(element.value)
        if how.allocated == 16 and how.stored <= 8 and missing * 2 in (_expected(how), _expected(how) - 2):
            clean.BitsAllocated = 8  # two bytes a pixel are claimed, and one is there
        elif 0 < missing <= how.columns * how.samples * how.allocated // 8:
            # Writers lose the last byte, or up to a row: a viewer shows the rest.
            element.value = bytes(element.value) + bytes(missing)
            how.assumptions.append(f"The last {missing} bytes of its pixels are missing.")
    return clean


def _unpacked(packed: bytes) -> bytes:
    """Spread pixels of twelve bits, of which two share three bytes, as early CR systems store them."""
    three = np.frombuffer(packed[: len(packed) // 3 * 3], np.uint8).reshape(-1, 3).astype(np.uint16)
    pairs = np.stack([three[:, 0] | (three[:, 1] & 15) << 8, three[:, 1] >> 4 | three[:, 2] << 4], axis=1)
    return pairs.astype("<u2").tobytes()


def _expected(how: Layout) -> int:
    """Bytes of the uncompressed pixels."""
    samples = 2 if how.photometric in _HALVED else how.samples
    return (how.rows * how.columns * samples * how.frames * how.allocated + 7) // 8


def _at_high_bit(found: np.ndarray, how: Layout) -> np.ndarray:
    """Take the stored bits from below the high bit (PS3.5 8.1.1)."""
    down = max(how.high + 1 - how.stored, 0)
    mask = (1 << how.stored) - 1
    values = (found.view(f"u{found.dtype.itemsize}") >> down) & mask
    if not how.signed:
        return values
    sign = 1 << (how.stored - 1)
    return (values.astype(np.int32) ^ sign) - sign


def _require_decoder(dataset: "Dataset") -> None:
    from pydicom.pixels import get_decoder

    uid = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(uid)
        available = decoder.is_available
    except NotImplementedError:
        available = False
    if not available:
        name = {"110": "JPEG XL", "111": "JPEG XL", "112": "JPEG XL"}.get(uid.rsplit(".", 1)[-1], uid.name)
        raise ImageError(
            f"Its pixels cannot be decoded: no decoder here reads {name} ({uid}).",
            "Export it uncompressed, or as JPEG 2000, JPEG-LS or JPEG lossless.",
        )
