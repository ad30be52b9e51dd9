"""Evidently's report of the same window: distributions side by side, on a page that opens with no network.

The one module that imports Evidently. The verdicts on its page are ours: its own defaults flag most columns of small
windows that have not drifted at all.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from thorax.monitoring.bins import watch
from thorax.monitoring.drift import Drift

#: More rows than this of either side are sampled for the page's drawings; the verdict is on all of them.
DRAWN = 20_000
_TEST = "Thorax score (1 at the cut-off)"


def write_page(log: pd.DataFrame, reference: pd.DataFrame, drift: Drift, path: Path) -> dict[str, Any]:
    """Write Evidently's drift page.

    Args:
        log: the window.
        reference: the bundle's reference.
        drift: our verdict on them; its figures and cut-offs stand on the page.
        path: of the HTML file.

    Returns:
        What Evidently itself says, as it would in JSON.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = [column for column in watch(reference) if log[column.name].notna().any()]
    numeric = [column.name for column in columns if column.numeric]
    words = [column.name for column in columns if not column.numeric]
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=words)
    frames = [_drawn(frame, numeric, words) for frame in (log, reference)]
    current, known = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    preset = DataDriftPreset(
        columns=[*numeric, *words], method=_our_test(drift), threshold=1.0, drift_share=1 / max(1, len(columns))
    )
    snapshot = Report([preset]).run(current, known)
    snapshot.save_html(str(path))
    return dict(snapshot.dict())


def _drawn(frame: pd.DataFrame, numeric: list[str], words: list[str]) -> pd.DataFrame:
    part = frame[[*numeric, *words]]
    if len(part) > DRAWN:
        part = part.sample(DRAWN, random_state=0)
    return part.assign(
        **{name: part[name].astype("object").where(part[name].notna(), "—").astype(str) for name in words}
    )


def _our_test(drift: Drift) -> str:
    """Give Evidently our figures as a statistical test: the score, 1 at the cut-off. Return the test's name."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    found = {item.column: item for item in drift.columns}

    def score(reference: pd.Series, current: pd.Series, kind: Any, threshold: float) -> tuple[float, bool]:
        item = found[str(current.name)]
        return float(item.score or 0.0), item.alarm

    test = StatTest(_TEST, _TEST, [ColumnType.Numerical, ColumnType.Categorical], 1.0)
    register_stattest(test, default_impl=score)
    return _TEST
