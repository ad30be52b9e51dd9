"""Choose a calibrator a finding by cross-validated negative log-likelihood, with no patient on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from thorax.calibration.calibrators import METHODS, Calibrator, Method
from thorax.calibration.fitting import Shared, fit_one, fit_pooled, fit_shared, known, negative_log_likelihood, rises

#: Isotonic regression follows every step of the data: it is a candidate from this many positives on.
ISOTONIC_POSITIVES = 200
#: Nats: the odds on a finding's own favourite, over the common one, must be some 50 to 1.
_OWN_WAY = 4.0


@dataclass(frozen=True)
class Chosen:
    """A finding's calibrator, the cross-validated negative log-likelihood (nats) of each candidate, and a note."""

    calibrator: Calibrator
    positives: int
    scores: dict[Method, float] = field(default_factory=dict)
    note: str = ""


def patient_folds(patients: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """Return a fold (0 … folds − 1) an image, with all images of a patient in one; fewer where patients are fewer."""
    names, inverse = np.unique(patients, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return (order % max(1, min(folds, len(names))))[inverse]


def choose(
    logits: np.ndarray,
    truth: np.ndarray,
    patients: np.ndarray,
    *,
    method: Method | Literal["auto"] = "auto",
    folds: int = 5,
    min_positives: int = 8,
) -> list[Chosen]:
    """Fit a calibrator for every finding.

    Args:
        logits: (N, F).
        truth: (N, F): 1, 0, NaN unknown.
        patients: (N,), who is never on both sides of a fold.
        method: "auto" chooses; a name takes that one for all findings that have enough positives.
        folds: of the cross-validation.
        min_positives: with fewer positives (or negatives) a finding takes the shared slope and its own intercept.

    Returns:
        One a finding, in order; a fall-back says so in its note.
    """
    shared = fit_shared(logits, truth, min_positives)
    rows = [known(logits, truth, finding) for finding in range(logits.shape[1])]
    enough = [min(y.sum(), (1 - y).sum()) >= min_positives and np.ptp(z) > 1e-9 for z, y in rows]
    scores: list[dict[Method, float]] = [{} for _ in rows]
    split = patient_folds(patients, folds)
    if method == "auto" and any(enough) and split.max(initial=0) > 0:
        scores = _cross_validate(logits, truth, split, enough, min_positives)
    chosen = []
    for finding, (z, y) in enumerate(rows):
        positives = int(y.sum())
        if not enough[finding]:
            note = _why_pooled(z, y, min_positives)
            calibrator = Calibrator() if method == "none" else fit_pooled(z, y, shared)
            chosen.append(Chosen(calibrator, positives, {}, note))
            continue
        best = _best(scores, finding) if method == "auto" else method
        calibrator = fit_one(best, z, y, shared)
        note = "" if scores[finding] or method != "auto" else "one patient: nothing could be cross-validated"
        if not rises(z, y):
            note = "the scores do not rise with the truth in the calibration split: do not trust them"
        chosen.append(Chosen(calibrator, positives, scores[finding], note))
    return chosen


def _best(scores: list[dict[Method, float]], finding: int) -> Method:
    """Return the method that wins over all findings together, unless this finding clearly speaks against it.

    One finding's cross-validated differences are mostly noise; all findings' together are not. A finding goes its own
    way where that gains `_OWN_WAY` of log-likelihood.
    """
    own = scores[finding]
    if not own:
        return "platt"
    able = [one for one in scores if one]
    total = {name: sum(one[name] for one in able) for name in METHODS if all(name in one for one in able)}
    common, best = min(total, key=total.__getitem__), min(own, key=own.__getitem__)
    return best if own[best] < own[common] - _OWN_WAY else common


def _cross_validate(
    logits: np.ndarray, truth: np.ndarray, split: np.ndarray, enough: Sequence[bool], min_positives: int
) -> list[dict[Method, float]]:
    """Return, a finding, the held-out negative log-likelihood of each method, summed over images."""
    total: list[dict[Method, float]] = [{} for _ in enough]
    shares: list[Shared] = [
        fit_shared(logits[split != fold], truth[split != fold], min_positives) for fold in range(split.max() + 1)
    ]
    for finding, able in enumerate(enough):
        if not able:
            continue
        positives = np.nansum(truth[:, finding])
        for method in METHODS:
            if method == "isotonic" and positives < ISOTONIC_POSITIVES:
                continue
            losses = []
            for fold, shared in enumerate(shares):
                z, y = known(logits[split != fold], truth[split != fold], finding)
                held_z, held_y = known(logits[split == fold], truth[split == fold], finding)
                calibrator = fit_one(method, z, y, shared) if 0 < y.sum() < len(y) else fit_pooled(z, y, shared)
                losses.append(negative_log_likelihood(calibrator.probabilities(held_z), held_y))
            total[finding][method] = float(np.concatenate(losses).sum())
    return total


def _why_pooled(z: np.ndarray, y: np.ndarray, min_positives: int) -> str:
    positives, negatives = int(y.sum()), int((1 - y).sum())
    if not len(y):
        return "no truth is known in the calibration split: not calibrated beyond the findings' shared slope"
    if np.ptp(z) <= 1e-9:
        return "the network gives every image the same score: only the prevalence was fitted"
    rare = f"{positives} positive{'s' * (positives != 1)}" if positives <= negatives else f"{negatives} negatives"
    return f"only {rare} in the calibration split, under {min_positives}: slope shared with the other findings"
