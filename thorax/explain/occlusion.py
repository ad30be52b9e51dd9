"""Occlusion maps (Zeiler & Fergus 2014, ECCV): how much a finding's logit falls when a place is blurred away.

They need no gradients, so no PyTorch, and know nothing of how the network is made: an independent look at what the
class activation map says, for a pass of the network a place.
"""

from collections.abc import Callable

import cv2
import numpy as np

#: Cells a side; each is one pass of the network.
CELLS = 8
#: A patch's side, in cells: patches overlap by half, so that no finding falls between two.
_PATCH = 2
#: Sigma of the blur, as a share of the image's side: ribs and vessels go, the chest's shape stays.
_BLUR = 1 / 12


def occlusion_maps(run: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Return how much each finding's logit falls with each place.

    Args:
        run: takes uint8 images (1, S, S), gives logits (1, F).
        image: uint8 (S, S), what the network reads.

    Returns:
        float32 (F, 8, 8): the logit of the image less that of the image without the place; positive where the place
        speaks for the finding.
    """
    size = image.shape[-1]
    blurred = cv2.GaussianBlur(image, (0, 0), max(1.0, size * _BLUR))
    whole = run(image[None])[0]
    found = np.empty((len(whole), CELLS, CELLS), dtype=np.float32)
    for row in range(CELLS):
        for column in range(CELLS):
            top, bottom = _span(row, size)
            left, right = _span(column, size)
            hidden = image.copy()
            hidden[top:bottom, left:right] = blurred[top:bottom, left:right]
            found[:, row, column] = whole - run(hidden[None])[0]
    return found


def _span(cell: int, size: int) -> tuple[int, int]:
    """Return the first pixel of a cell's patch and the one after its last, cut at the image's edges."""
    centre, half = (cell + 0.5) * size / CELLS, _PATCH * size / CELLS / 2
    return max(0, round(centre - half)), min(size, round(centre + half))
