"""What can look wrong with a radiograph, told from its pixels alone."""

import cv2
import numpy as np

#: A picture smaller than this on a side holds no readable chest.
MIN_SIDE = 48
_BLANK = 0.02
_SATURATED = 0.60
_COLOUR = 0.03


def inspect(pixels: np.ndarray, colour: float = 0.0) -> dict[str, str]:
    """Look for faults of a picture.

    Args:
        pixels: float32 of shape (H, W) in [0, 1], air dark.
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
    small = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)
    if float(small.std()) < _BLANK:
        found["blank"] = "The picture is blank."
        return found
    extreme = float(((pixels <= 0.0) | (pixels >= 1.0)).mean())
    if extreme > _SATURATED:
        found["saturated"] = f"{extreme:.0%} of the pixels are pure black or white."
    return found
