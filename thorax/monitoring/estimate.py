"""Performance without truth, from calibrated probabilities: an estimate, and shown as one.

Where a probability is calibrated, a share p of the images that were given p are positive, so that the expected counts
of true and false answers are sums of probabilities (confidence-based performance estimation, Garg et al. 2022 ICLR;
NannyML's documentation gives the formulas). It holds as long as calibration does: it sees drift in the images, and is
blind to a finding that has come to look different (concept drift), which only truth can show.
"""

import numpy as np
from scipy.stats import rankdata

from thorax.evaluation.resampling import Figure, interval

#: Simulated truths from which the intervals come.
DRAWS = 200
#: Images of which the intervals are made; a longer window's are at most so wide.
_MOST = 5_000


def expected_counts(probabilities: np.ndarray, decisions: np.ndarray) -> dict[str, float]:
    """Return the expected counts of true and false answers.

    Args:
        probabilities: (n,), calibrated.
        decisions: (n,), whether the finding was called present.
    """
    p, called = np.asarray(probabilities, dtype=np.float64), np.asarray(decisions, dtype=bool)
    return {
        "tp": float(p[called].sum()),
        "fp": float((1 - p[called]).sum()),
        "fn": float(p[~called].sum()),
        "tn": float((1 - p[~called]).sum()),
    }


def expected_auroc(probabilities: np.ndarray) -> float:
    """Return the area under the expected ROC curve of probabilities (n,) that rank by themselves; NaN without any.

    At each threshold the expected rates are those of `expected_counts`; the area is by trapezoids, so ties count half.
    """
    p = np.sort(np.asarray(probabilities, dtype=np.float64))[::-1]
    positives, negatives = p.sum(), (1 - p).sum()
    if not len(p) or positives <= 0 or negatives <= 0:
        return float("nan")
    last = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)  # of each run of equal scores
    hits = np.append(0.0, np.cumsum(p)[last]) / positives
    misses = np.append(0.0, np.cumsum(1 - p)[last]) / negatives
    return float(np.trapezoid(hits, misses))


def estimate(
    probabilities: np.ndarray, decisions: np.ndarray, confidence: float = 0.95, seed: int = 0
) -> dict[str, Figure]:
    """Estimate AUROC, sensitivity, specificity and prevalence of one finding, each with an interval.

    The interval says what chance would do to the figure if the probabilities are right: it comes from truths that are
    drawn from them.
    """
    p, called = np.asarray(probabilities, dtype=np.float64), np.asarray(decisions, dtype=bool)
    known = np.isfinite(p)
    p, called = p[known], called[known]
    count = expected_counts(p, called)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = {
            "auroc": expected_auroc(p),
            "sensitivity": float(np.float64(count["tp"]) / (count["tp"] + count["fn"])),
            "specificity": float(np.float64(count["tn"]) / (count["tn"] + count["fp"])),
            "prevalence": float(p.mean()) if len(p) else float("nan"),
        }
    draws = _simulated(p, called, seed) if len(p) else {name: np.zeros(0) for name in values}
    return {name: interval(value, draws[name], confidence) for name, value in values.items()}


def _simulated(p: np.ndarray, called: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    if len(p) > _MOST:
        chosen = generator.choice(len(p), _MOST, replace=False)
        p, called = p[chosen], called[chosen]
    ranks = rankdata(p)
    found: dict[str, list[float]] = {"auroc": [], "sensitivity": [], "specificity": [], "prevalence": []}
    for _ in range(DRAWS):
        truth = generator.random(len(p)) < p
        positives, negatives = int(truth.sum()), int((~truth).sum())
        won = ranks[truth].sum() - positives * (positives + 1) / 2
        found["auroc"].append(won / (positives * negatives) if positives and negatives else float("nan"))
        found["sensitivity"].append(float(called[truth].mean()) if positives else float("nan"))
        found["specificity"].append(float((~called)[~truth].mean()) if negatives else float("nan"))
        found["prevalence"].append(float(truth.mean()))
    return {name: np.array(values) for name, values in found.items()}
