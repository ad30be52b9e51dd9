"""How well a heatmap agrees with a reader's boxes: pointing game, IoU, IoBB, heat inside, and what chance gives."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from thorax.explain.maps import BOX_LEVEL, heat, upsample

#: Maps and boxes are compared on a grid of this many points a side.
GRID = 128


class Agreement(TypedDict):
    """One map against one image's boxes of one finding; every figure lies in [0, 1]."""

    pointing_game: float
    iou: float
    iobb: float
    mass: float
    chance: float


def box_mask(boxes: Sequence[Sequence[float]], side: int = GRID) -> np.ndarray:
    """Return bool (side, side): the points whose centre lies in any of the boxes (x, y, w, h as fractions)."""
    centres = (np.arange(side) + 0.5) / side
    mask = np.zeros((side, side), dtype=bool)
    for x, y, w, h in boxes:
        mask |= ((centres >= y) & (centres <= y + h))[:, None] & ((centres >= x) & (centres <= x + w))[None, :]
    return mask


def agreement(map_: np.ndarray, boxes: Sequence[Sequence[float]], level: float = BOX_LEVEL) -> Agreement:
    """Compare a class activation map with a reader's boxes.

    Args:
        map_: (h, w).
        boxes: (x, y, w, h) each, as fractions of the image.
        level: the share of the peak's heat above which a point is taken for the finding.

    Returns:
        pointing_game: 1 where the hottest point lies in a box (Zhang et al. 2018, IJCV), without a margin.
        iou: intersection over union of the hot region and the boxes.
        iobb: intersection over the hot region (Wang et al. 2017, CVPR).
        mass: share of all heat that lies in the boxes.
        chance: the boxes' share of the image, what a random point's pointing game is.
        All zeros but for chance, when the map is constant.
    """
    truth = box_mask(boxes)
    warm = upsample(heat(map_), truth.shape)
    chance = float(truth.mean())
    if not warm.any():
        return Agreement(pointing_game=0.0, iou=0.0, iobb=0.0, mass=0.0, chance=chance)
    hot = warm >= level * warm.max()
    both, either = float((hot & truth).sum()), float((hot | truth).sum())
    return Agreement(
        pointing_game=float(truth[np.unravel_index(int(warm.argmax()), warm.shape)]),
        iou=both / either,
        iobb=both / float(hot.sum()),
        mass=float(warm[truth].sum() / warm.sum()),
        chance=chance,
    )
