"""Two versions on the test images that both have answered: every figure with its paired difference.

Both are scored on the same bootstrap draws of patients, so that what is common to them cancels in the difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from thorax.errors import GateError
from thorax.evaluation.figures_of_merit import Scores, figures
from thorax.evaluation.resampling import interval, patient_weights
from thorax.registry.evidence import Evidence
from thorax.settings import Evaluation

#: Figures that are compared, and whether more is better.
METRICS: Mapping[str, bool] = {
    "auroc": True,
    "auprc": True,
    "sensitivity": True,
    "specificity": True,
    "ece": False,
    "brier": False,
}
_MIN_CLASS = 5


@dataclass(frozen=True)
class Common:
    """What two models answered on N images in common, for the F findings that both know.

    Attributes:
        findings: F names.
        images: (N,) digests.
        one, two: the models' scores; truth and patients are the same in both.
        groups: attribute → group (N,) of each image.
    """

    findings: tuple[str, ...]
    images: np.ndarray
    one: Scores
    two: Scores
    groups: Mapping[str, np.ndarray]


def align(one: Evidence, two: Evidence, thresholds: tuple[Mapping[str, float], Mapping[str, float]]) -> Common:
    """Bring two models' answers together.

    Args:
        one: what the first answered on its test patients.
        two: what the second did.
        thresholds: of each, the operating point by finding.

    Raises:
        GateError: they share no finding, or no image of a patient that neither has learnt from.
    """
    findings = tuple(name for name in one.findings if name in two.findings)
    if not findings:
        raise GateError("The two versions have no finding in common: they cannot be compared.")
    place = {image: at for at, image in enumerate(two.images.tolist())}
    held = np.array([place.get(image, -1) for image in one.images.tolist()])
    learnt = np.union1d(one.learnt, two.learnt)
    rows = np.flatnonzero((held >= 0) & ~np.isin(one.patients, learnt))
    if not len(rows):
        raise GateError(
            "The two versions have no test image in common, of a patient that neither has learnt from.",
            "Evaluate both on the same split.",
        )
    sides = []
    for evidence, at, limits in ((one, rows, thresholds[0]), (two, held[rows], thresholds[1])):
        columns = [evidence.findings.index(name) for name in findings]
        p = evidence.probabilities[at][:, columns].astype(np.float64)
        truth = one.truth[rows][:, [one.findings.index(name) for name in findings]].astype(np.float64)
        sides.append(Scores(truth, p, p, np.array([limits[name] for name in findings]), one.patients[rows]))
    groups = {name: values[rows] for name, values in one.groups.items()}
    return Common(findings, one.images[rows], sides[0], sides[1], groups)


def compare_all(common: Common, settings: Evaluation) -> dict[str, Any]:
    """Return every figure of both with its interval, and their difference with its own.

    Returns:
        images, patients, confidence, and `metrics`: finding or "mean" → metric → {one, two, difference}, each a value
        with its two-sided interval; `subgroups`: attribute → group → images and the same for the mean AUROC.
    """
    weights = patient_weights(common.one.patients, settings.bootstrap, settings.seed)
    usable = _usable(common.one.truth)
    return {
        "findings": list(common.findings),
        "images": len(common.images),
        "patients": len(np.unique(common.one.patients)),
        "confidence": settings.confidence,
        "positives": {name: int(np.nansum(common.one.truth[:, j])) for j, name in enumerate(common.findings)},
        "left_out": [name for name, kept in zip(common.findings, usable, strict=True) if not kept],
        "metrics": _metrics(common, weights, usable, settings),
        "subgroups": _subgroups(common, weights, settings),
    }


def _usable(truth: np.ndarray) -> np.ndarray:
    """Which findings have enough images of either class, (F,)."""
    return np.minimum((truth == 1).sum(axis=0), (truth == 0).sum(axis=0)) >= _MIN_CLASS


def _metrics(common: Common, weights: np.ndarray, usable: np.ndarray, settings: Evaluation) -> dict[str, Any]:
    draws = np.concatenate([np.ones((1, len(common.images)), np.uint8), weights])
    drawn = [figures(side, draws, settings.ece_bins, micro=False) for side in (common.one, common.two)]
    columns: dict[str, np.ndarray] = {name: np.array([j]) for j, name in enumerate(common.findings)}
    columns["mean"] = np.flatnonzero(usable)
    found: dict[str, Any] = {}
    for name, chosen in columns.items():
        found[name] = {
            metric: _pair(_mean(drawn[0][metric][:, chosen]), _mean(drawn[1][metric][:, chosen]), settings.confidence)
            for metric in METRICS
            if len(chosen)
        }
    return found


def _pair(one: np.ndarray, two: np.ndarray, confidence: float) -> dict[str, Any]:
    """Value and interval of each, and of their difference; the first draw is the sample itself."""
    parts = {"one": one, "two": two, "difference": one - two}
    return {name: interval(float(values[0]), values[1:], confidence) for name, values in parts.items()}


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over findings, (B,); NaN where one has no figure, so that no draw is of other findings than the rest."""
    return np.asarray(values.mean(axis=1))


def _subgroups(common: Common, weights: np.ndarray, settings: Evaluation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute, names in common.groups.items():
        found[attribute] = {}
        for name in np.unique(names):
            here = names == name
            entry: dict[str, Any] = {"images": int(here.sum())}
            part = Common(common.findings, common.images[here], common.one.take(here), common.two.take(here), {})
            usable = _usable(part.one.truth)
            if here.sum() >= settings.min_group and usable.any():
                entry |= _metrics(part, weights[:, here], usable, settings)["mean"]
            found[attribute][str(name)] = entry
    return found


def disagreements(common: Common, most: int = 12, each: int = 3) -> list[tuple[int, int]]:
    """Return (image, finding) where the two differ most: first where they decide otherwise, then by probability.

    Args:
        common: the answers.
        most: so many at most, one of an image.
        each: so many at most of a finding.
    """
    gap = np.abs(common.one.probabilities - common.two.probabilities)
    gap = gap + (common.one.decisions != common.two.decisions)
    gap[np.isnan(common.one.truth)] = -1.0
    chosen: list[tuple[int, int]] = []
    for flat in np.argsort(-gap, axis=None, kind="stable"):
        row, column = (int(at) for at in np.unravel_index(flat, gap.shape))
        if gap[row, column] <= 0 or len(chosen) == most:
            break
        if all(row != other for other, _ in chosen) and sum(column == other for _, other in chosen) < each:
            chosen.append((row, column))
    return chosen
