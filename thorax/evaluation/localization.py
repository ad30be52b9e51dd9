"""Heatmaps against readers' boxes over the test split: pointing game, IoU, heat inside, each beside chance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from thorax.evaluation.resampling import Figure, interval, patient_weights
from thorax.explain.faithfulness import random_map
from thorax.explain.localization import Agreement, agreement

_FIGURES = ("pointing_game", "iou", "iobb", "mass", "chance")
#: What a random map of the same grid gives on the same boxes; its pointing game is `chance`.
_RANDOM = ("iou", "iobb", "mass")


@dataclass(frozen=True)
class Located:
    """One finding of one image that a reader has boxed."""

    row: int
    finding: int
    boxes: tuple[tuple[float, float, float, float], ...]
    agreement: Agreement
    by_chance: Agreement


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
    found: list[Located] = []
    for (image_id, finding), group in kept.groupby(["image_id", "finding"], sort=True):
        row, column = row_of[str(image_id)], column_of[str(finding)]
        regions = tuple(tuple(map(float, box)) for box in group[["x", "y", "w", "h"]].to_numpy())
        noise = random_map(maps.shape[-1], len(found))
        pair = agreement(maps[row, column], regions), agreement(noise, regions)
        found.append(Located(row, column, regions, *pair))  # type: ignore[arg-type]
    return found


def localization_figures(
    found: list[Located],
    patients: np.ndarray,
    findings: list[str],
    replicates: int,
    seed: int,
    confidence: float,
) -> dict[str, Any]:
    """Return, a finding and as their mean, the mean agreement with its interval by patient, and the count of images.

    `iou_random`, `iobb_random` and `mass_random` are those of random maps on the same boxes.
    """
    if not found:
        return {}
    rows = np.array([one.row for one in found])
    columns = np.array([one.finding for one in found])
    weights = patient_weights(patients, replicates, seed)[:, rows].astype(np.float64)
    result: dict[str, Any] = {}
    columns_of = {name: np.array([one.agreement[name] for one in found]) for name in _FIGURES}  # type: ignore[literal-required]
    columns_of |= {f"{name}_random": np.array([one.by_chance[name] for one in found]) for name in _RANDOM}  # type: ignore[literal-required]
    means: dict[str, list[np.ndarray]] = {name: [] for name in columns_of}
    for column in np.unique(columns):
        here = columns == column
        entry: dict[str, Any] = {"images": int(here.sum())}
        for name, all_values in columns_of.items():
            values = all_values[here]
            drawn = _weighted(values, weights[:, here])
            # No hit among 20 patients is no certainty that there never is one; the other figures are no counts.
            cases = len(np.unique(patients[rows[here]])) if name == "pointing_game" else None
            entry[name] = interval(float(values.mean()), drawn, confidence, cases=cases)
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
