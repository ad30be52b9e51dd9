"""Heatmaps against readers' boxes over the test split: pointing game, IoU, heat inside, each beside chance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from thorax.evaluation.resampling import Figure, interval, patient_weights
from thorax.explain.localization import Agreement, agreement

_FIGURES = ("pointing_game", "iou", "iobb", "mass", "chance")


@dataclass(frozen=True)
class Located:
    """One finding of one image that a reader has boxed."""

    row: int
    finding: int
    boxes: tuple[tuple[float, float, float, float], ...]
    agreement: Agreement


def locate(maps: np.ndarray, image_ids: np.ndarray, boxes: pd.DataFrame, findings: list[str]) -> list[Located]:
    """Compare every boxed finding of the images with its map.

    Args:
        maps: (N, F, h, w).
        image_ids: (N,).
        boxes: `image_id, finding, x, y, w, h` as fractions; rows of other images or findings are left out.
        findings: F names.
    """
    row_of = {str(name): row for row, name in enumerate(image_ids)}
    column_of = {name: column for column, name in enumerate(findings)}
    kept = boxes[boxes["image_id"].isin(row_of) & boxes["finding"].isin(column_of)]
    found = []
    for (image_id, finding), group in kept.groupby(["image_id", "finding"], sort=True):
        row, column = row_of[str(image_id)], column_of[str(finding)]
        regions = tuple(tuple(map(float, box)) for box in group[["x", "y", "w", "h"]].to_numpy())
        found.append(Located(row, column, regions, agreement(maps[row, column], regions)))  # type: ignore[arg-type]
    return found


def localization_figures(
    found: list[Located],
    patients: np.ndarray,
    findings: list[str],
    replicates: int,
    seed: int,
    confidence: float,
) -> dict[str, Any]:
    """Return, a finding and as their mean, the mean agreement with its interval by patient, and the count of images."""
    if not found:
        return {}
    rows = np.array([one.row for one in found])
    columns = np.array([one.finding for one in found])
    weights = patient_weights(patients, replicates, seed)[:, rows].astype(np.float64)
    result: dict[str, Any] = {}
    means: dict[str, list[np.ndarray]] = {name: [] for name in _FIGURES}
    for column in np.unique(columns):
        here = columns == column
        entry: dict[str, Any] = {"images": int(here.sum())}
        for name in _FIGURES:
            values = np.array([one.agreement[name] for one in found])[here]  # type: ignore[literal-required]
            drawn = _weighted(values, weights[:, here])
            entry[name] = interval(float(values.mean()), drawn, confidence)
            means[name].append(np.append(values.mean(), drawn))
        result[findings[column]] = entry
    result["mean"] = {"images": len(found)} | {name: _over_findings(parts, confidence) for name, parts in means.items()}
    return result


def _weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights @ values / weights.sum(axis=1)


def _over_findings(parts: list[np.ndarray], confidence: float) -> Figure:
    stacked = np.stack(parts)
    known = np.isfinite(stacked)
    mean = np.where(known, stacked, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return interval(float(mean[0]), mean[1:], confidence)
