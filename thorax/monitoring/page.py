"""The page of a drift report: verdict, largest changes, all figures, performance."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.monitoring import chart
from thorax.monitoring.bins import Column, group_of
from thorax.monitoring.summary import Summary
from thorax.prediction_log import OF_FINDING, STATISTICS

if TYPE_CHECKING:
    from thorax.evaluation.resampling import Figure
    from thorax.monitoring.drift import ColumnDrift
    from thorax.monitoring.examine import Examination
    from thorax.monitoring.verdict import Verdict

_MEASURES = {
    "p": "probability of {}",
    "d": "operating point reached on {}",
    "c": "answers on {}",
    "u": "uncertainty on {}",
    "heat_x": "horizontal position of the heatmap of {}",
    "heat_y": "vertical position of the heatmap of {}",
    "heat_spread": "spread of the heatmap of {}",
    "heat_outside": "share of the heat of {} outside the lungs",
    "heat_agreement": "agreement of the heatmap of {} with its usual position",
    "performance": "measured AUROC of {}",
}
_NAMED = {
    "view": "view",
    "age": "age",
    "sex": "sex",
    "ood_score": "out-of-distribution score",
    "ood": "share out of distribution",
    "outside_scope": "share of images outside the scope of use (declared view, age, sex, device)",
    "bits": "image: bit depth",
    "embedding": "image embedding",
    "failures": "share of failed requests",
    "latency": "response time (95th percentile, ms)",
} | {name: f"image: {name}" for name in STATISTICS}
#: Of the groups in which figures stand on the page, in its order.
GROUPS: dict[str, tuple[str, ...]] = {
    "Probabilities": ("probability",),
    "Operating points": ("decision",),
    "Answers": ("conformal",),
    "Uncertainty": ("uncertainty",),
    "Image statistics": ("image",),
    "Out of distribution and embedding": ("novelty", "embedding"),
    "Patients and views": ("view", "age", "sex"),
    "Heatmaps": ("heat",),
}
#: Figures that are drawn on the page.
_DRAWN = 6


def said(column: str) -> str:
    """Return the display name of a figure.

    >>> said("heat_x_Pleural_Thickening")
    'where the heatmap of pleural thickening lies, across'
    """
    if column in _NAMED:
        return _NAMED[column]
    for kind in sorted((*OF_FINDING, "performance"), key=len, reverse=True):
        if column.startswith(f"{kind}_"):
            finding = column.removeprefix(f"{kind}_").replace("_", " ").lower()
            return _MEASURES[kind].format(finding)
    return column


def headline(verdict: "Verdict") -> str:
    """Return the verdict in one sentence."""
    window = verdict.window
    if verdict.status == "too_few":
        if not window.rows:
            others = f"; the log holds {window.others:,} of other versions" if window.others else ""
            return f"No prediction of version {window.version} in this window{others}."
        return f"Too few predictions for a verdict: {window.rows:,}."
    if verdict.status == "quiet":
        return f"No drift: {window.rows:,} predictions look like the reference."
    found = verdict.alarms or verdict.warnings
    first = ", ".join(said(item.figure) for item in found[:3])
    more = len(found) - 3
    listed = f"{first}{f' and {more} more' if more > 0 else ''}"
    if verdict.status == "alarm":
        return f"Alarm: {listed}."
    return f"Warning: {listed}."


def explanation(verdict: "Verdict") -> str:
    """Return what the status means and what to do next."""
    if verdict.status == "alarm":
        return (
            "These figures exceed their cut-offs in enough consecutive windows, or by far in this one. "
            "Find out what changed (a detector, an export, the patients) before you rely on further answers."
        )
    if verdict.status == "warning":
        return (
            f"These figures exceed their cut-offs. An alarm follows when the same figure exceeds its cut-off "
            f"in {verdict.persistence} windows in a row; warning-only figures never raise an alarm."
        )
    if verdict.status == "too_few":
        return "There are too few predictions for a verdict; the figures below are for information."
    return "No figure exceeds its cut-off."


def render(found: "Examination", distributions: bool) -> str:
    """Return the page as HTML that needs no network."""
    columns = sorted(found.drift.columns, key=lambda item: -(item.score if item.score is not None else -9e9))
    context: dict[str, Any] = {
        "found": found,
        "verdict": found.verdict,
        "window": found.verdict.window,
        "drift": found.drift,
        "groups": [
            (title, [c for c in columns if group_of(c.column) in groups])
            for title, groups in GROUPS.items()
            if any(group_of(c.column) in groups for c in columns)
        ],
        "drawn": [drawing(c, found) for c in columns if c.score is not None and c.column != "embedding"][:_DRAWN],
        "headline": headline(found.verdict),
        "explanation": explanation(found.verdict),
        "distributions": distributions,
    }
    return environment().get_template("drift.html").render(context)


def environment() -> Any:
    """Return Jinja's environment for the pages, with their filters."""
    from jinja2 import Environment, FileSystemLoader

    here = Path(__file__).parent
    made = Environment(loader=FileSystemLoader([here, here.parent / "evaluation"]), autoescape=True)
    made.filters |= {"said": said, "figure": _figure, "interval": interval, "moment": moment}
    return made


def drawing(item: "ColumnDrift", found: "Examination") -> dict[str, Any]:
    """Return what the page shows of one column: its name, its drawing, its numbers."""
    at = next(i for i, column in enumerate(found.ruler.columns) if column.name == item.column)
    column = found.ruler.columns[at]
    theirs, ours = (_shares(column, sample, at) for sample in (found.reference, found.summary))
    labels = _labels(column)
    # Bins for what neither has, other words or missing values, would only be gaps.
    shown = [i for i, label in enumerate(labels) if label not in ("other", "missing") or theirs[i] or ours[i]]
    grey, blue = ([values[i] for i in shown] for values in (theirs, ours))
    return {"item": item, "svg": chart.bars(grey, blue, [labels[i] for i in shown], said(item.column))}


def _shares(column: Column, sample: Summary, at: int) -> list[float]:
    folded = np.bincount(column.coarse, weights=sample.counts[at])
    return [float(value) / max(float(folded.sum()), 1.0) for value in folded]


def _labels(column: Column) -> list[str]:
    if not column.numeric:
        known = {"0": "no", "1": "yes"} if set(column.words) <= {"0", "1"} else {}
        return [*(known.get(word, word) for word in column.words), "other", "missing"]
    bins = int(column.coarse.max())
    first, last = (
        (f"{round(float(edge), 12):.3g}" for edge in (column.edges[0], column.edges[-1]))
        if len(column.edges)
        else ("", "")
    )
    return [f"< {first}", *[""] * max(bins - 2, 0), f"> {last}", "missing"][: bins + 1]


def moment(text: str) -> str:
    """Return a time to the minute."""
    return text[:16].replace("T", " ")


def interval(figure: "Figure | None", digits: int = 2) -> str:
    """Return a figure with its interval: `0.87 (0.82 to 0.91)`."""
    if not figure or figure["value"] is None:
        return "—"
    text = f"{figure['value']:.{digits}f}"
    if figure["low"] is None or figure["high"] is None:
        return text
    return f"{text} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def _figure(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
