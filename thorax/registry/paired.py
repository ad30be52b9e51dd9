"""Two models on the same patients: the paired difference of their AUROC, with an interval by patient.

The bootstrap draws patients, as images of one patient are not independent (Efron & Tibshirani 1993, ch. 8; Obuchowski
1997). It is paired: both models are scored on the same draw, so that what is common to them cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thorax.errors import InputError

#: Fewer images of either class than this leave a finding out of a comparison.
MIN_CLASS = 5
_BATCH = 64


@dataclass(frozen=True)
class Difference:
    """Challenger − champion: the estimate, and the one-sided bounds at the comparison's confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of AUROC; `left_out` are findings with too few images of either class."""

    images: int
    patients: int
    confidence: float
    findings: dict[str, Difference]
    mean: Difference
    left_out: tuple[str, ...]


def auroc(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Return the AUROC with integer weights, ties counted half; NaN where a class is empty.

    Args:
        truth: (n,) 1 present, 0 absent.
        scores: (n,) any order-preserving score.
        weights: (n,) how often each image counts.
    """
    order = np.argsort(scores, kind="stable")
    return float(_auroc_sorted(truth[order], _tie_groups(scores[order]), weights[order]))


def compare(
    truth: np.ndarray,
    challenger: np.ndarray,
    champion: np.ndarray,
    patients: np.ndarray,
    findings: Sequence[str],
    *,
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two models' AUROC on the same images.

    Args:
        truth: (N, F) 1 present, 0 absent, NaN unknown; the two models' images in the same order.
        challenger: (N, F) probabilities.
        champion: (N, F) probabilities.
        patients: (N,) who each image is of.
        findings: F names.
        replicates: bootstrap draws of patients.
        confidence: of each one-sided bound.
        seed: of the draws.

    Raises:
        InputError: no finding has at least five images of either class.
    """
    usable = [j for j in range(len(findings)) if min(np.sum(truth[:, j] == 1), np.sum(truth[:, j] == 0)) >= MIN_CLASS]
    if not usable:
        raise InputError(f"No finding has {MIN_CLASS} images of either class among the {len(truth)} in common.")
    people, owner = np.unique(patients, return_inverse=True)
    generator = np.random.default_rng(seed)
    draws = np.vstack(
        [
            np.ones(len(people), np.int64),
            generator.multinomial(len(people), np.full(len(people), 1 / len(people)), replicates),
        ]
    )
    differences = np.column_stack(
        [_differences(truth[:, j], challenger[:, j], champion[:, j], draws, owner) for j in usable]
    )
    with np.errstate(invalid="ignore"):
        means = np.nanmean(differences, axis=1) if len(usable) > 1 else differences[:, 0]
    return Comparison(
        images=len(truth),
        patients=len(people),
        confidence=confidence,
        findings={findings[j]: _bounds(differences[:, k], confidence) for k, j in enumerate(usable)},
        mean=_bounds(means, confidence),
        left_out=tuple(name for j, name in enumerate(findings) if j not in usable),
    )


def _differences(
    truth: np.ndarray, challenger: np.ndarray, champion: np.ndarray, draws: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """Differences of AUROC (R,) of one finding, one a draw; the first is on the data as they are."""
    known = ~np.isnan(truth)
    sides = []
    for scores in (challenger, champion):
        order = np.argsort(scores[known], kind="stable")
        sides.append((truth[known][order], _tie_groups(scores[known][order]), owner[known][order]))
    found = np.empty((len(draws), 2))
    for start in range(0, len(draws), _BATCH):
        batch = slice(start, start + _BATCH)
        for side, (labels, groups, people) in enumerate(sides):
            found[batch, side] = _auroc_sorted(labels, groups, draws[batch][:, people])
    return found[:, 0] - found[:, 1]


def _tie_groups(ordered: np.ndarray) -> np.ndarray:
    """Return where each run of equal scores begins."""
    return np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _auroc_sorted(labels: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mann–Whitney by runs of equal scores, ascending, for weights (…, n)."""
    if not len(labels):
        return np.full(weights.shape[:-1], np.nan)
    positive = np.add.reduceat(weights * (labels == 1), groups, axis=-1).astype(np.float64)
    negative = np.add.reduceat(weights * (labels == 0), groups, axis=-1).astype(np.float64)
    below = np.cumsum(negative, axis=-1) - negative
    total = positive.sum(axis=-1) * negative.sum(axis=-1)
    wins = (positive * (below + negative / 2)).sum(axis=-1)
    return np.divide(wins, total, out=np.full(np.shape(wins), np.nan), where=total > 0)


def _bounds(replicates: np.ndarray, confidence: float) -> Difference:
    drawn = replicates[1:][np.isfinite(replicates[1:])]
    if not len(drawn):
        return Difference(float(replicates[0]), float("-inf"), float("inf"))
    low, high = np.quantile(drawn, [1 - confidence, confidence])
    return Difference(float(replicates[0]), float(low), float(high))
