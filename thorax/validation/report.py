"""The page that a person reads: one HTML file, styles and charts inside, no address in it."""

import base64
from importlib.resources import files
from typing import Any

import pandas as pd

from thorax.validation.result import SHOWN, Outcome, ValidationResult


def render(result: ValidationResult, shown: dict[str, bytes] | None = None) -> str:
    """Return the page as HTML.

    Args:
        result: what was found.
        shown: image id → PNG, of failing images.
    """
    from jinja2 import Environment

    template = files("thorax.validation").joinpath("report.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["count"] = lambda value: f"{value:,}"
    first = {name: rows.head(SHOWN) for name, rows in result.failures.groupby("expectation", sort=False)}
    return environment.from_string(template).render(
        result=result,
        facts=result.statistics,
        failed=[*result.critical, *result.warnings],
        groups=_groups([outcome for outcome in result.outcomes if outcome.success]),
        shown=SHOWN,
        thumbnails={key: base64.b64encode(data).decode() for key, data in (shown or {}).items()},
        rows={name: list(rows[["key", "value"]].itertuples(index=False)) for name, rows in first.items()},
        totals=result.failures["expectation"].value_counts().to_dict(),
        prevalence=_prevalence(result.statistics),
        bars=_bars,
    )


def _groups(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """Sort outcomes under the headings of the page."""
    headings = {
        "table": "Table",
        "image": "Table",
        "missing": "Table",
        "unlisted": "Table",
        "class": "Findings",
        "finding": "Findings",
        "drift": "Findings",
        "patient": "Patients and splits",
        "split": "Patients and splits",
        "split_finding": "Patients and splits",
        "pair": "Leakage",
        "picture": "Pictures",
        "box": "Boxes",
        "box_extent": "Boxes",
    }
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(headings[outcome.subject], []).append(outcome)
    order = list(dict.fromkeys(headings.values()))
    return {heading: groups[heading] for heading in order if heading in groups}


def _prevalence(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return findings with the shares of their labels, the most frequent first."""
    total = max(1, facts.get("images", 0))
    rows = [
        {**row, "share": row["present"] / total, "uncertain_share": row["uncertain"] / total}
        for row in facts.get("prevalence", [])
    ]
    return sorted(rows, key=lambda row: -row["present"])


def _bars(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Return bars of a chart, each with its share of the largest."""
    largest = max(counts.values(), default=0) or 1
    frame = pd.Series(counts, dtype=float)
    return [{"name": name, "count": int(count), "share": count / largest} for name, count in frame.items()]
