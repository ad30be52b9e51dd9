"""How far probabilities are from what happened: calibration errors, reliability, and Brier's score in parts."""

from dataclasses import dataclass

import numpy as np


def equal_mass_bins(probabilities: np.ndarray, bins: int = 15) -> np.ndarray:
    """Return the bin (0 … bins − 1) of each case; bins hold as many cases each as can be, in order of probability.

    Ties are cut by position, so that a constant score still fills all bins; their mean is then that of chance.
    """
    order = np.argsort(probabilities, kind="stable")
    which = np.empty(len(probabilities), dtype=np.int64)
    for number, part in enumerate(np.array_split(order, bins)):
        which[part] = number
    return which


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """Return the ECE over equal-mass bins (Naeini et al. 2015, AAAI; equal mass as Nguyen & O'Connor 2015).

    The mean over cases of |mean probability − share of positives| of their bin; 0 is best. NaN without a case.
    """
    if not len(truth):
        return float("nan")
    which = equal_mass_bins(probabilities, bins)
    return float(np.abs(np.bincount(which, probabilities - truth, bins)).sum() / len(truth))


def equal_width_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """Return the ECE over bins of equal width (Guo et al. 2017, ICML)."""
    if not len(truth):
        return float("nan")
    which = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    return float(np.abs(np.bincount(which, probabilities - truth, bins)).sum() / len(truth))


def adaptive_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the calibration error with as many equal-mass bins as keep the reliability curve rising.

    The monotone sweep of Roelofs et al. (2022, AISTATS), which is the least biased for few cases.
    """
    if not len(truth):
        return float("nan")
    order = np.argsort(probabilities, kind="stable")
    ranked_p, ranked_y = probabilities[order], truth[order].astype(np.float64)
    best = abs(float(ranked_p.mean() - ranked_y.mean()))
    sums_p, sums_y = np.append(0.0, np.cumsum(ranked_p)), np.append(0.0, np.cumsum(ranked_y))
    for bins in range(2, len(truth) + 1):
        edges = np.round(np.linspace(0, len(truth), bins + 1)).astype(np.int64)
        counts, positives = np.diff(edges), np.diff(sums_y[edges])
        if np.any(np.diff(positives / counts) < 0):
            break
        best = float(np.abs(np.diff(sums_p[edges]) - positives).sum() / len(truth))
    return best


@dataclass(frozen=True)
class Brier:
    """Brier's score and its parts (Murphy 1973, J. Appl. Meteorol.), over equal-mass bins.

    score = reliability − resolution + uncertainty + within: reliability is what calibration could mend, resolution
    what the scores tell apart, uncertainty the prevalence's own, and `within` what binning hides (Stephenson et al.
    2008, Weather and Forecasting).
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> Brier:
    """Decompose Brier's score; NaN without a case."""
    if not len(truth):
        return Brier(*(float("nan"),) * 5)
    which = equal_mass_bins(probabilities, bins)
    counts = np.bincount(which, minlength=bins)
    used = counts > 0
    share = counts[used] / len(truth)
    mean_p = np.bincount(which, probabilities, bins)[used] / counts[used]
    mean_y = np.bincount(which, truth, bins)[used] / counts[used]
    prevalence = float(truth.mean())
    score = float(np.mean((probabilities - truth) ** 2))
    reliability = float(share @ (mean_p - mean_y) ** 2)
    resolution = float(share @ (mean_y - prevalence) ** 2)
    uncertainty = prevalence * (1 - prevalence)
    return Brier(score, reliability, resolution, uncertainty, score - reliability + resolution - uncertainty)
