"""Effect sizes between two distributions, from counts: how far apart, not how sure one may be of it.

All take counts with the bins on the last axis, so that a thousand resamples cost one call.
"""

import numpy as np

#: Added to every bin, so that an empty one does not make an infinite index (Jeffreys).
_PRIOR = 0.5


def shares(counts: np.ndarray) -> np.ndarray:
    """Return counts (…, k) as smoothed shares that add up to 1."""
    smoothed = np.asarray(counts, dtype=np.float64) + _PRIOR
    return smoothed / smoothed.sum(axis=-1, keepdims=True)


def psi(current: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the population stability index of counts (…, k): the symmetric Kullback–Leibler divergence, in nats."""
    p, q = shares(current), shares(reference)
    return np.sum((p - q) * np.log(p / q), axis=-1)


def jensen_shannon(current: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the Jensen–Shannon distance of counts (…, k), 0 to 1: the root of the divergence in bits (Lin 1991)."""
    p, q = shares(current), shares(reference)
    middle = (p + q) / 2
    divergence = np.sum(p * np.log2(p / middle) + q * np.log2(q / middle), axis=-1) / 2
    return np.sqrt(np.maximum(divergence, 0.0))


def wasserstein(current: np.ndarray, reference: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return the first Wasserstein distance of counts (…, k) over a cut axis, in the unit of `widths`.

    It is the area between the two cumulative distributions, taken at the inner edges.

    Args:
        current: (…, k) counts, ascending along the axis.
        reference: (…, k) counts.
        widths: (k − 1,) how much of the axis stands behind each inner edge.
    """
    p, q = (
        np.cumsum(counts, axis=-1)[..., :-1] / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
        for counts in (np.asarray(current, dtype=np.float64), np.asarray(reference, dtype=np.float64))
    )
    return np.sum(np.abs(p - q) * widths, axis=-1)
