"""Every figure of every finding, on the sample and on all bootstrap replicates at once."""

from dataclasses import dataclass

import numpy as np

from thorax.evaluation.calibration_error import equal_mass_bins
from thorax.evaluation.ranking import auroc_and_auprc

#: In the order in which they are reported.
METRICS = (
    "auroc",
    "auprc",
    "sensitivity",
    "specificity",
    "precision",
    "npv",
    "f1",
    "balanced_accuracy",
    "accuracy",
    "ece",
    "ece_raw",
    "brier",
    "brier_raw",
    "nll",
    "nll_raw",
)
#: Figures whose interval is shifted by the bootstrap's bias; see `thorax.evaluation.resampling.interval`.
RECENTRED = frozenset({"ece", "ece_raw"})
#: Sums over cases that the threshold and calibration figures are made of, before those of the bins.
_SUMS = ("tp", "fp", "fn", "tn", "brier", "brier_raw", "nll", "nll_raw")


@dataclass(frozen=True)
class Scores:
    """What is evaluated: N images, F findings.

    Attributes:
        truth: (N, F): 1, 0, NaN unknown.
        probabilities: (N, F), calibrated.
        raw: (N, F), uncalibrated probabilities.
        thresholds: (F,), on the calibrated probability.
        patients: (N,).
    """

    truth: np.ndarray
    probabilities: np.ndarray
    raw: np.ndarray
    thresholds: np.ndarray
    patients: np.ndarray

    def take(self, rows: np.ndarray) -> "Scores":
        """Return the scores of some images."""
        return Scores(self.truth[rows], self.probabilities[rows], self.raw[rows], self.thresholds, self.patients[rows])

    @property
    def decisions(self) -> np.ndarray:
        """Return bool (N, F): whether each finding is called present."""
        return self.probabilities >= self.thresholds


def figures(scores: Scores, weights: np.ndarray, bins: int = 15, micro: bool = True) -> dict[str, np.ndarray]:
    """Return every metric for each weighting and finding.

    Sums over cases are one matrix product of weights and columns; only the rank figures go finding by finding.

    Args:
        scores: N images, F findings.
        weights: (B, N), how often each image counts; a row of ones gives the sample's own figures.
        bins: of equal mass on the whole sample, for `ece`; replicates keep the sample's bins.
        micro: add `<metric>_micro` (B, 1): all findings' cases thrown together.

    Returns:
        float64 (B, F) by the names in `METRICS`; NaN where a figure does not exist.
    """
    known = ~np.isnan(scores.truth)
    columns = _columns(scores, known, bins)
    precise = np.float64 if len(weights) == 1 else np.float32
    sums = (weights.astype(precise) @ columns.reshape(len(known), -1).astype(precise)).astype(np.float64)
    sums = sums.reshape(len(weights), known.shape[1], -1)
    named = {name: sums[:, :, index] for index, name in enumerate(_SUMS)}
    total = named["tp"] + named["fp"] + named["fn"] + named["tn"]
    result = _from_counts(named)
    with np.errstate(invalid="ignore", divide="ignore"):
        edge = len(_SUMS)
        result["ece"] = np.abs(sums[:, :, edge : edge + bins]).sum(axis=2) / total
        result["ece_raw"] = np.abs(sums[:, :, edge + bins :]).sum(axis=2) / total
        for name in ("brier", "brier_raw", "nll", "nll_raw"):
            result[name] = named[name] / total
    ranks = [_rank_figures(scores, known, finding, weights) for finding in range(known.shape[1])]
    result["auroc"], result["auprc"] = (np.stack(part, axis=1) for part in zip(*ranks, strict=True))
    if micro:
        pooled = _from_counts({name: named[name].sum(axis=1, keepdims=True) for name in _SUMS})
        result |= {f"{name}_micro": values for name, values in pooled.items()}
    return result


def confusion(scores: Scores) -> list[dict[str, int]]:
    """Return true and false positives and negatives at the operating point, a finding."""
    known = ~np.isnan(scores.truth)
    present, called = scores.truth > 0.5, scores.decisions
    parts = {"tp": present & called, "fp": ~present & called, "fn": present & ~called, "tn": ~present & ~called}
    return [
        {name: int((part[:, finding] & known[:, finding]).sum()) for name, part in parts.items()}
        for finding in range(known.shape[1])
    ]


def patients_behind(scores: Scores) -> dict[str, np.ndarray]:
    """Return, for each metric that is a share, of how many patients it is one, a finding: int (F,)."""
    _, place = np.unique(scores.patients, return_inverse=True)
    known, present, called = ~np.isnan(scores.truth), scores.truth == 1, scores.decisions
    of = {"sensitivity": present, "specificity": known & ~present, "precision": called, "npv": ~called}
    return {
        name: np.array([np.count_nonzero(np.bincount(place[rows])) for rows in (mask & known).T])
        for name, mask in of.items()
    }


def _columns(scores: Scores, known: np.ndarray, bins: int) -> np.ndarray:
    """Return (N, F, 8 + 2·bins): each case's share in every sum; zero where its truth is unknown."""
    n, findings = known.shape
    truth = np.where(known, scores.truth, 0.0)
    columns = np.zeros((n, findings, len(_SUMS) + 2 * bins))
    called = scores.decisions
    for index, part in enumerate((truth * called, (1 - truth) * called, truth * ~called, (1 - truth) * ~called)):
        columns[:, :, index] = part * known
    for index, p in enumerate((scores.probabilities, scores.raw)):
        clipped = np.clip(p, 1e-7, 1 - 1e-7)
        columns[:, :, 4 + index] = (p - truth) ** 2 * known
        columns[:, :, 6 + index] = -(truth * np.log(clipped) + (1 - truth) * np.log1p(-clipped)) * known
        for finding in range(findings):
            rows = np.flatnonzero(known[:, finding])
            which = equal_mass_bins(p[rows, finding], bins)
            columns[rows, finding, len(_SUMS) + index * bins + which] = p[rows, finding] - truth[rows, finding]
    return columns


def _from_counts(count: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the figures at the operating point from the four counts."""
    tp, fp, fn, tn = (count[name] for name in ("tp", "fp", "fn", "tn"))
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        # Where nothing is called present there is no precision; by scikit-learn's convention F1 is then 0.
        return {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "precision": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "f1": np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "accuracy": (tp + tn) / (tp + fp + fn + tn),
        }


def _rank_figures(
    scores: Scores, known: np.ndarray, finding: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    rows = known[:, finding]
    weighting = weights if rows.all() else weights[:, rows]
    # Raw logits would rank alike; probabilities are what is shown, and isotonic calibration makes ties of its own.
    return auroc_and_auprc(scores.probabilities[rows, finding], scores.truth[rows, finding], weighting)
