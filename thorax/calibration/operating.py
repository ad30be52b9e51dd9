"""Operating points: the threshold on the calibrated probability from which a finding is called present."""

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
    """

    kind: Literal["sensitivity", "specificity", "youden", "f1", "fbeta", "cost"] = "sensitivity"
    target: float = 0.9
    beta: float = 2.0
    cost_ratio: float = 5.0


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
        Without a positive or a negative the threshold is 0.5, or the share that `cost` implies, and a note says so.
    """
    positives, negatives = np.sort(probabilities[truth > 0.5]), np.sort(probabilities[truth <= 0.5])
    if not len(positives) or not len(negatives):
        what = "positive" if not len(positives) else "negative"
        threshold = 1 / (1 + rule.cost_ratio) if rule.kind == "cost" else 0.5
        return OperatingPoint(threshold, float("nan"), float("nan"), f"no {what} to fit the operating point to")
    # Candidates: every score that occurs, so that ties are called alike.
    candidates = np.unique(probabilities)
    sensitivity = 1 - np.searchsorted(positives, candidates, side="left") / len(positives)
    specificity = np.searchsorted(negatives, candidates, side="left") / len(negatives)
    best = _best(sensitivity, specificity, len(positives), len(negatives), rule)
    if rule.kind == "specificity" and specificity[best] < rule.target:
        # No score of an image is high enough: call nobody.
        return OperatingPoint(1.0, 0.0, 1.0, "no threshold reaches the target specificity: nothing is called present")
    # Half-way to the next lower score, so that a new image that falls between two scores is not decided by a hair.
    threshold = candidates[best] if best == 0 else (candidates[best] + candidates[best - 1]) / 2
    return OperatingPoint(float(threshold), float(sensitivity[best]), float(specificity[best]))


def _best(sensitivity: np.ndarray, specificity: np.ndarray, positives: int, negatives: int, rule: Rule) -> int:
    """Return the index of the best candidate; candidates rise, so sensitivity falls and specificity rises."""
    if rule.kind == "sensitivity":
        return int(np.flatnonzero(sensitivity >= rule.target - 1e-12).max(initial=0))
    if rule.kind == "specificity":
        reached = np.flatnonzero(specificity >= rule.target - 1e-12)
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
        if np.isfinite(point.sensitivity):
            found.append(point.threshold)
    if not found:
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
