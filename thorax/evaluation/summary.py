"""From replicates to the figures of `evaluation.json`: a value and an interval, a finding and over findings."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from thorax.evaluation.calibration_error import adaptive_error, brier_parts, equal_width_error
from thorax.evaluation.figures_of_merit import METRICS, RECENTRED, Scores, confusion, figures, patients_behind
from thorax.evaluation.ranking import auroc_and_auprc
from thorax.evaluation.resampling import Figure, interval

#: Called present with more than this probability, and wrong: the over-confidence that the reports complain of.
OVERCONFIDENT = 0.9
#: Figures of the classification report that are averaged by support too.
WEIGHTED = ("precision", "sensitivity", "f1")


def summarise(
    scores: Scores,
    weights: np.ndarray,
    findings: Sequence[str],
    confidence: float,
    bins: int,
) -> dict[str, Any]:
    """Return `metrics`: every figure a finding, their means ("mean", macro; "weighted", by support), and "micro".

    Args:
        scores: N images, F findings.
        weights: (B, N) of the bootstrap by patient.
        findings: F names.
        confidence: of the intervals.
        bins: of the calibration errors.
    """
    ones = np.ones((1, len(scores.truth)), dtype=np.uint8)
    sample, replicates = figures(scores, ones, bins), figures(scores, weights, bins)
    counts, behind = confusion(scores), patients_behind(scores)
    metrics: dict[str, Any] = {}
    for column, finding in enumerate(findings):
        metrics[finding] = {
            name: interval(
                sample[name][0, column],
                replicates[name][:, column],
                confidence,
                name in RECENTRED,
                int(behind[name][column]) if name in behind else None,
            )
            for name in METRICS
        }
        metrics[finding]["confusion"] = counts[column]
        metrics[finding] |= _details(scores, column, bins)
    metrics["mean"] = {
        name: interval(
            _mean(sample[name][0]),
            _mean(replicates[name][:, np.isfinite(sample[name][0])]),
            confidence,
            name in RECENTRED,
        )
        for name in METRICS
    }
    for name in ("overconfident", "overconfident_raw", "positives"):
        metrics["mean"][name] = float(np.mean([metrics[finding][name] for finding in findings]))
    metrics["weighted"] = {name: _weighted(sample[name][0], metrics, findings) for name in WEIGHTED}
    metrics["micro"] = {
        name: interval(sample[f"{name}_micro"][0, 0], replicates[f"{name}_micro"][:, 0], confidence)
        for name in METRICS
        if f"{name}_micro" in sample
    }
    known = ~np.isnan(scores.truth)
    pooled = auroc_and_auprc(scores.probabilities[known], scores.truth[known], np.ones((1, int(known.sum()))))
    for name, found in zip(("auroc", "auprc"), pooled, strict=True):  # a million cases: the sample's own alone
        metrics["micro"][name] = Figure(value=_known(float(found[0])), low=None, high=None)
    return metrics


def _weighted(values: np.ndarray, metrics: dict[str, Any], findings: Sequence[str]) -> Figure:
    """Mean over findings by their positives, scikit-learn's `weighted`; where there is no positive, none counts."""
    support = np.array([metrics[finding]["positives"] for finding in findings], dtype=np.float64)
    told = np.isfinite(values) & (support > 0)
    value = float(values[told] @ support[told] / support[told].sum()) if told.any() else None
    return Figure(value=value, low=None, high=None)


def _details(scores: Scores, column: int, bins: int) -> dict[str, Any]:
    """Return what has no interval: counts, other calibration errors, Brier's parts."""
    rows = ~np.isnan(scores.truth[:, column])
    truth, p, raw = scores.truth[rows, column], scores.probabilities[rows, column], scores.raw[rows, column]
    return {
        "positives": int((truth > 0.5).sum()),
        "images": int(rows.sum()),
        "threshold": float(scores.thresholds[column]),
        "overconfident": int(((p > OVERCONFIDENT) & (truth < 0.5)).sum()),
        "overconfident_raw": int(((raw > OVERCONFIDENT) & (truth < 0.5)).sum()),
        "ece_width": _known(equal_width_error(p, truth, bins)),
        "ece_width_raw": _known(equal_width_error(raw, truth, bins)),
        "ece_adaptive": _known(adaptive_error(p, truth)),
        "ece_adaptive_raw": _known(adaptive_error(raw, truth)),
        "brier_parts": {name: _known(value) for name, value in vars(brier_parts(p, truth, bins)).items()},
        "brier_parts_raw": {name: _known(value) for name, value in vars(brier_parts(raw, truth, bins)).items()},
    }


def _mean(values: np.ndarray) -> Any:
    """Mean over findings, of those that have the figure; NaN where none has."""
    known = np.isfinite(values)
    counts = known.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=-1) / np.where(counts > 0, counts, np.nan)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
