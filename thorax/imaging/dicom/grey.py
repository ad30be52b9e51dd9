"""From stored values to what a screen shows: modality, values of interest and presentation (PS3.3 C.11).

pydicom's own functions stop at a window of width 0, at tables of 12 bits, and at tables whose descriptor does not fit
their data, and compute in double precision; viewers show all of these.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.imaging import intensity
from thorax.imaging.dicom.parsing import number, numbers, text
from thorax.imaging.dicom.stored import Layout

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: A window that leaves more than this share of the picture at one level shows nothing.
_BLANK = 0.995
_STEP = 8
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def rendered(stored: np.ndarray, dataset: "Dataset", how: Layout) -> tuple[np.ndarray, list[str]]:
    """Return the picture as a viewer shows it, and what had to be assumed.

    Args:
        stored: (H, W), as `stored.levels` gives them.
        dataset: its header.
        how: its layout.

    Returns:
        float32 (H, W) in [0, 1], and sentences.
    """
    padding = _padding(dataset, stored, how)
    levels = _modality(stored, dataset, how)
    shown, sentences = _values_of_interest(levels, dataset, how)
    span = 1.0 if shown is not levels else _span(levels)
    inside = ~padding if padding is not None and padding.any() and not padding.all() else None
    pixels = intensity.stretch(shown, span, inside)
    negative, more = _negative(dataset, how)
    if negative:
        np.subtract(1, pixels, out=pixels)
    if inside is not None:
        pixels[padding] = 0  # padding is no part of the picture: it takes the level of air
    return pixels, sentences + more


def _span(levels: np.ndarray) -> float:
    """The range that the levels use, of integers in whole bits: a 12-bit picture in a 16-bit file ends at 4,095."""
    low, high = float(levels.min()), float(levels.max())
    used = max(abs(low), abs(high), high - low)
    return max(used, 1e-12) if levels.dtype.kind == "f" else 2.0 ** max(8, int(used).bit_length())


def _modality(stored: np.ndarray, dataset: "Dataset", how: Layout) -> np.ndarray:
    """Modality LUT (C.11.1), or rescale."""
    item = _item(dataset, "ModalityLUTSequence")
    if item is not None and (table := _table(item, how.signed, _little(dataset))) is not None:
        return _looked_up(stored, *table)
    slope, intercept = numbers(dataset, "RescaleSlope"), numbers(dataset, "RescaleIntercept")
    if not slope or not intercept or slope[0] == 0 or (slope[0], intercept[0]) == (1, 0):
        return stored
    return stored.astype(np.float32) * np.float32(slope[0]) + np.float32(intercept[0])


def _values_of_interest(levels: np.ndarray, dataset: "Dataset", how: Layout) -> tuple[np.ndarray, list[str]]:
    """The first table or window (C.11.2) that shows something; the very levels where there is none."""
    item = _item(dataset, "VOILUTSequence")
    if item is not None and (table := _table(item, levels.min() < 0, _little(dataset))) is not None:
        shown = _looked_up(levels, *table).astype(np.float32)
        shown /= max(float(table[0].max()), 1.0)
        if not _blank(shown):
            return shown, []
    windows = list(zip(numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth"), strict=False))
    function = text(dataset, "VOILUTFunction") or "LINEAR"
    function = function if function in _FUNCTIONS else "LINEAR"
    for center, width in windows:
        if width > 0 and np.isfinite([center, width]).all():
            shown = _windowed(levels, center, width, function)
            if not _blank(shown) or _blank(levels):
                return shown, []
    if windows:
        return levels, ["Its window would show nothing; the whole range of its grey levels was used."]
    return levels, []


def _windowed(levels: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """A window by C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) or C.11.2.1.3.2 (LINEAR_EXACT), in [0, 1]."""
    shown = levels.astype(np.float32)
    if function == "SIGMOID":
        shown -= np.float32(center)
        shown *= np.float32(-4 / width)
        np.exp(np.clip(shown, -80, 80, out=shown), out=shown)
        shown += 1
        return np.divide(1, shown, out=shown)
    if function == "LINEAR" and width >= 1:  # narrower ones, which the standard forbids, are taken as exact
        center, width = center - 0.5, max(width - 1, 1e-3)
    shown -= np.float32(center)
    shown *= np.float32(1 / width)
    shown += np.float32(0.5)
    return np.clip(shown, 0, 1, out=shown)


def _blank(shown: np.ndarray) -> bool:
    sample = shown[::_STEP, ::_STEP]
    low, high = sample.min(), sample.max()
    return bool(low == high or (sample == low).mean() > _BLANK or (sample == high).mean() > _BLANK)


def _item(dataset: "Dataset", keyword: str) -> "Dataset | None":
    try:
        sequence: Any = dataset.get(keyword)
        return sequence[0] if sequence else None
    except Exception:  # a sequence that pydicom cannot read
        return None


def _little(dataset: "Dataset") -> bool:
    return dataset.original_encoding[1] is not False


def _table(item: "Dataset", signed: bool, little: bool) -> tuple[np.ndarray, int] | None:
    """Return the entries of a LUT and the first value that it maps (C.11.1.1); None where it is damaged.

    The number of entries is 65,536 where the descriptor says 0, and what the data hold where the two differ; entries
    are unsigned. The first value's sign is that of the values that come in, whatever the tag's representation.

    Args:
        item: of a LUT sequence.
        signed: whether values that come in may be negative.
        little: the byte order of the file.
    """
    descriptor = numbers(item, "LUTDescriptor")
    try:
        data: Any = item.LUTData
    except Exception:
        return None
    if len(descriptor) < 2 or data is None:
        return None
    count, first = int(descriptor[0]) % 65536 or 65536, int(descriptor[1])
    if isinstance(data, bytes):
        wide = len(data) >= 2 * count or len(data) < count
        kind = ("<u2" if little else ">u2") if wide else "u1"
        table = np.frombuffer(data[: len(data) // 2 * 2] if wide else data, kind)
    else:
        values = [data] if not hasattr(data, "__iter__") else list(data)
        table = np.asarray(values, np.int64).astype(np.uint16)
    if table.size < 2:
        return None
    if signed and first >= 32768:
        first -= 65536
    elif not signed and first < 0:
        first += 65536
    return table[:count], first


def _looked_up(levels: np.ndarray, table: np.ndarray, first: int) -> np.ndarray:
    places = np.rint(levels).astype(np.int32) if levels.dtype.kind == "f" else levels.astype(np.int32)
    places -= first
    return table[np.clip(places, 0, table.size - 1, out=places)]


def _negative(dataset: "Dataset", how: Layout) -> tuple[bool, list[str]]:
    """Whether the lowest value is white: by the presentation LUT shape (C.11.6) where there is one, as dcmtk does."""
    by_photometric = how.photometric == "MONOCHROME1"
    shape = text(dataset, "PresentationLUTShape")
    if shape not in ("IDENTITY", "INVERSE") or (shape == "INVERSE") == by_photometric:
        return by_photometric, []
    return not by_photometric, [
        f"Its presentation LUT shape ({shape}) contradicts {how.photometric}; the shape was followed, as viewers do."
    ]


def _padding(dataset: "Dataset", stored: np.ndarray, how: Layout) -> np.ndarray | None:
    """Where the picture is padded (C.7.5.1.1.2), or None."""
    given = numbers(dataset, "PixelPaddingValue")
    if not given or stored.dtype.kind == "f":
        return None
    limit = int(number(dataset, "PixelPaddingRangeLimit", given[0]))
    low, high = sorted(_as_stored(int(value), how) for value in (given[0], limit))
    return (stored >= low) & (stored <= high)


def _as_stored(value: int, how: Layout) -> int:
    """Writers give padding in the other signedness than the pixels': −2000 as 63536, or the reverse."""
    if how.signed and value >= 1 << (how.allocated - 1):
        return value - (1 << how.allocated)
    return value + (1 << how.allocated) if not how.signed and value < 0 else value
