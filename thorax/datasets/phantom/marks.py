"""What is not anatomy: collimation, the side marker, and the mark that says what the picture is."""

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from thorax.datasets.phantom.grid import Grid, stream
from thorax.datasets.phantom.subject import Subject

MARK = "SYNTHETIC"


@lru_cache(maxsize=32)
def _text(word: str, height: int) -> np.ndarray:
    """Return a word as float32 (height, width), 1 in the strokes; Pillow's own font, so that no file is needed."""
    font = ImageFont.load_default(size=64)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(word))
    canvas = Image.new("L", (right - left + 8, bottom - top + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), word, fill=255, font=font)
    width = max(round(canvas.width * height / canvas.height), 1)
    return np.asarray(canvas.resize((width, height), Image.Resampling.LANCZOS), np.float32) / 255


def stamp(image: np.ndarray) -> None:
    """Burn the mark into the upper left corner, in place; the same pixels in every image of one size."""
    size = image.shape[0]
    word = _text(MARK, max(round(size * 0.026), 4))
    height, width = word.shape
    edge = max(size // 128, 1)
    box = image[: height + 2 * edge, : width + 2 * edge]
    box[...] = 0.02
    box[edge : edge + height, edge : edge + width] = 0.02 + 0.6 * word


def marker(attenuation: np.ndarray, subject: Subject, grid: Grid) -> None:
    """Add a lead letter beside the shoulder of its side, in place: `R` at the image's left, `L` at its right."""
    if not subject.marker:
        return
    rng = stream(subject.seed, "marker")
    size = attenuation.shape[0]
    letter = _text(subject.marker, max(round(size * 0.045), 4))
    turn, x, y = rng.normal(0, 6), rng.uniform(0.055, 0.1), rng.uniform(0.075, 0.14)
    height, width = letter.shape
    across = x if subject.marker == "R" else 1 - x
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 1)
    matrix[:, 2] += (across * size - width / 2, y * size - height / 2)
    attenuation += 3.0 * cv2.warpAffine(letter, matrix, (size, size), flags=cv2.INTER_LINEAR)


def collimate(subject: Subject, size: int) -> np.ndarray:
    """Return the share of the beam that the collimator lets through, float32 (size, size), 0 to 1."""
    rng = stream(subject.seed, "collimation")
    edges = np.where(rng.random(4) < 0.35, rng.uniform(0.004, 0.05, 4), -0.05)
    tilt = rng.normal(0, 0.006)
    fraction = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = fraction[None, :], fraction[:, None]
    soft = 0.003
    open_ = np.clip((x - edges[0] - tilt * y) / soft + 0.5, 0, 1) * np.clip(
        (1 - x - edges[1] + tilt * y) / soft + 0.5, 0, 1
    )
    open_ = open_ * np.clip((y - edges[2] + tilt * x) / soft + 0.5, 0, 1)
    return (open_ * np.clip((1 - y - edges[3] - tilt * x) / soft + 0.5, 0, 1)).astype(np.float32)
