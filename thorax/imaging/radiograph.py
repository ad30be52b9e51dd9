"""What the reader hands on: pixels, and the few facts about them that identify nobody."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Kind = Literal["PNG", "JPEG", "TIFF", "DICOM"]


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One radiograph, upright, with air dark.

    Attributes:
        pixels: float32 of shape (height, width) in [0, 1].
        width: of `pixels`, in px.
        height: of `pixels`, in px.
        bits: grey levels the file stored, as a power of two (8 to 16).
        kind: the format that the bytes were found to be, whatever the file is called.
        view: "PA", "AP", "LATERAL", or None where the file does not say.
        age: years, or None.
        sex: "F", "M", or None.
        pixel_spacing: (row, column) distance of pixel centres in mm, or None.
        thumbnail: float32 of shape (64, 64), the whole picture squashed: what checks and the perceptual hash look at.
        checks: what looks wrong with the picture: name of the check → one sentence. Empty where nothing does.
        acquisition: modality, manufacturer, device, detector and position ("lying", "standing"), as far as given.
        assumptions: what the file leaves open or contradicts, and what was assumed: one sentence each.
    """

    pixels: np.ndarray
    width: int
    height: int
    bits: int
    kind: Kind
    view: str | None = None
    age: float | None = None
    sex: str | None = None
    pixel_spacing: tuple[float, float] | None = None
    thumbnail: np.ndarray | None = None
    checks: dict[str, str] = field(default_factory=dict)
    acquisition: dict[str, str] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
