"""The bootstrap by patient: how often each image counts in each replicate, and the intervals that follow."""

from statistics import NormalDist
from typing import TypedDict

import numpy as np


class Figure(TypedDict):
    """A figure with its interval; null where it cannot be told."""

    value: float | None
    low: float | None
    high: float | None


def patient_weights(patients: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """Return how often each image counts in each replicate, uint8 (B, N).

    Patients are drawn with replacement, as many as there are, and bring all their images: images of one patient are
    not independent (Davison & Hinkley 1997, ch. 3.8).
    """
    names, inverse = np.unique(patients, return_inverse=True)
    random = np.random.default_rng(seed)
    weights = np.empty((replicates, len(patients)), dtype=np.uint8)
    for replicate in range(replicates):
        draws = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))
        weights[replicate] = np.minimum(draws, 255)[inverse]
    return weights


def wilson(share: np.ndarray, counts: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's interval of a share (Wilson 1927, JASA)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (share + z**2 / (2 * counts)) / (1 + z**2 / counts)
    half = z * np.sqrt(share * (1 - share) / counts + z**2 / (4 * counts**2)) / (1 + z**2 / counts)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def interval(
    value: float, replicates: np.ndarray, confidence: float, recentre: bool = False, cases: int | None = None
) -> Figure:
    """Return a value with its percentile interval.

    Args:
        value: on the sample itself.
        replicates: (B,); those that are no number are left out.
        confidence: in (0, 1).
        recentre: shift the interval by the replicates' bias. A calibration error is an absolute value, which the
            bootstrap's own noise inflates: its plain percentile interval often lies wholly above the value.
        cases: of a share, the patients that it is over. Where all of them agree every replicate is 0, or 1, and says
            nothing: 14 of 14 is no certainty. Wilson's interval takes its place.
    """
    if not np.isfinite(value):
        return Figure(value=None, low=None, high=None)
    if cases and value in (0.0, 1.0):
        bounds = wilson(np.array(value), np.array(cases), confidence)
        return Figure(value=float(value), low=min(float(bounds[0]), value), high=max(float(bounds[1]), value))
    found = replicates[np.isfinite(replicates)]
    if len(found) < 2:
        return Figure(value=float(value), low=None, high=None)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    if recentre:
        bias = found.mean() - value
        low, high = max(0.0, low - bias), high - bias
    return Figure(value=float(value), low=float(min(low, value)), high=float(max(high, value)))
