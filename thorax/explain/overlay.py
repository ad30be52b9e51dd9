"""Draw heat over a radiograph, with a colour bar, for people who do not all see colours alike."""

import functools
import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from thorax.errors import InputError
from thorax.explain.maps import heat, upsample

Box = tuple[float, float, float, float]

#: Inferno grows in lightness with the heat, so it reads the same in grey and to colour-blind eyes.
_COLOURS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
_FOUND, _TRUTH = (0, 229, 255), (255, 255, 255)
_LARGEST = 1024


def overlay(
    pixels: np.ndarray,
    map_: np.ndarray | None,
    box: Box | None = None,
    *,
    truth: Sequence[Box] = (),
    strength: float = 0.6,
    colour_bar: bool = True,
) -> Image.Image:
    """Return a radiograph with a finding's heat over it, as an RGB image; see `overlay_pixels`."""
    return Image.fromarray(overlay_pixels(pixels, map_, box, truth=truth, strength=strength, colour_bar=colour_bar))


def overlay_pixels(
    pixels: np.ndarray,
    map_: np.ndarray | None,
    box: Box | None = None,
    *,
    truth: Sequence[Box] = (),
    strength: float = 0.6,
    colour_bar: bool = True,
) -> np.ndarray:
    """Return a radiograph with a finding's heat over it.

    Args:
        pixels: (H, W), uint8 or float in [0, 1], air dark. A side over 1024 px is shrunk.
        map_: (h, w), the finding's class activation map; None draws the radiograph alone.
        box: the model's box as fractions (x, y, w, h), drawn in cyan.
        truth: a reader's boxes, drawn in white and dashed.
        strength: opacity of the hottest point, in [0, 1]; cooler points are more transparent.
        colour_bar: add a bar, 0 to 1 of the peak's heat, at the right.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        InputError: `pixels` is not two-dimensional, or the map is not.
    """
    grey = _grey(pixels)
    if map_ is None:
        canvas = cv2.merge([grey, grey, grey])
    else:
        levels = np.clip(upsample(heat(map_), grey.shape) * 255, 0, 255).astype(np.uint8)
        ground, colour = _mixture(strength)
        # A look-up a level of heat: what of the grey stays (in 256ths), and what of the colour is added.
        kept = (grey.astype(np.uint16) * ground.take(levels) >> 8).astype(np.uint8)
        canvas = cv2.add(colour.take(levels, axis=0), cv2.merge([kept, kept, kept]))
    for one in truth:
        _draw_box(canvas, one, _TRUTH, dashed=True)
    if box is not None:
        _draw_box(canvas, box, _FOUND)
    return np.hstack([canvas, _scale(*grey.shape)]) if colour_bar and map_ is not None else canvas


@functools.lru_cache(maxsize=8)
def _mixture(strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each of 256 levels of heat, the share of grey that stays, uint16 of 256, and the colour, uint8."""
    opacity = strength * np.sqrt(np.arange(256) / 255)
    ground = np.floor(256 * (1 - opacity)).astype(np.uint16)
    return ground, np.floor(_COLOURS * opacity[:, None]).astype(np.uint8)


def overlay_png(
    pixels: np.ndarray, map_: np.ndarray | None, box: Box | None = None, *, truth: Sequence[Box] = ()
) -> bytes:
    """Return `overlay(...)` as a PNG file's bytes."""
    stream = io.BytesIO()
    overlay(pixels, map_, box, truth=truth).save(stream, format="PNG", compress_level=4)
    return stream.getvalue()


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W), no side over `_LARGEST`."""
    values = np.asarray(pixels)
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"A radiograph to draw has two dimensions; this one has the shape {values.shape}.")
    if values.dtype != np.uint8:
        values = (np.clip(np.nan_to_num(values.astype(np.float32)), 0.0, 1.0) * 255).astype(np.uint8)
    scale = _LARGEST / max(values.shape)
    if scale < 1:
        size = (max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale)))
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    return values


def _draw_box(canvas: np.ndarray, box: Box, colour: tuple[int, int, int], dashed: bool = False) -> None:
    """Draw a rectangle with a dark rim, so that it shows on bright and on dark ground."""
    height, width = canvas.shape[:2]
    thick = max(1, round(max(height, width) / 160))
    left, top = round(box[0] * width), round(box[1] * height)
    right = min(width - 1, round((box[0] + box[2]) * width))
    bottom = min(height - 1, round((box[1] + box[3]) * height))
    if not dashed:
        cv2.rectangle(canvas, (left, top), (right, bottom), (0, 0, 0), thick * 3)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, thick)
        return
    step = max(4, round(max(height, width) / 32))
    for start in range(left, right, step):
        end = min(start + step // 2, right)
        cv2.line(canvas, (start, top), (end, top), colour, thick)
        cv2.line(canvas, (start, bottom), (end, bottom), colour, thick)
    for start in range(top, bottom, step):
        end = min(start + step // 2, bottom)
        cv2.line(canvas, (left, start), (left, end), colour, thick)
        cv2.line(canvas, (right, start), (right, end), colour, thick)


@functools.lru_cache(maxsize=32)
def _scale(height: int, width: int) -> np.ndarray:
    """Return the bar with its scale, RGB, as it stands beside a picture of `width` × `height` px."""
    size = max(8, height // 24)
    bar, gap = max(6, width // 32), max(3, width // 64)
    font = ImageFont.load_default(size)
    room = int(font.getlength("100%")) + gap
    scale = Image.new("RGB", (gap + bar + gap + room, height), (0, 0, 0))
    ramp = _COLOURS[np.linspace(255, 0, height).astype(np.uint8)]
    scale.paste(Image.fromarray(np.repeat(ramp[:, None, :], bar, axis=1)), (gap, 0))
    draw = ImageDraw.Draw(scale)
    where = gap + bar + gap
    draw.text((where, 0), "100%", fill=(255, 255, 255), font=font, anchor="lt")
    draw.text((where, height // 2), "50%", fill=(255, 255, 255), font=font, anchor="lm")
    draw.text((where, height - 1), "0%", fill=(255, 255, 255), font=font, anchor="lb")
    return np.asarray(scale)
