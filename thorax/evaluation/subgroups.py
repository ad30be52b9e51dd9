"""How a model fares by sex, age and view: figures a group, the gap between groups, and a gate on it."""

from collections.abc import Iterable
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from thorax.evaluation.figures_of_merit import Scores, figures, patients_behind
from thorax.evaluation.resampling import Figure, interval

#: Upper bounds (years, exclusive) and names of the age bands.
AGE_BANDS = ((18, "under 18"), (40, "18 to 39"), (60, "40 to 59"), (75, "60 to 74"), (float("inf"), "75 and over"))
_METRICS = ("auroc", "sensitivity", "specificity", "precision", "ece")
_GAPS = ("auroc", "sensitivity", "specificity")
#: A metric's sample and replicates (B + 1, F) in a group, by its name; NaN where a finding cannot be told.
_Drawn = dict[str, np.ndarray]
#: A finding's figure in a group needs this many images of either class.
_MIN_CLASS = 5


def groups_of(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the group (N,) of each image by attribute: `sex`, `age` and `view`, as far as `rows` has them."""
    groups: dict[str, np.ndarray] = {}
    for name in ("sex", "view"):
        if name in rows:
            groups[name] = rows[name].fillna("unknown").astype(str).to_numpy()
    if "age" in rows:
        ages = pd.to_numeric(rows["age"], errors="coerce").to_numpy(dtype=np.float64)
        bands = np.full(len(ages), "unknown", dtype=object)
        for bound, band in reversed(AGE_BANDS):
            bands[ages < bound] = band
        groups["age"] = bands.astype(str)
    return groups


def too_small(here: np.ndarray, patients: np.ndarray, least: int) -> dict[str, Any] | None:
    """Return what is said of a group of fewer than `least` patients in place of figures; None for a larger one.

    Many images of two patients are still two patients.

    Args:
        here: bool (N,), the images of the group.
        patients: (N,).
        least: patients.
    """
    count = len(np.unique(patients[here]))
    return {"images": int(here.sum()), "patients": count, "too_small": True} if count < least else None


def subgroups(
    scores: Scores,
    weights: np.ndarray,
    groups: dict[str, np.ndarray],
    findings: list[str],
    *,
    min_group: int,
    confidence: float,
    bins: int,
    max_gap: float,
) -> dict[str, Any]:
    """Return figures a group, the gaps between groups, and whether each gap passes.

    Args:
        scores: N images, F findings.
        weights: (B, N) of the bootstrap by patient; gaps are differences within a replicate, so paired.
        groups: attribute → group (N,) of each image.
        findings: F names.
        min_group: a group of fewer patients is said to be too small, and has no figure.
        confidence: of the intervals.
        bins: of the calibration error.
        max_gap: largest gap in mean AUROC; the gate fails when even the interval's lower end is above it.
    """
    result: dict[str, Any] = {}
    for attribute, names in groups.items():
        found: dict[str, Any] = {}
        drawn: dict[str, _Drawn] = {}
        for name in in_order(attribute, names.tolist()):
            here = names == name
            if (small := too_small(here, scores.patients, min_group)) is not None:
                found[name] = small
                continue
            found[name], drawn[name] = _group(scores.take(here), weights[:, here], findings, confidence, bins)
        result[attribute] = {"groups": found, "gaps": _gaps(drawn, confidence, max_gap)}
    return result


def _group(
    scores: Scores, weights: np.ndarray, findings: list[str], confidence: float, bins: int
) -> tuple[dict[str, Any], _Drawn]:
    """Return a group's figures, and the sample and replicates (B + 1, F) that gaps are made of."""
    positives = np.nansum(scores.truth, axis=0)
    negatives = (~np.isnan(scores.truth)).sum(axis=0) - positives
    told = np.flatnonzero((positives >= _MIN_CLASS) & (negatives >= _MIN_CLASS))
    sample = figures(scores, np.ones((1, len(scores.truth)), dtype=np.uint8), bins, micro=False)
    replicates = figures(scores, weights, bins, micro=False)
    behind = patients_behind(scores)
    by_finding = {
        findings[column]: {
            name: interval(
                sample[name][0, column],
                replicates[name][:, column],
                confidence,
                name == "ece",
                int(behind[name][column]) if name in behind else None,
            )
            for name in _METRICS
        }
        | {"positives": int(positives[column])}
        for column in told
    }
    means: dict[str, Figure] = {}
    drawn: _Drawn = {}
    untold = np.delete(np.arange(len(findings)), told)
    for name in _METRICS:
        drawn[name] = np.concatenate([sample[name], replicates[name]])
        drawn[name][:, untold] = np.nan
        if len(told):
            mean = _finite_mean(drawn[name])
            cases = int(behind[name][told].max()) if name in behind else None
            means[name] = interval(float(mean[0]), mean[1:], confidence, name == "ece", cases)
    size = {"images": len(scores.truth), "patients": len(np.unique(scores.patients))}
    return {**size, "mean": means, "findings": by_finding}, drawn


def _gaps(drawn: dict[str, _Drawn], confidence: float, max_gap: float) -> dict[str, Any]:
    """Return, a metric, the widest gap between two groups with its interval.

    Two groups are compared in the mean over the findings that can be told in both: a group with few images may have
    the easy findings alone.
    """
    names = [name for name in drawn if name != "unknown"]
    gaps: dict[str, Any] = {}
    for metric in _GAPS:
        widest: tuple[float, str, str, np.ndarray] | None = None
        for best, worst in permutations(names, 2):
            apart = _finite_mean(drawn[best][metric] - drawn[worst][metric])
            if np.isfinite(apart[0]) and (widest is None or apart[0] > widest[0]):
                widest = (float(apart[0]), best, worst, apart[1:])
        if widest is None:
            continue
        gap = interval(widest[0], widest[3], confidence)
        gaps[metric] = {"best": widest[1], "worst": widest[2], **gap}
        if metric == "auroc":
            low = gap["low"]
            gaps[metric] |= {"limit": max_gap, "passed": low is None or low <= max_gap}
    return gaps


def in_order(attribute: str, groups: Iterable[str]) -> list[str]:
    """Return the names among `groups`: ages from young to old, everything else by name; unknown last."""
    names = set(groups)
    bands = [band for _, band in AGE_BANDS]
    key = bands.index if attribute == "age" else str
    return sorted((str(n) for n in names if n != "unknown"), key=key) + ["unknown"] * ("unknown" in names)  # type: ignore[arg-type]


def _finite_mean(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return np.where(known, values, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
