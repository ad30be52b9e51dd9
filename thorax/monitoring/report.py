"""The report's folder: our page, Evidently's distributions, and every figure as JSON."""

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from thorax.files import atomic_folder, write_json, write_text
from thorax.monitoring.page import render
from thorax.settings import Settings

if TYPE_CHECKING:
    from thorax.monitoring.examine import Examination

PAGE, DISTRIBUTIONS, FIGURES = "index.html", "distributions.html", "drift.json"


def write(found: "Examination", reference: pd.DataFrame, settings: Settings, *, quick: bool) -> None:
    """Write the report to `found.folder`, replaced whole.

    Args:
        found: what was found.
        reference: the bundle's.
        settings: where Evidently's workspace is.
        quick: leave Evidently out.
    """
    assert found.folder is not None
    drawn = not quick and bool(len(found.sample))
    with atomic_folder(found.folder) as folder:
        write_json(folder / FIGURES, finite(found.as_dict()))
        if drawn:
            from thorax.monitoring.evidently import workspace_of, write_page

            window = found.verdict.window
            write_page(
                found.sample,
                reference,
                found.drift,
                folder / DISTRIBUTIONS,
                workspace_of(settings.var),
                f"version {window.version}, {window.rows:,} predictions: {found.verdict.status}",
                datetime.fromisoformat(window.until),
            )
        write_text(folder / PAGE, render(found, drawn))


def finite(value: Any) -> Any:
    """Replace what JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
