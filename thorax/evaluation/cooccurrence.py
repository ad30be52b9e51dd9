"""Several findings in one image: which are taken for each other, and how each fares in company."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from thorax.evaluation.ranking import auroc

_MIN_CASES = 5


def mistaken_for(decisions: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Say which present finding goes with a false alarm for another.

    Args:
        decisions: bool (N, F).
        truth: (N, F): 1, 0, NaN unknown.

    Returns:
        lift (F, F): how many times likelier finding f is falsely called where g is present than over all images
        without f; NaN on the diagonal, or where fewer than five images have g without f or there was no false alarm.
        counts (F, F): the false alarms for f in images that have g.
    """
    findings = truth.shape[1]
    lift, counts = np.full((findings, findings), np.nan), np.zeros((findings, findings), dtype=np.int64)
    for f in range(findings):
        without = truth[:, f] == 0
        false = without & decisions[:, f]
        rate = false.sum() / max(without.sum(), 1)
        for g in range(findings):
            beside = without & (truth[:, g] == 1)
            if f == g:
                continue
            counts[f, g] = int((false & beside).sum())
            if rate > 0 and beside.sum() >= _MIN_CASES:
                lift[f, g] = false[beside].mean() / rate
    return lift, counts


def cooccurrence(
    decisions: np.ndarray, probabilities: np.ndarray, truth: np.ndarray, findings: Sequence[str]
) -> dict[str, Any]:
    """Return the table of `mistaken_for`, and each finding's sensitivity and AUROC alone and beside others."""
    lift, counts = mistaken_for(decisions, truth)
    company: dict[str, Any] = {}
    for column, finding in enumerate(findings):
        others = np.nansum(np.delete(truth, column, axis=1), axis=1) > 0
        present, known = truth[:, column] == 1, ~np.isnan(truth[:, column])
        company[finding] = {}
        for name, where in (("alone", ~others), ("beside_others", others)):
            positives, rows = present & where, known & where
            enough = positives.sum() >= _MIN_CASES
            ranked = enough and (rows & ~present).sum() >= _MIN_CASES
            company[finding][name] = {
                "positives": int(positives.sum()),
                "sensitivity": float(decisions[positives, column].mean()) if enough else None,
                "auroc": auroc(probabilities[rows, column], truth[rows, column]) if ranked else None,
            }
    return {
        "findings": list(findings),
        "lift": [[None if np.isnan(value) else float(value) for value in row] for row in lift],
        "false_alarms": counts.tolist(),
        "company": company,
    }
