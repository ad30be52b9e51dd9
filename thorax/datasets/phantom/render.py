"""From a subject to its radiograph and the truth about it."""

from dataclasses import dataclass

import numpy as np

from thorax.datasets.phantom.subject import Subject, twin
from thorax.errors import InputError

__all__ = ["MAX_SIZE", "MIN_SIZE", "Phantom", "render", "twin"]

MIN_SIZE = 32
MAX_SIZE = 4096


@dataclass(frozen=True)
class Phantom:
    """One rendered radiograph and what is true of it.

    Attributes:
        pixels: uint16 (size, size), 12 bit, 0 (black, air) to 4095 (white), as shown on screen (MONOCHROME2).
        image8: uint8 (size, size), the same in 8 bit.
        masks: finding to bool (size, size), where the finding changed the anatomy.
        boxes: finding to (x, y, w, h), the mask's largest region, as fractions of the image, top left corner first.
        severity: finding to severity in (0, 1].
        cardiothoracic_ratio: widest heart over widest inner thorax, as projected.
        lungs: bool (size, size), the two lung fields.
    """

    pixels: np.ndarray
    image8: np.ndarray
    masks: dict[str, np.ndarray]
    boxes: dict[str, tuple[float, float, float, float]]
    severity: dict[str, float]
    cardiothoracic_ratio: float
    lungs: np.ndarray


def render(subject: Subject, size: int) -> Phantom:
    """Render a subject; the same subject and size give the same bytes.

    Args:
        subject: who, with what findings, on which machine.
        size: width and height in pixels, 32 to 4096.

    Raises:
        InputError: a size out of its range.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise InputError(f"A phantom of {size} px cannot be rendered.", f"Choose {MIN_SIZE} to {MAX_SIZE} px.")
    rng = np.random.default_rng(subject.seed)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    lungs = ((x - 0.3) / 0.15) ** 2 + ((y - 0.5) / 0.3) ** 2 < 1
    lungs |= ((x - 0.7) / 0.15) ** 2 + ((y - 0.5) / 0.3) ** 2 < 1
    image = 0.7 - 0.5 * lungs + 0.02 * rng.standard_normal((size, size))
    masks, boxes = {}, {}
    for finding, severity in subject.findings.items():
        mask = (x - 0.65) ** 2 + (y - 0.5) ** 2 < 0.1**2
        image = image + 0.3 * severity * mask
        masks[finding] = mask
        boxes[finding] = (0.55, 0.4, 0.2, 0.2)
    pixels = np.clip(np.rint(image * 4095), 0, 4095).astype(np.uint16)
    return Phantom(pixels, (pixels >> 4).astype(np.uint8), masks, boxes, dict(subject.findings), 0.45, lungs)
