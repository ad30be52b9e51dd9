"""Write a candidate's report: one self-contained HTML page, and its plots as PNG files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.calibration.uncertainty import risk_coverage
from thorax.evaluation import gallery, overviews, plots
from thorax.evaluation.canvas import as_png, png_address, style, words
from thorax.files import write_text

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

    from thorax.evaluation.run import Evaluated
    from thorax.preprocessing.store import ImageStore

_TEMPLATES = Path(__file__).parent


def write_report(evaluated: "Evaluated", store: "ImageStore | None", folder: Path) -> None:
    """Write `report.html` and `figures/*.png` into `folder`.

    Args:
        evaluated: what was measured; its facts have `title` and `synthetic`.
        store: where the pictures are taken from; None leaves them out.
        folder: exists.
    """
    import matplotlib

    with matplotlib.rc_context(style()):
        drawn = {name: as_png(figure) for name, figure in draw(evaluated).items()}
    (folder / "figures").mkdir(exist_ok=True)
    for name, png in drawn.items():
        (folder / "figures" / f"{name}.png").write_bytes(png)
    alarms, misses = gallery.worst_errors(evaluated, store) if store is not None else ([], [])
    page = render(
        "report.html",
        facts=evaluated.facts,
        figures={name: png_address(png) for name, png in drawn.items()},
        alarms=alarms,
        misses=misses,
        localized=gallery.localized(evaluated, store) if store is not None else [],
    )
    write_text(folder / "report.html", page)


def draw(evaluated: "Evaluated") -> "dict[str, Figure]":
    """Return every plot of the report by name; those that have nothing to show are left out."""
    facts, scores = evaluated.facts, evaluated.scores
    drawn = {
        "glance": overviews.glance(facts),
        "roc": plots.roc(scores, facts),
        "precision_recall": plots.precision_recall(scores, facts),
        "threshold_price": plots.threshold_price(scores, facts),
        "confusion": plots.confusion_matrices(facts),
        "reliability": plots.reliability(scores, facts),
        "subgroups": overviews.subgroup_gaps(facts),
        "mistaken": overviews.mistaken(facts),
        "risk_coverage": overviews.risk_coverage_curves(_risk_curves(evaluated)),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def render(template: str, **values: Any) -> str:
    """Fill a page's template; every value is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "words": words,
        "figure": figure_text,
        "cell": figure_cell,
        "bounds": bounds_text,
        "share": share_text,
        "count": count_text,
    }
    return environment.get_template(template).render(**values)


def figure_text(figure: dict[str, Any] | None, digits: int = 2) -> str:
    """Return a figure with its interval, such as "0.82 (0.79–0.85)"; a dash where there is none."""
    if not figure or figure.get("value") is None:
        return "–"
    if figure.get("low") is None:
        return _number(figure["value"], digits)
    return f"{_number(figure['value'], digits)} ({_between(figure, digits)})"


def figure_cell(figure: dict[str, Any] | None, digits: int = 2) -> "Markup":
    """Return a figure for a table: its interval stands small beneath it, so that wide tables fit a page."""
    from markupsafe import Markup, escape

    if not figure or figure.get("value") is None:
        return Markup("–")
    value = _number(figure["value"], digits)
    if figure.get("low") is None:
        return escape(value)
    return Markup('{}<span class="ci">{}</span>').format(value, _between(figure, digits))


def bounds_text(figure: dict[str, Any], digits: int | None = None) -> str:
    """Return a figure's interval alone, as percent where no digits are named; a dash where there is none."""
    if figure.get("low") is None:
        return "–"
    if digits is None:
        return f"{100 * figure['low']:.0f}–{100 * figure['high']:.0f}%"
    return _between(figure, digits)


def _number(value: float, digits: int) -> str:
    """Return a number with a true minus sign."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def _between(figure: dict[str, Any], digits: int) -> str:
    """Return both ends; with a word between them where a dash would stand beside a minus."""
    low, high = (_number(figure[end], digits) for end in ("low", "high"))
    return f"{low} to {high}" if "−" in low else f"{low}–{high}"


def share_text(value: float | None, digits: int = 0) -> str:
    """Return a share as percent; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def count_text(value: float | None) -> str:
    """Return a count with thousands apart; a dash where there is none."""
    return "–" if value is None else f"{value:,.0f}"


def _risk_curves(evaluated: "Evaluated") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    entropy = evaluated.calibration.uncertainty(evaluated.scores.probabilities)
    curves = {}
    for column, finding in enumerate(evaluated.facts["findings"]):
        rows = ~np.isnan(evaluated.scores.truth[:, column])
        if rows.any():
            wrong = evaluated.scores.decisions[rows, column] != (evaluated.scores.truth[rows, column] > 0.5)
            curves[finding] = risk_coverage(entropy[rows, column], wrong)
    return curves
