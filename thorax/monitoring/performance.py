"""How well the model does on live images: measured where the truth is known, estimated where it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from thorax.evaluation.figures_of_merit import RECENTRED, Scores, figures
from thorax.evaluation.resampling import Figure, interval, patient_weights
from thorax.monitoring import estimate as estimates
from thorax.monitoring import verdict
from thorax.monitoring.truth import joined
from thorax.settings import Monitor

_METRICS = ("auroc", "sensitivity", "specificity", "ece")
_REPLICATES = 500
_BINS = 10
_CONFIDENCE = 0.95
#: Figures are judged on the latest confirmed images, at most so many.
LATEST = 1000


@dataclass(frozen=True)
class FindingPerformance:
    """One finding.

    Attributes:
        finding: its name.
        images: with a confirmed answer.
        positives: among them.
        measured: figures on them, with intervals; empty where there are too few.
        bias: mean probability less the share of positives, with its interval: above zero the model is too sure of it.
        estimated: figures from calibrated probabilities on all images of the window, without truth.
        expected: the bundle's own AUROC, on its test images.
    """

    finding: str
    images: int
    positives: int
    measured: dict[str, Figure]
    bias: Figure | None
    estimated: dict[str, Figure]
    expected: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def columns_for(findings: Sequence[str]) -> list[str]:
    """Return the log's columns that performance is made of."""
    return ["request_id", "time", "image_digest", *(f"{kind}_{f}" for f in findings for kind in ("p", "d"))]


def assess(
    window: pd.DataFrame,
    confirmed: pd.DataFrame,
    truth: pd.DataFrame,
    findings: Sequence[str],
    expected: Mapping[str, float],
    settings: Monitor,
) -> list[FindingPerformance]:
    """Measure and estimate each finding.

    Args:
        window: predictions (or an even part of them) of the window.
        confirmed: predictions of which something is confirmed.
        truth: as `truth.settle` gives it.
        findings: the model's.
        expected: the bundle's own AUROC by finding, where it is known.
        settings: `min_truth` confirmed images, or no measured figure.
    """
    known = joined(truth, confirmed, findings) if len(confirmed) else np.zeros((0, len(findings)))
    found = []
    for at, finding in enumerate(findings):
        rows = np.flatnonzero(~np.isnan(known[:, at]))
        labels = known[rows, at]
        enough = len(rows) >= settings.min_truth and 0 < labels.sum() < len(labels)
        part = confirmed.iloc[rows]
        p, called = _answers(part, finding)
        of_all, called_all = _answers(window, finding)
        found.append(
            FindingPerformance(
                finding=finding,
                images=len(rows),
                positives=int(labels.sum()),
                measured=_measured(p, called, labels, part) if enough else {},
                bias=_bias(p, labels) if len(rows) >= settings.min_truth else None,
                estimated=estimates.estimate(of_all, called_all) if len(window) >= settings.min_truth else {},
                expected=expected.get(finding),
            )
        )
    return found


def judge(found: Sequence[FindingPerformance], settings: Monitor) -> list[verdict.Figure]:
    """Hold measured AUROCs against the bundle's own: one surely lower by more than the margin is beyond its cut-off."""
    level: verdict.Level = (
        "alarm" if "performance" in settings.alarm else "warn" if "performance" in settings.warn else "silent"
    )
    figures_ = []
    for item in found:
        measured = item.measured.get("auroc")
        if measured is None or measured["value"] is None or measured["high"] is None or item.expected is None:
            continue
        cutoff = item.expected - settings.performance_margin
        crossed = measured["high"] < cutoff and level != "silent"
        # 1 where the interval's upper end reaches the cut-off, and one more for each margin below.
        score = 1 + (cutoff - measured["high"]) / max(settings.performance_margin, 0.01)
        name = f"performance_{item.finding}"
        figures_.append(
            verdict.Figure(name, "performance", level, measured["value"], cutoff, max(score, 0.0), crossed, crossed)
        )
    return figures_


def _answers(frame: pd.DataFrame, finding: str) -> tuple[np.ndarray, np.ndarray]:
    p = pd.to_numeric(frame.get(f"p_{finding}", pd.Series(dtype=float)), errors="coerce").to_numpy(np.float64)
    decided = pd.to_numeric(frame.get(f"d_{finding}", pd.Series(dtype=float)), errors="coerce").to_numpy(np.float64)
    return p, decided > 0.5


def _measured(p: np.ndarray, called: np.ndarray, labels: np.ndarray, part: pd.DataFrame) -> dict[str, Figure]:
    # The operating point is the lowest probability that was called present.
    threshold = float(p[called].min()) if called.any() else np.inf
    # The same image sent twice is one witness.
    distinct = np.array([str(name) if len(str(name)) > 1 else str(at) for at, name in enumerate(part["image_digest"])])
    scores = Scores(labels[:, None], p[:, None], p[:, None], np.array([threshold]), distinct)
    own = figures(scores, np.ones((1, len(p)), dtype=np.uint8), _BINS, micro=False)
    drawn = figures(scores, patient_weights(distinct, _REPLICATES, seed=0), _BINS, micro=False)
    return {
        name: interval(float(own[name][0, 0]), drawn[name][:, 0], _CONFIDENCE, recentre=name in RECENTRED)
        for name in _METRICS
    }


def _bias(p: np.ndarray, labels: np.ndarray) -> Figure:
    """Return mean(p) − mean(truth), with its interval by the normal approximation."""
    away = p - labels
    value, error = float(away.mean()), float(away.std(ddof=1) / np.sqrt(len(away))) if len(away) > 1 else 0.0
    return Figure(value=value, low=value - 1.96 * error, high=value + 1.96 * error)
