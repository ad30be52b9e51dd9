"""Is it a frontal chest, upright, with air dark? Told by a linear score over edges and coarse grey levels.

The weights lie in `pose.json` beside this module, 656 numbers and a bias. `python -m commands.data.pose` learns them
from phantoms, and from drawn pictures that are no chest; no real radiograph takes part. How good they are on real ones
is measured by `make bench-data` and told in docs/data.md.
"""

import json
from functools import lru_cache
from importlib.resources import files
from typing import Literal, NamedTuple

import cv2
import numpy as np

#: Side to which a picture is shrunk; that of the coarse grey levels; and cells a side and directions of the edges.
_SIDE, _COARSE, _CELLS, _DIRECTIONS = 32, 12, 8, 8
# Illumination, which differs between scanners, is taken out by a blur of this width, in px.
_ILLUMINATION = 8.0
FEATURES = _COARSE**2 + _DIRECTIONS * _CELLS**2

#: A picture whose score is below this is taken for no chest; 0 is where phantoms and the others are told apart best.
CHEST = -1.0
#: A pose other than upright is believed from this score on, and this far above upright.
SURE, AHEAD = 0.0, 2.0
# Above this score the other poses are not tried: no turned or negative radiograph was ever that far up.
_CLEAR = 3.5

Verdict = Literal["upright", "inverted", "rotated", "no chest"]


class Pose(NamedTuple):
    """What a picture is taken for, and the scores (log odds) that say so.

    `upright` as it is, `turned` by the best of three quarters, `negative` as the negative of the best of four; −inf
    where they were not tried.
    """

    verdict: Verdict
    upright: float
    turned: float = -np.inf
    negative: float = -np.inf


def pose(pixels: np.ndarray) -> Pose:
    """Judge a picture as it is, turned by quarters, and as its negative.

    Args:
        pixels: shape (H, W), floats in [0, 1]; a thumbnail will do.
    """
    small = cv2.resize(np.asarray(pixels, dtype=np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    upright = score(small)
    if upright > _CLEAR:
        return Pose("upright", upright)
    turns = [np.ascontiguousarray(np.rot90(small, quarter)) for quarter in (1, 2, 3)]
    turned = max(score(picture) for picture in turns)
    negative = max(score(1 - picture) for picture in (small, *turns))
    verdict: Verdict = "upright"
    if max(turned, negative) > max(SURE, upright + AHEAD):
        verdict = "inverted" if negative > turned else "rotated"
    elif upright < CHEST:
        verdict = "no chest"
    return Pose(verdict, upright, turned, negative)


def score(pixels: np.ndarray) -> float:
    """Return the log odds that a picture is an upright frontal chest with air dark, as phantoms and drawings go."""
    weights, bias = _weights()
    return float(features(pixels) @ weights) + bias


def features(pixels: np.ndarray) -> np.ndarray:
    """Return what the score looks at, float32 of shape (FEATURES,).

    Grey levels on a grid of 12 × 12 after illumination and contrast are evened out, then histograms of oriented
    gradients (Dalal & Triggs 2005, CVPR) in 8 × 8 cells: signed directions, for a negative must not look the same.

    Args:
        pixels: shape (H, W), floats in [0, 1].
    """
    picture: np.ndarray = np.ascontiguousarray(pixels, dtype=np.float32)
    if picture.shape != (_SIDE, _SIDE):
        picture = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    even: np.ndarray = picture - cv2.GaussianBlur(picture, (0, 0), _ILLUMINATION)
    even /= float(even.std()) + 1e-3
    coarse = cv2.resize(even, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)
    across, down = cv2.Sobel(even, cv2.CV_32F, 1, 0), cv2.Sobel(even, cv2.CV_32F, 0, 1)
    strength, angle = cv2.cartToPolar(across, down)
    direction = (angle * (_DIRECTIONS / (2 * np.pi))).astype(np.int64) % _DIRECTIONS
    place = (direction * _CELLS**2 + _cell_of_pixel()).ravel()
    sums: np.ndarray = np.bincount(place, strength.ravel(), _DIRECTIONS * _CELLS**2)
    cells = sums.reshape(_DIRECTIONS, -1) / (_SIDE // _CELLS) ** 2
    cells = cells / (np.sqrt((cells**2).sum(axis=0)) + 0.5)
    return np.concatenate([coarse.ravel(), cells.ravel()]).astype(np.float32)


@lru_cache(maxsize=1)
def _cell_of_pixel() -> np.ndarray:
    """The cell, counted by rows, in which each pixel lies."""
    along = np.arange(_SIDE) * _CELLS // _SIDE
    return np.asarray(along[:, None] * _CELLS + along[None], dtype=np.int64)


@lru_cache(maxsize=1)
def _weights() -> tuple[np.ndarray, float]:
    stored = json.loads(files("thorax.imaging").joinpath("pose.json").read_text(encoding="utf-8"))
    weights = np.array(stored["weights"], dtype=np.float32)
    if weights.shape != (FEATURES,):
        raise ValueError(f"pose.json holds {weights.size} weights, not {FEATURES}.")
    return weights, float(stored["bias"])
