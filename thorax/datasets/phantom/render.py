"""From a subject to its radiograph and the truth about it."""

from dataclasses import dataclass

import cv2
import numpy as np

from thorax.datasets.phantom import marks, physics
from thorax.datasets.phantom.anatomy import sample_anatomy
from thorax.datasets.phantom.boxes import box_of
from thorax.datasets.phantom.grid import stream
from thorax.datasets.phantom.pathology import CHANGES, SHAPES
from thorax.datasets.phantom.scene import build
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
        boxes: finding to (x, y, w, h) around the mask, as fractions of the image, upper left corner first.
        severity: finding to severity in (0, 1].
        cardiothoracic_ratio: widest heart over widest inner thorax, as projected.
        lungs: bool (size, size), the two lung fields beside the mediastinum.
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
    anatomy = sample_anatomy(subject)
    for finding, change_shape in SHAPES.items():
        if finding in subject.findings:
            change_shape(anatomy, subject.findings[finding])
    scene = build(anatomy, size)
    masks = {}
    for finding, change in CHANGES.items():
        if finding in subject.findings:
            masks[finding] = change(scene, subject.findings[finding], stream(subject.seed, finding))

    # The patient does not stand quite straight: the whole projection is turned, and the truth with it.
    turn = cv2.getRotationMatrix2D((size / 2 - 0.5, size / 2 - 0.5), anatomy.tilt, 1)
    attenuation = _turned(scene.attenuation(), turn, cv2.INTER_CUBIC)
    masks = {finding: _turned(mask.astype(np.uint8), turn, cv2.INTER_NEAREST) > 0 for finding, mask in masks.items()}
    lungs = _turned(scene.lungs.astype(np.uint8), turn, cv2.INTER_NEAREST) > 0
    marks.marker(attenuation, subject, scene.grid)

    body = attenuation > 0.4
    image = physics.develop(physics.expose(attenuation, anatomy), body, anatomy)
    image *= marks.collimate(subject, size)
    marks.stamp(image)
    pixels = np.rint(image * 4095).astype(np.uint16)
    masks = {finding: mask if mask.any() else _speck(mask) for finding, mask in masks.items()}
    return Phantom(
        pixels=pixels,
        image8=(pixels >> 4).astype(np.uint8),
        masks=masks,
        boxes={finding: box_of(mask) for finding, mask in masks.items()},
        severity=dict(subject.findings),
        cardiothoracic_ratio=anatomy.cardiothoracic_ratio,
        lungs=lungs,
    )


def _turned(image: np.ndarray, turn: np.ndarray, how: int) -> np.ndarray:
    border = cv2.BORDER_REPLICATE if how == cv2.INTER_CUBIC else cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, turn, image.shape[::-1], flags=how, borderMode=border)


def _speck(mask: np.ndarray) -> np.ndarray:
    """Return a mask of one pixel in the middle, for a finding that holds no pixel of the image."""
    mask[mask.shape[0] // 2, mask.shape[1] // 2] = True
    return mask
