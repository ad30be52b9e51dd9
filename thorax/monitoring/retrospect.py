"""Performance of windows that were judged before, taken anew: truth comes late, and is counted where its image was."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from thorax.errors import InputError
from thorax.monitoring.performance import assess, columns_for
from thorax.monitoring.truth import settle
from thorax.prediction_log import read_feedback
from thorax.prediction_log.places import Place
from thorax.prediction_log.streaming import columns_in, stream
from thorax.settings import Monitor

#: Rows of a window from which performance is estimated.
_MOST = 5000


def performance_of(
    windows: Sequence[Mapping[str, Any]], place: Place, settings: Monitor, archive: Path | None = None
) -> list[dict[str, dict[str, Any]]]:
    """Return, of each window, `{finding: {"measured": figures, "estimated": figures}}`; {} where its rows are gone.

    Args:
        windows: as `History.windows` gives them.
        place: the prediction log.
        settings: `min_truth`.
        archive: the folder of rows that were moved out of the log.
    """
    try:
        truth = settle(read_feedback(place, archive=archive)).table
        known = columns_in(place)
    except InputError:  # the log is gone; the windows remain
        return [{} for _ in windows]
    findings = tuple(name.removeprefix("p_") for name in known if name.startswith("p_"))
    return [_window(item["window"], place, findings, truth, settings, archive) for item in windows]


def _window(
    window: Mapping[str, Any],
    place: Place,
    findings: tuple[str, ...],
    truth: pd.DataFrame,
    settings: Monitor,
    archive: Path | None,
) -> dict[str, dict[str, Any]]:
    if not window["until"]:
        return {}
    span = (
        datetime.fromisoformat(window["since"]),
        datetime.fromisoformat(window["until"]) + timedelta(milliseconds=1),
    )
    frames = list(stream(place, columns_for(findings), *span, version=window["version"], archive=archive))
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if rows.empty:
        return {}
    answered = [name for name in findings if rows.get(f"p_{name}", pd.Series(dtype=float)).notna().any()]
    confirmed = rows[rows["request_id"].isin(truth.index)]
    even = rows.iloc[:: max(1, len(rows) // _MOST)]
    found = assess(even, confirmed, truth, answered, {}, settings)
    return {item.finding: {"measured": item.measured, "estimated": item.estimated} for item in found}
