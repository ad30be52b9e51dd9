"""AUROC and average precision for many weightings of the same cases at once, and DeLong's comparison of two models."""

from dataclasses import dataclass

import numpy as np

#: Replicates that are worked on together: their cumulative sums stay in the processor's cache.
_CHUNK = 64


def auroc_and_auprc(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the area under the ROC curve and the average precision, for each weighting.

    AUROC is the chance that a positive scores above a negative, ties counted half (Hanley & McNeil 1982). Average
    precision is the sum over thresholds of precision times the step in recall, without interpolation; tied scores are
    one threshold.

    Args:
        scores: (N,); a case with a score that is not a number must not be among them.
        truth: (N,) of 0 and 1.
        weights: (B, N), how often each case counts; integers, or ones.

    Returns:
        Two float64 (B,); NaN for a weighting without a positive or (AUROC) without a negative.
    """
    order = np.argsort(scores, kind="stable")
    ranked, labels = scores[order], truth[order] > 0.5
    positive, negative = order[labels], order[~labels]
    positive_scores, negative_scores = ranked[labels], ranked[~labels]
    # For every positive: how many columns of negatives lie below it, and below or level with it.
    below = np.searchsorted(negative_scores, positive_scores, side="left")
    level = np.searchsorted(negative_scores, positive_scores, side="right")
    first = np.searchsorted(positive_scores, positive_scores, side="left")
    auroc, auprc = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    for start in range(0, len(weights), _CHUNK):
        part = weights[start : start + _CHUNK]
        hits = part[:, positive].astype(np.float64)
        negatives = _cumulated(part[:, negative])
        positives = _cumulated(part[:, positive])
        all_positives, all_negatives = positives[:, -1], negatives[:, -1]
        negatives_below = negatives[:, below]
        with np.errstate(invalid="ignore", divide="ignore"):
            won = np.einsum("bp,bp->b", hits, negatives_below + negatives[:, level]) / 2
            auroc[start : start + _CHUNK] = won / (all_positives * all_negatives)
            called_true = all_positives[:, None] - positives[:, first]
            called_false = all_negatives[:, None] - negatives_below
            precision = np.where(called_true > 0, called_true / (called_true + called_false), 0.0)
            auprc[start : start + _CHUNK] = np.einsum("bp,bp->b", hits, precision) / all_positives
    return auroc, auprc


def auroc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the AUROC of one sample; NaN without a positive or a negative."""
    return float(auroc_and_auprc(scores, truth, np.ones((1, len(scores)), dtype=np.uint8))[0][0])


def roc_points(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return false positive rate, sensitivity and threshold (T,) at every distinct score, from the strictest on."""
    distinct = np.unique(scores)[::-1]
    positives, negatives = np.sort(scores[truth > 0.5]), np.sort(scores[truth <= 0.5])
    sensitivity = 1 - np.searchsorted(positives, distinct, side="left") / max(len(positives), 1)
    false_positive = 1 - np.searchsorted(negatives, distinct, side="left") / max(len(negatives), 1)
    return np.append(0.0, false_positive), np.append(0.0, sensitivity), np.append(np.inf, distinct)


def precision_recall_points(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision (T,) at every distinct score, from the strictest on."""
    distinct = np.unique(scores)[::-1]
    positives, negatives = np.sort(scores[truth > 0.5]), np.sort(scores[truth <= 0.5])
    true = len(positives) - np.searchsorted(positives, distinct, side="left")
    false = len(negatives) - np.searchsorted(negatives, distinct, side="left")
    return true / max(len(positives), 1), true / np.maximum(true + false, 1)


@dataclass(frozen=True)
class DeLong:
    """Two AUROCs on the same cases, their difference, its standard error and the two-sided p-value."""

    first: float
    second: float
    difference: float
    standard_error: float
    p_value: float


def delong(first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> DeLong:
    """Compare two models' AUROCs on the same cases (DeLong et al. 1988, Biometrics; Sun & Xu 2014 for the ranks).

    It takes cases for independent: with several images a patient prefer the bootstrap by patient.

    Args:
        first: (N,) scores of one model.
        second: (N,) scores of the other.
        truth: (N,) of 0 and 1.

    Returns:
        NaN without two positives and two negatives; a p-value of 1 where both rank alike.
    """
    from scipy.stats import norm, rankdata

    labels = truth > 0.5
    m, n = int(labels.sum()), int((~labels).sum())
    if m < 2 or n < 2:
        return DeLong(*(float("nan"),) * 5)
    areas, by_positive, by_negative = [], [], []
    for scores in (first, second):
        midrank = rankdata(scores)
        within_positive, within_negative = rankdata(scores[labels]), rankdata(scores[~labels])
        by_positive.append((midrank[labels] - within_positive) / n)
        by_negative.append(1.0 - (midrank[~labels] - within_negative) / m)
        areas.append(float(by_positive[-1].mean()))
    covariance = np.cov(np.stack(by_positive)) / m + np.cov(np.stack(by_negative)) / n
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    difference = areas[0] - areas[1]
    p_value = 1.0 if error < 1e-12 else float(2 * norm.sf(abs(difference) / error))
    return DeLong(areas[0], areas[1], difference, error, p_value)


def _cumulated(weights: np.ndarray) -> np.ndarray:
    """Return cumulative sums along the cases, float64 (B, N + 1), beginning with zero."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:], dtype=np.float64)
    return sums
