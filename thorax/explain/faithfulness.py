"""Does a map show what the network used? Deletion, insertion, and agreement of two maps, each beside a random map."""

from collections.abc import Callable
from typing import TypedDict

import cv2
import numpy as np

from thorax.explain.maps import upsample

#: Takes images (N, S, S) in [0, 1] and returns the probability of one finding (N,).
Score = Callable[[np.ndarray], np.ndarray]


class Faithfulness(TypedDict):
    """Areas under the curves of one map; for a faithful one deletion is low and insertion is high."""

    deletion: float
    insertion: float


def order_of(map_: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels' positions (H·W,) in the flattened image, hottest first."""
    return np.argsort(-upsample(map_, size).ravel(), kind="stable")


def deletion_insertion(score: Score, image: np.ndarray, map_: np.ndarray, steps: int = 16) -> Faithfulness:
    """Return how the probability falls as the hottest pixels go, and rises as they come (Petsiuk et al. 2018, BMVC).

    What is removed becomes the strongly blurred image: black would be a new thing to see.

    Args:
        score: the network's probability of the finding.
        image: (S, S), float in [0, 1].
        map_: (h, w).
        steps: of equal numbers of pixels.

    Returns:
        The areas under both curves, over the share of pixels, in [0, 1].
    """
    values = np.asarray(image, dtype=np.float32)
    blurred = cv2.GaussianBlur(values, (0, 0), sigmaX=max(values.shape) / 12)
    order = order_of(map_, values.shape)
    cuts = np.linspace(0, len(order), steps + 1).round().astype(int)
    deleted, inserted = np.empty((2, steps + 1, *values.shape), dtype=np.float32)
    for step, cut in enumerate(cuts):
        gone = np.zeros(values.shape, dtype=bool)
        gone.flat[order[:cut]] = True
        deleted[step] = np.where(gone, blurred, values)
        inserted[step] = np.where(gone, values, blurred)
    scored = np.asarray(score(np.concatenate([deleted, inserted])), dtype=np.float64)
    share = cuts / len(order)
    return Faithfulness(
        deletion=float(np.trapezoid(scored[: steps + 1], share)),
        insertion=float(np.trapezoid(scored[steps + 1 :], share)),
    )


def random_map(side: int, seed: int) -> np.ndarray:
    """Return a smooth map (side, side) without any meaning, to compare with."""
    return np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's correlation of two maps of one shape; 0 where one of them is constant."""
    from scipy.stats import spearmanr

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first.ravel(), second.ravel()).statistic)
