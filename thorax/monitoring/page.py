"""The page of a drift report, in words first."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax.prediction_log import OF_FINDING, STATISTICS

if TYPE_CHECKING:
    from thorax.monitoring.report import DriftReport

_MEASURES = {
    "p": "probability of {}",
    "d": "decisions on {}",
    "c": "conformal answers on {}",
    "u": "uncertainty on {}",
    "heat_x": "where the heatmap of {} lies, across",
    "heat_y": "where the heatmap of {} lies, down",
    "heat_spread": "spread of the heatmap of {}",
}
_NAMED = {
    "view": "view",
    "age": "age",
    "sex": "sex",
    "ood_score": "strangeness of the image",
    "ood": "share of strange images",
} | {name: f"image: {name}" for name in STATISTICS}


def said(column: str) -> str:
    """Return a column's name as a person says it.

    >>> said("heat_x_Pleural_Thickening")
    'where the heatmap of pleural thickening lies, across'
    """
    if column in _NAMED:
        return _NAMED[column]
    for kind in sorted(OF_FINDING, key=len, reverse=True):
        if column.startswith(f"{kind}_"):
            finding = column.removeprefix(f"{kind}_").replace("_", " ").lower()
            return _MEASURES[kind].format(finding)
    return column


def headline(report: "DriftReport") -> str:
    """Say the verdict in one sentence."""
    drift = report.drift
    if drift.verdict == "too few":
        return f"Too few predictions for a verdict: {drift.rows:,} of at least {drift.min_rows:,}."
    if drift.verdict == "quiet":
        return f"No drift: {drift.rows:,} predictions look like the {drift.reference_rows:,} of the reference."
    first = ", ".join(said(name) for name in drift.alarms[:3])
    more = len(drift.alarms) - 3
    return f"Drift in {first}{f' and {more} more' if more > 0 else ''}."


def render(report: "DriftReport", distributions: bool) -> str:
    """Return the page as HTML that needs no network."""
    from jinja2 import Environment, FileSystemLoader

    here = Path(__file__).parent
    folders = [here, here.parent / "evaluation"]
    environment = Environment(loader=FileSystemLoader(folders), autoescape=True)
    environment.filters["said"] = said
    environment.filters["figure"] = _figure
    columns = sorted(report.drift.columns, key=lambda item: -(item.score if item.score is not None else -9e9))
    context: dict[str, Any] = {
        "report": report,
        "drift": report.drift,
        "columns": columns,
        "headline": headline(report),
        "distributions": distributions,
    }
    return environment.get_template("page.html").render(context)


def _figure(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
