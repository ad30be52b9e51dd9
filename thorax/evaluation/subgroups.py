"""How a model fares by sex, age and view: figures a group, the gap between groups, and a gate on it."""

from typing import Any

import numpy as np
import pandas as pd

from thorax.evaluation.figures_of_merit import Scores, figures
from thorax.evaluation.resampling import interval

#: Upper bounds (years, exclusive) and names of the age bands.
AGE_BANDS = ((18, "under 18"), (40, "18 to 39"), (60, "40 to 59"), (75, "60 to 74"), (float("inf"), "75 and over"))
_METRICS = ("auroc", "sensitivity", "specificity", "precision", "ece")
_GAPS = ("auroc", "sensitivity", "specificity")
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
        min_group: a group of fewer images is said to be too small, and has no figure.
        confidence: of the intervals.
        bins: of the calibration error.
        max_gap: largest gap in mean AUROC; the gate fails when even the interval's lower end is above it.
    """
    result: dict[str, Any] = {}
    for attribute, names in groups.items():
        found: dict[str, Any] = {}
        drawn: dict[str, dict[str, np.ndarray]] = {}
        for name in _in_order(attribute, np.unique(names)):
            here = names == name
            if here.sum() < min_group:
                found[name] = {"images": int(here.sum()), "too_small": True}
                continue
            found[name], drawn[name] = _group(scores.take(here), weights[:, here], findings, confidence, bins)
        result[attribute] = {"groups": found, "gaps": _gaps(found, drawn, confidence, max_gap)}
    return result


def _group(
    scores: Scores, weights: np.ndarray, findings: list[str], confidence: float, bins: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a group's figures, and the replicates of their means over the findings that can be told."""
    positives = np.nansum(scores.truth, axis=0)
    negatives = (~np.isnan(scores.truth)).sum(axis=0) - positives
    told = np.flatnonzero((positives >= _MIN_CLASS) & (negatives >= _MIN_CLASS))
    sample = figures(scores, np.ones((1, len(scores.truth)), dtype=np.uint8), bins, micro=False)
    replicates = figures(scores, weights, bins, micro=False)
    by_finding = {
        findings[column]: {
            name: interval(sample[name][0, column], replicates[name][:, column], confidence, name == "ece")
            for name in _METRICS
        }
        | {"positives": int(positives[column])}
        for column in told
    }
    means, drawn = {}, {}
    for name in _METRICS:
        if len(told):
            drawn[name] = _finite_mean(replicates[name][:, told])
            means[name] = interval(
                float(_finite_mean(sample[name][:, told])[0]), drawn[name], confidence, name == "ece"
            )
    return {"images": len(scores.truth), "mean": means, "findings": by_finding}, drawn


def _gaps(
    found: dict[str, Any], drawn: dict[str, dict[str, np.ndarray]], confidence: float, max_gap: float
) -> dict[str, Any]:
    """Return, a metric, the gap between the best and the worst group with its interval."""
    gaps: dict[str, Any] = {}
    for metric in _GAPS:
        values = {name: found[name]["mean"][metric]["value"] for name, draws in drawn.items() if metric in draws}
        values = {name: value for name, value in values.items() if value is not None and name != "unknown"}
        if len(values) < 2:
            continue
        best, worst = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
        gap = interval(values[best] - values[worst], drawn[best][metric] - drawn[worst][metric], confidence)
        gaps[metric] = {"best": best, "worst": worst, **gap}
        if metric == "auroc":
            low = gap["low"]
            gaps[metric] |= {"limit": max_gap, "passed": low is None or low <= max_gap}
    return gaps


def _in_order(attribute: str, names: np.ndarray) -> list[str]:
    """Ages from young to old; everything else by name; unknown last."""
    bands = [band for _, band in AGE_BANDS]
    key = bands.index if attribute == "age" else str
    return sorted((str(n) for n in names if n != "unknown"), key=key) + ["unknown"] * ("unknown" in names)  # type: ignore[arg-type]


def _finite_mean(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return np.where(known, values, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
