"""DICOM radiographs through pydicom: what a viewer would show, and no tag that identifies a person.

PS3.3 C.7.6.3, C.8.11 (the pixel modules of CR and DX) and C.11 (modality and VOI transformations) of the standard.
"""

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.errors import ImageError
from thorax.imaging import checks, codestream, intensity
from thorax.imaging.preparation import thumbnail
from thorax.imaging.radiograph import Radiograph

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# pydicom warns of every value that bends the standard; what matters here is checked below.
warnings.filterwarnings("ignore", module=r"pydicom\.")

#: Computed radiography, digital radiography, and the retired code for radiographic images.
MODALITIES = ("CR", "DX", "RG")
#: Body parts that show a chest; an empty tag is common and is let through.
BODY_PARTS = ("CHEST", "THORAX", "LUNG", "LUNGS", "CHESTABDOMEN", "CHEST_TO_ABDOMEN", "RIB", "RIBS", "HEART", "TSPINE")
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_PIXELS_AT_ONCE = 1 << 20
_DEFLATED = "1.2.840.10008.1.2.1.99"
#: The only tags that leave this module, and only as view, age, sex and pixel spacing.
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_VIEWS = {"PA": "PA", "AP": "AP", "LL": "LATERAL", "RL": "LATERAL", "LATERAL": "LATERAL", "LAT": "LATERAL"}


def looks_bare(data: bytes) -> bool:
    """Whether the bytes begin like a DICOM dataset without its preamble: group 0002 or 0008, little endian."""
    return data[:4] in (b"\x02\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x00\x00")


def read(data: bytes, max_pixels: int) -> Radiograph:
    """Read a chest radiograph from a DICOM file.

    Modality LUT or rescale, then VOI LUT or window, then MONOCHROME1 is inverted, padding is made air, and the picture
    is turned upright by its patient orientation.

    Args:
        data: the whole file.
        max_pixels: refuse more than this, before any of them is decoded.

    Raises:
        ImageError: no radiograph of a chest, several frames, colour, raw detector data, damaged, or too large.
    """
    dataset = _parse(data)
    _require_chest(dataset)
    _require_pixels(dataset, max_pixels)
    pixels = upright(render(dataset), dataset)
    height, width = pixels.shape
    small = thumbnail(pixels)
    return Radiograph(
        pixels=pixels,
        width=width,
        height=height,
        bits=int(dataset.BitsStored),
        kind="DICOM",
        view=_view(dataset),
        age=_age(dataset),
        sex={"F": "F", "M": "M"}.get(_text(dataset, "PatientSex")),
        pixel_spacing=_spacing(dataset),
        thumbnail=small,
        checks=checks.inspect(pixels, small),
    )


def claimed_pixels(data: bytes) -> int:
    """Return rows times columns as the header has them; 0 where it is damaged."""
    import pydicom

    try:
        tags = ["Rows", "Columns"]
        dataset = pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True, specific_tags=tags)
        return int(_number(dataset, "Rows", 0) * _number(dataset, "Columns", 0))
    except Exception:  # pydicom raises whatever a damaged file leads it to
        return 0


def _parse(data: bytes) -> "Dataset":
    import pydicom

    try:
        # Overlays, private tags and sequences beside the pixels stay unparsed until asked for, which they never are.
        dataset = pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
        if str(dataset.file_meta.get("TransferSyntaxUID", "")) == _DEFLATED:
            raise ImageError("It is a deflated DICOM file.", "Export it uncompressed, or as JPEG 2000 or JPEG-LS.")
        return pydicom.dcmread(io.BytesIO(data), force=True)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"It is a truncated or damaged DICOM file: {error}.") from error


def _require_chest(dataset: "Dataset") -> None:
    modality = _text(dataset, "Modality")
    if modality not in MODALITIES:
        found = f"is of modality {modality}" if modality else "names no modality"
        raise ImageError(f"It {found}; Thorax reads radiographs ({', '.join(MODALITIES)}).")
    part = re.sub(r"[^A-Z_]", "", _text(dataset, "BodyPartExamined"))
    if part and part not in BODY_PARTS:
        raise ImageError(f"It shows the body part {part}, not a chest.")
    if _text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise ImageError("It holds raw detector data (FOR PROCESSING).", "Export the image made for presentation.")


def _require_pixels(dataset: "Dataset", max_pixels: int) -> None:
    """Refuse by the header alone, and by the header of the compressed stream inside it."""
    if "PixelData" not in dataset:
        raise ImageError("It holds no pixels.", "Export the image, not a report or a presentation state.")
    frames = _number(dataset, "NumberOfFrames", 1)
    if frames != 1:
        raise ImageError(f"It holds {frames:.0f} frames.", "Give one image a file.")
    photometric = _text(dataset, "PhotometricInterpretation")
    if photometric not in MONOCHROME or _number(dataset, "SamplesPerPixel", 1) != 1:
        raise ImageError(f"Its pixels are {photometric or 'of no stated kind'}, not grey (MONOCHROME1 or 2).")
    rows, columns = _number(dataset, "Rows", 0), _number(dataset, "Columns", 0)
    if rows < 1 or columns < 1:
        raise ImageError(f"Its header claims {columns:.0f} × {rows:.0f} pixels.")
    if rows * columns > max_pixels:
        raise ImageError(
            f"It claims {columns:.0f} × {rows:.0f} pixels, more than the {max_pixels:,} allowed.", "Reduce the image."
        )
    inside = codestream.size_inside(bytes(dataset.PixelData))
    if inside is not None and inside != (columns, rows):
        raise ImageError(
            f"Its header claims {columns:.0f} × {rows:.0f} pixels, and the compressed stream {inside[0]} × {inside[1]}."
        )


def render(dataset: "Dataset") -> np.ndarray:
    """Return the pixels as a viewer shows them: float32 (H, W) in [0, 1], air dark; not yet turned upright.

    Raises:
        ImageError: the pixels are truncated or damaged, or their compression cannot be decoded.
    """
    try:
        stored = dataset.pixel_array
        padding = _padding(dataset, stored)
        levels = _transformed(stored, dataset) if stored.ndim == 2 else stored
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"Its pixels cannot be decoded: {reason}.") from error
    if levels.ndim != 2:
        raise ImageError(f"It holds an array of shape {levels.shape}, not one picture.")
    if padding is not None and padding.any() and not padding.all():
        # Padding must not decide the contrast: it takes the level of air.
        inside = levels[~padding]
        levels[padding] = inside.max() if dataset.PhotometricInterpretation == "MONOCHROME1" else inside.min()
    pixels = intensity.stretch(levels, 2.0 ** int(dataset.BitsStored))
    return 1 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels


def _transformed(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Apply the modality and VOI transformations to some rows at a time: pydicom computes them in double precision.

    A picture of fifty million pixels would take a gigabyte at once. Floats that come out are kept in single precision.
    """
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    rows = max(1, _PIXELS_AT_ONCE // stored.shape[1])
    whole = np.empty((0, 0))
    for top in range(0, len(stored), rows):
        part = np.asarray(apply_voi_lut(apply_modality_lut(stored[top : top + rows], dataset), dataset))
        if not top:
            whole = np.empty(stored.shape, np.float32 if part.dtype.kind == "f" else part.dtype)
        whole[top : top + rows] = part
    return whole


def _padding(dataset: "Dataset", stored: np.ndarray) -> np.ndarray | None:
    """Where the picture is padded (PS3.3 C.7.5.1.1.2), or None."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return None
    last = dataset.get("PixelPaddingRangeLimit", first)
    low, high = sorted((int(first), int(last)))
    return (stored >= low) & (stored <= high)


def upright(pixels: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Turn a frontal picture by PatientOrientation: the patient's left on the right, the feet below."""
    orientation = dataset.get("PatientOrientation")
    if not orientation or len(orientation) != 2:
        return pixels
    along, down = (str(part).strip().upper()[:1] for part in orientation)
    if along in ("H", "F") and down not in ("H", "F"):
        pixels, along, down = pixels.T, down, along
    if down == "H":
        pixels = pixels[::-1]
    if along == "R":
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _text(dataset: "Dataset", keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip().upper()


def _number(dataset: "Dataset", keyword: str, default: float) -> float:
    value: Any = dataset.get(keyword)
    if value is None or value == "":
        return default
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ImageError(f"Its tag {keyword} holds no number.") from error


def _view(dataset: "Dataset") -> str | None:
    return _VIEWS.get(_text(dataset, "ViewPosition"))


def _age(dataset: "Dataset") -> float | None:
    """Years from an age string such as 057Y or 018M; an empty or impossible one is unknown."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", _text(dataset, "PatientAge"))
    if match is None or int(match[1]) == 0:
        return None
    return int(match[1]) * _YEARS[match[2]]


def _spacing(dataset: "Dataset") -> tuple[float, float] | None:
    """Distance of pixel centres in mm, row then column: at the patient where calibrated, else at the detector."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        value = dataset.get(keyword)
        try:
            row, column = (float(part) for part in value)
        except (TypeError, ValueError):
            continue
        if row > 0 and column > 0:
            return row, column
    return None
