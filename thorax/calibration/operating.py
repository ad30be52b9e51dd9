"""Operating points: the threshold on the calibrated probability from which a finding is called present.

A threshold for a sensitivity of 0.90 hangs on the lowest tenth of the positives, which are few. Calibrated
probabilities say how the positives lie, too, and with every image. So both speak: what was seen, and as if `prior` more
positives (and negatives) had been seen that lie as the probabilities say. On a published network, calibrated on 150 to
500 patients, 50 bring the root mean square error of the reached sensitivity from .09 to .05 (8 to 20 positives), .06
to .04 (20 to 50), and .06 to .04 (50 to 120); 30 to 200 do about as well. Small networks of our own, whose
probabilities are worse, like fewer: .042 with 30, .043 with 100, .045 with none, at 40 to 110 positives.

What remains is mostly the test patients' own chance: of 100 positives, a threshold that finds each with probability .90
finds 84 to 95 (19 times in 20), and of 50, 41 to 49. No rule for the threshold can do better on one split.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen.

    Attributes:
        kind: `sensitivity` or `specificity`: the threshold that reaches `target` with the least price in the other;
            `youden`: the greatest sensitivity + specificity; `f1`, `fbeta`: the greatest F, with recall `beta` times as
            important as precision; `cost`: the least cost, a missed finding costing `cost_ratio` false alarms.
        target: in (0, 1).
        beta: above 0.
        cost_ratio: above 0.
        prior: how many positives, and negatives, the calibrated probabilities count for; 0 leaves them out.
    """

    kind: Literal["sensitivity", "specificity", "youden", "f1", "fbeta", "cost"] = "sensitivity"
    target: float = 0.9
    beta: float = 2.0
    cost_ratio: float = 5.0
    prior: float = 50.0


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it gave on the data that it was fitted to; NaN where that data could not say."""

    threshold: float
    sensitivity: float
    specificity: float
    note: str = ""


def operating_point(probabilities: np.ndarray, truth: np.ndarray, rule: Rule) -> OperatingPoint:
    """Choose a threshold; an image is called present when its probability is at least that.

    Args:
        probabilities: (N,), calibrated.
        truth: (N,) of 0 and 1.
        rule: what to reach.

    Returns:
        The threshold, with the sensitivity and specificity that were seen there. Without a positive or a negative the
        probabilities alone choose, and a note says so; without them too (`prior` 0) the threshold is 0.5.
    """
    present = truth > 0.5
    positives, negatives = int(present.sum()), int((~present).sum())
    note = ""
    if not positives or not negatives:
        note = f"no {'negative' if positives else 'positive'} to fit the operating point to"
        if not rule.prior or not len(truth):
            return OperatingPoint(0.5, float("nan"), float("nan"), note)
    # Candidates: every score that occurs, so that ties are called alike.
    candidates, place = np.unique(probabilities, return_inverse=True)
    sensitivity = 1.0 - _below(_share(present, probabilities, rule.prior), place, len(candidates))
    specificity = _below(_share(~present, 1.0 - probabilities, rule.prior), place, len(candidates))
    best = _best(sensitivity, specificity, max(positives, 1), max(negatives, 1), rule)
    if rule.kind == "specificity" and specificity[best] < rule.target:
        # No score of an image is high enough: call nobody.
        return OperatingPoint(1.0, 0.0, 1.0, "no threshold reaches the target specificity: nothing is called present")
    # Half-way to the next lower score, so that a new image that falls between two scores is not decided by a hair.
    threshold = candidates[best] if best == 0 else (candidates[best] + candidates[best - 1]) / 2
    called = probabilities >= threshold
    return OperatingPoint(
        float(threshold),
        float(called[present].mean()) if positives else float("nan"),
        float((~called[~present]).mean()) if negatives else float("nan"),
        note,
    )


def _share(seen: np.ndarray, chance: np.ndarray, prior: float) -> np.ndarray:
    """Return each image's share (N,) of all who are of a kind, seen and as the probabilities say; sums to 1."""
    weights = seen.astype(np.float64)
    if prior:
        weights += prior * chance / max(float(chance.sum()), 1e-12)
    return weights / weights.sum()


def _below(shares: np.ndarray, place: np.ndarray, candidates: int) -> np.ndarray:
    """Return the share (T,) that lies below each candidate."""
    sums = np.bincount(place, weights=shares, minlength=candidates)
    return np.cumsum(sums) - sums


def _best(sensitivity: np.ndarray, specificity: np.ndarray, positives: int, negatives: int, rule: Rule) -> int:
    """Return the index of the best candidate; candidates rise, so sensitivity falls and specificity rises."""
    if rule.kind == "sensitivity":
        return int(np.flatnonzero(sensitivity >= rule.target - 1e-9).max(initial=0))
    if rule.kind == "specificity":
        reached = np.flatnonzero(specificity >= rule.target - 1e-9)
        return int(reached.min()) if reached.size else len(specificity) - 1
    if rule.kind == "youden":
        return int(np.argmax(sensitivity + specificity))
    true_positives, false_positives = sensitivity * positives, (1 - specificity) * negatives
    missed = positives - true_positives
    if rule.kind == "cost":
        return int(np.argmin(rule.cost_ratio * missed + false_positives))
    weight = 1.0 if rule.kind == "f1" else rule.beta**2
    gain = (1 + weight) * true_positives
    return int(np.argmax(gain / (gain + weight * missed + false_positives)))


def threshold_interval(
    probabilities: np.ndarray,
    truth: np.ndarray,
    patients: np.ndarray,
    rule: Rule,
    *,
    replicates: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap interval of the threshold, drawing patients with replacement."""
    names, inverse = np.unique(patients, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[order], np.arange(len(names) + 1))
    rows_of = [order[bounds[i] : bounds[i + 1]] for i in range(len(names))]
    random = np.random.default_rng(seed)
    found = []
    for _ in range(replicates):
        rows = np.concatenate([rows_of[i] for i in random.integers(0, len(names), len(names))])
        point = operating_point(probabilities[rows], truth[rows], rule)
        if not point.note:
            found.append(point.threshold)
    if not found:
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
