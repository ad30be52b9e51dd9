"""What is no ordinary radiograph of an adult's chest, for `make bench-trust`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

#: Of a child's chest in an adult's field: its share of the image's side, and how much rounder it is than an adult's.
_SMALL, _ROUND = 0.62, 1.15


def others(folder: Path, size: int, test: "np.ndarray") -> "Iterator[tuple[str, np.ndarray, float | None]]":
    """Yield what each set is called, its images uint8 (N, size, size), and the AUROC that was agreed, if one was.

    Args:
        folder: of real files, with `natural` and `dicom`.
        size: what the network reads, px.
        test: uint8 (N, size, size), ordinary radiographs, to turn, negate and shrink.
    """
    import numpy as np

    yield "photographs", _photographs(folder, size), 0.98
    yield "CT and MR (wrong modality)", _slices(folder, size, ("CT", "MR")), 0.98
    yield "negatives", 255 - test, 0.90
    for turns in (1, 2, 3):
        yield f"turned by {90 * turns}°", np.rot90(test, turns, (1, 2)), 0.90
    yield "pediatric-like (a small round chest in the field)", np.stack([childlike(one) for one in test]), None
    hands = _slices(folder, size, ("RG3",))
    if len(hands):
        yield "radiograph of another body part (a tibia)", hands, None


def childlike(image: "np.ndarray") -> "np.ndarray":
    """Return a radiograph as of a small child on the same film: a smaller, rounder chest, more of neck and belly.

    Above and below the picture goes on as its own edge does, and beside it lies air.

    Args:
        image: uint8 (S, S).
    """
    import cv2
    import numpy as np

    side = image.shape[0]
    high, wide = round(side * _SMALL), round(side * min(1.0, _SMALL * _ROUND))
    small = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA)
    above, left = (side - high) // 2, (side - wide) // 2
    tall = cv2.copyMakeBorder(small, above, side - high - above, 0, 0, cv2.BORDER_REPLICATE)
    air = int(np.quantile(image, 0.02))
    whole = np.full((side, side), air, dtype=np.uint8)
    whole[:, left : left + wide] = tall
    # Skin is no knife's edge.
    blurred = cv2.GaussianBlur(whole, (0, 0), sigmaX=side / 48)
    edge = np.zeros(side, dtype=bool)
    for place in (left, left + wide):
        edge[max(0, place - side // 24) : place + side // 24] = True
    whole[:, edge] = blurred[:, edge]
    return whole


def _photographs(folder: Path, size: int) -> "np.ndarray":
    import numpy as np
    from PIL import Image

    from thorax.imaging import to_network_input

    files = sorted(path for path in (folder / "natural").iterdir() if path.suffix in (".jpg", ".png"))
    grey = [np.asarray(Image.open(path).convert("L"), dtype=np.float32) / 255 for path in files]
    return np.stack([to_network_input(pixels, size) for pixels in grey])


def _slices(folder: Path, size: int, kinds: tuple[str, ...]) -> "np.ndarray":
    """Return the pictures in DICOM files whose names hold a kind, as a network would read them."""
    import numpy as np
    import pydicom

    from thorax.imaging import to_network_input

    found: list[Any] = []
    for path in sorted((folder / "dicom").rglob("*")):
        if not path.is_file() or path.suffix == ".zst" or not any(kind in path.name for kind in kinds):
            continue
        try:
            pixels = pydicom.dcmread(path, force=True).pixel_array.astype(np.float32)
        except RuntimeError:  # no decoder at hand takes this encoding; the picture is there in another
            continue
        if pixels.ndim != 2:
            continue
        low, high = np.percentile(pixels, [0.5, 99.5])
        image = to_network_input(np.clip((pixels - low) / max(high - low, 1.0), 0, 1), size)
        # Many of the files are one picture in several encodings, some of which lose a little.
        if not any(np.abs(image.astype(float) - other).mean() < 2 for other in found):
            found.append(image)
    return np.stack(found) if found else np.zeros((0, size, size), dtype=np.uint8)
