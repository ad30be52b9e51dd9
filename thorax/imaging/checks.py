"""What can look wrong with a radiograph, told from its pixels alone."""

import numpy as np

from thorax.imaging.pose import pose

#: A picture smaller than this on a side holds no readable chest.
MIN_SIDE = 48
_BLANK = 0.02
_SATURATED = 0.60
_COLOUR = 0.03
#: A radiograph of 8 bit uses more than a hundred grey levels; one shifted out of its depth, a handful.
_LEVELS = 24
#: At most about so many pixels, on a regular grid, are looked at one by one.
_SAMPLE = 16_384


def inspect(pixels: np.ndarray, small: np.ndarray, colour: float = 0.0) -> dict[str, str]:
    """Look for faults of a picture.

    Args:
        pixels: float32 of shape (H, W) in [0, 1], air dark.
        small: its thumbnail, float32 of shape (64, 64).
        colour: mean difference of the colour channels, in [0, 1].

    Returns:
        name of the check → one sentence; empty where nothing looks wrong.
    """
    found: dict[str, str] = {}
    height, width = pixels.shape
    if min(height, width) < MIN_SIDE:
        found["size"] = f"The picture is only {width} × {height} pixels."
    if colour > _COLOUR:
        found["colour"] = "The picture is coloured; a radiograph is grey."
    if float(small.std()) < _BLANK:
        found["blank"] = "The picture is blank."
        return found
    step = max(1, int(np.sqrt(pixels.size / _SAMPLE)))
    sample = np.ascontiguousarray(pixels[::step, ::step])
    extreme = float(((sample <= 0.0) | (sample >= 1.0)).mean())
    if extreme > _SATURATED:
        found["saturated"] = f"{extreme:.0%} of the pixels are pure black or white."
    levels = np.count_nonzero(np.bincount((sample * 255).astype(np.uint8).ravel()))
    if levels < _LEVELS:
        found["levels"] = f"The picture uses only {levels} grey levels."
    match pose(small).verdict:
        case "inverted":
            found["inverted"] = "The picture seems to be a negative: air bright, bones dark."
        case "rotated":
            found["rotated"] = "The picture seems to be turned or upside down."
        case "no chest":
            found["chest"] = "The picture does not look like a frontal chest radiograph."
    return found
