"""The figures of a run as plain files, for tools that compare runs, such as `dvc metrics diff` and `dvc plots`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from thorax.calibration import Calibration
from thorax.files import atomic_path, read_json, write_json

METRICS, FIGURES, ROC, RELIABILITY, CURVES = "metrics.json", "figures.json", "roc.csv", "reliability.csv", "curves.csv"
FILES = (METRICS, FIGURES, ROC, RELIABILITY, CURVES)

#: Means over findings that `dvc metrics show` prints: a row that fits 80 columns.
HEADLINE = ("auroc", "auprc", "ece", "sensitivity", "specificity")

#: Points of a reliability diagram, of equal mass.
BINS = 10


class Folders(NamedTuple):
    """What the steps left of one candidate."""

    network: Path
    calibration: Path
    evaluation: Path


def export(candidates: Mapping[str, Folders], winner: str, out: Path) -> None:
    """Write the winner's metrics, ROC and reliability on the test split, and every candidate's learning curves.

    Args:
        candidates: architecture → folders of its steps.
        winner: one of them.
        out: gets `metrics.json` (means over findings), `figures.json` ({finding: {metric: value}}), `roc.csv`,
            `reliability.csv` and `curves.csv`.
    """
    chosen = candidates[winner]
    figures = _metrics(read_json(chosen.evaluation / "evaluation.json"))
    write_json(out / FIGURES, {"architecture": winner, **figures})
    means = figures.get("mean", {})
    write_json(out / METRICS, {name: round(means[name], 3) for name in HEADLINE if name in means})
    with np.load(chosen.network / "outputs-test.npz", allow_pickle=False) as outputs:
        logits, truth = outputs["logits"], outputs["truth"]
    calibration = Calibration.load(chosen.calibration)
    probabilities = calibration.probabilities(logits)
    _write(pd.concat(_each(_roc, calibration.findings, truth, probabilities)), out / ROC)
    _write(pd.concat(_each(_reliability, calibration.findings, truth, probabilities)), out / RELIABILITY)
    rows = [
        {"architecture": name, **{key: value for key, value in row.items() if not isinstance(value, dict)}}
        for name, folders in candidates.items()
        for row in read_json(folders.network / "curves.json")
    ]
    _write(pd.DataFrame(rows), out / CURVES)


def _metrics(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The point estimates alone: intervals stand in the report."""
    return {
        finding: {
            name: metric["value"]
            for name, metric in metrics.items()
            if isinstance(metric, Mapping) and metric.get("value") is not None
        }
        for finding, metrics in evaluation["metrics"].items()
    }


def _each(draw: Any, findings: tuple[str, ...], truth: np.ndarray, probabilities: np.ndarray) -> list[pd.DataFrame]:
    frames = [pd.DataFrame({"finding": []})]
    for column, finding in enumerate(findings):
        known = ~np.isnan(truth[:, column])
        labels, scores = truth[known, column], probabilities[known, column]
        if 0 < labels.sum() < len(labels):
            frames.append(draw(labels, scores).assign(finding=finding))
    return frames


def _roc(labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    from sklearn.metrics import roc_curve

    false, true, thresholds = roc_curve(labels, scores)
    return pd.DataFrame({"false_positive_rate": false, "true_positive_rate": true, "threshold": thresholds})


def _reliability(labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    from sklearn.calibration import calibration_curve

    observed, predicted = calibration_curve(labels, scores, n_bins=BINS, strategy="quantile")
    return pd.DataFrame({"predicted": predicted, "observed": observed})


def _write(frame: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g")
