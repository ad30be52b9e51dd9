"""The one preprocessing: what the image store, the service, batch prediction and MLflow's pyfunc all call."""

from typing import Literal, NamedTuple

import cv2
import numpy as np

Resize = Literal["squash", "pad"]
Crop = Literal["none", "lungs"]

#: Contrast-limited adaptive histogram equalisation (Zuiderveld 1994): clip limit and tiles a side.
CLAHE_LIMIT = 2.0
CLAHE_TILES = 8

#: Side of a thumbnail, in px.
THUMBNAIL = 64


class Frame(NamedTuple):
    """The part of an image that a network reads, as fractions of the image."""

    x: float
    y: float
    w: float
    h: float

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return (left, top, right, bottom) in whole px of an image of `width` × `height` px; never empty."""
        left, top = min(round(self.x * width), width - 1), min(round(self.y * height), height - 1)
        right = min(max(round((self.x + self.w) * width), left + 1), width)
        bottom = min(max(round((self.y + self.h) * height), top + 1), height)
        return left, top, right, bottom


#: All of the image.
WHOLE = Frame(0.0, 0.0, 1.0, 1.0)


class Placement(NamedTuple):
    """Where a whole image lies in the network's square, in px.

    `pad` centres it, `squash` fills the square; of a cropped image, what was cut away lies outside the square.
    """

    left: int
    top: int
    width: int
    height: int


def place(width: int, height: int, size: int, resize: Resize = "squash", frame: Frame = WHOLE) -> Placement:
    """Return where an image of `width` × `height` px, of which `frame` is read, lies in a square of `size` px."""
    left, top, right, bottom = frame.pixels(width, height)
    inner = _spot(right - left, bottom - top, size, resize)
    across, down = inner.width / (right - left), inner.height / (bottom - top)
    return Placement(
        inner.left - round(left * across), inner.top - round(top * down), round(width * across), round(height * down)
    )


def _spot(width: int, height: int, size: int, resize: Resize) -> Placement:
    """Return where a picture of `width` × `height` px, none of it cut, lies in a square of `size` px."""
    if resize == "squash":
        return Placement(0, 0, size, size)
    scale = size / max(width, height)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    return Placement((size - inner_width) // 2, (size - inner_height) // 2, inner_width, inner_height)


def frame_of(pixels: np.ndarray, crop: Crop = "none") -> Frame:
    """Return the part of an image that a network reads: all of it, or the lungs with a margin.

    Args:
        pixels: float32 of shape (H, W) in [0, 1], air dark; a thumbnail gives nearly the same.
        crop: "none", or "lungs", which falls back to the whole image where no lungs are found.
    """
    if crop == "none":
        return WHOLE
    from thorax.imaging.lungs import lung_frame

    return lung_frame(pixels) or WHOLE


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return the whole picture squashed to float32 of shape (64, 64)."""
    return average(np.asarray(pixels, dtype=np.float32), THUMBNAIL, THUMBNAIL)


def to_network_input(
    pixels: np.ndarray,
    size: int,
    resize: Resize = "squash",
    clahe: bool = False,
    crop: Crop = "none",
    frame: Frame | None = None,
) -> np.ndarray:
    """Turn a radiograph into what a network reads.

    Pixels are averaged over areas, so that no fine line is lost or aliased; a smaller image is interpolated.

    Args:
        pixels: float32 of shape (H, W) in [0, 1], air dark.
        size: px a side.
        resize: "squash" fills the square and changes the aspect; "pad" keeps it, on black.
        clahe: equalise the contrast locally after resizing.
        crop: "lungs" reads only the lungs and a margin.
        frame: what `frame_of` gave for this picture and this crop, where the caller has it already.

    Returns:
        uint8 of shape (size, size).
    """
    if frame is None:
        frame = frame_of(pixels, crop)
    if frame != WHOLE:
        left, top, right, bottom = frame.pixels(pixels.shape[1], pixels.shape[0])
        pixels = np.ascontiguousarray(pixels[top:bottom, left:right])
    spot = _spot(pixels.shape[1], pixels.shape[0], size, resize)
    small = _resample(np.asarray(pixels, dtype=np.float32), spot.width, spot.height)
    # Means of whole grey levels often end in one half. Half goes up, with a margin for the last bit of a float32, so
    # that every path to the same picture gives the same bytes.
    levels = (np.clip(small, 0, 1) * 255 + 0.5 + 1e-3).astype(np.uint8)
    if clahe:
        levels = cv2.createCLAHE(CLAHE_LIMIT, (CLAHE_TILES, CLAHE_TILES)).apply(levels)
    if levels.shape == (size, size):
        return levels
    square = np.zeros((size, size), dtype=np.uint8)
    square[spot.top : spot.top + spot.height, spot.left : spot.left + spot.width] = levels
    return square


def average(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Shrink float32 pixels of shape (H, W) by averaging areas.

    A large picture is first halved by means of 2 × 2 pixels, which costs a fifth of a reduction by a fraction. Where
    the sizes divide it changes nothing, else a fifth of a grey level of 256 in the mean.
    """
    while pixels.shape[1] >= 4 * width and pixels.shape[0] >= 4 * height:
        rows, columns = pixels.shape
        if rows % 2 or columns % 2:
            break
        pixels = cv2.resize(pixels, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def _resample(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Average where an axis shrinks, interpolate where it grows: OpenCV's area mode does only the first well."""
    rows, columns = pixels.shape
    shrunk = (min(width, columns), min(height, rows))
    if shrunk != (columns, rows):
        pixels = average(pixels, *shrunk)
    if shrunk != (width, height):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return pixels
