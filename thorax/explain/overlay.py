"""Draw heat over a radiograph, with a colour bar, for people who do not all see colours alike."""

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
    """Return a radiograph with a finding's heat over it.

    Args:
        pixels: (H, W), uint8 or float in [0, 1], air dark. A side over 1024 px is shrunk.
        map_: (h, w), the finding's class activation map; None draws the radiograph alone.
        box: the model's box as fractions (x, y, w, h), drawn in cyan.
        truth: a reader's boxes, drawn in white and dashed.
        strength: opacity of the hottest point, in [0, 1]; cooler points are more transparent.
        colour_bar: add a bar, 0 to 1 of the peak's heat, at the right.

    Returns:
        An RGB image.

    Raises:
        InputError: `pixels` is not two-dimensional, or the map is not.
    """
    grey = _grey(pixels)
    height, width = grey.shape
    canvas = np.repeat(grey[:, :, None].astype(np.float32), 3, axis=2)
    if map_ is not None:
        warm = np.clip(upsample(heat(map_), (height, width)), 0.0, 1.0)
        colour = _COLOURS[(warm * 255).astype(np.uint8)].astype(np.float32)
        opacity = (strength * np.sqrt(warm))[:, :, None]
        canvas = canvas * (1.0 - opacity) + colour * opacity
    picture = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    for one in truth:
        _draw_box(picture, one, _TRUTH, dashed=True)
    if box is not None:
        _draw_box(picture, box, _FOUND)
    return _with_bar(picture) if colour_bar and map_ is not None else picture


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


def _draw_box(picture: Image.Image, box: Box, colour: tuple[int, int, int], dashed: bool = False) -> None:
    """Draw a rectangle with a dark rim, so that it shows on bright and on dark ground."""
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    thick = max(1, round(max(picture.size) / 160))
    left, top = box[0] * width, box[1] * height
    right, bottom = min(width - 1, left + box[2] * width), min(height - 1, top + box[3] * height)
    if not dashed:
        draw.rectangle((left - thick, top - thick, right + thick, bottom + thick), outline=(0, 0, 0), width=thick * 3)
        draw.rectangle((left, top, right, bottom), outline=colour, width=thick)
        return
    step = max(4, round(max(picture.size) / 32))
    for start in np.arange(left, right, step):
        end = min(start + step / 2, right)
        draw.line((start, top, end, top), fill=colour, width=thick)
        draw.line((start, bottom, end, bottom), fill=colour, width=thick)
    for start in np.arange(top, bottom, step):
        end = min(start + step / 2, bottom)
        draw.line((left, start, left, end), fill=colour, width=thick)
        draw.line((right, start, right, end), fill=colour, width=thick)


def _with_bar(picture: Image.Image) -> Image.Image:
    """Add a colour bar with its scale at the right."""
    width, height = picture.size
    size = max(8, height // 24)
    bar, gap = max(6, width // 32), max(3, width // 64)
    font = ImageFont.load_default(size)
    room = int(font.getlength("100%")) + gap
    wide = Image.new("RGB", (width + gap + bar + gap + room, height), (0, 0, 0))
    wide.paste(picture, (0, 0))
    ramp = _COLOURS[np.linspace(255, 0, height).astype(np.uint8)]
    wide.paste(Image.fromarray(np.repeat(ramp[:, None, :], bar, axis=1)), (width + gap, 0))
    draw = ImageDraw.Draw(wide)
    where = width + gap + bar + gap
    draw.text((where, 0), "100%", fill=(255, 255, 255), font=font, anchor="lt")
    draw.text((where, height // 2), "50%", fill=(255, 255, 255), font=font, anchor="lm")
    draw.text((where, height - 1), "0%", fill=(255, 255, 255), font=font, anchor="lb")
    return wide
