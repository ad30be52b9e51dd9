"""Evidently's report of the same window: distributions side by side, on a page that opens with no network.

The one module that imports Evidently. The verdicts on its page are ours: its own defaults flag most columns of small
windows that have not drifted at all.
"""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from thorax.files import write_text
from thorax.monitoring.bins import watch
from thorax.monitoring.drift import Drift

#: More rows than this of either side are sampled for the page's drawings; the verdict is on all of them.
DRAWN = 20_000
#: The name of the project in Evidently's workspace.
PROJECT = "Thorax"
_TEST = "Thorax score (1 at the cut-off)"


def write_page(
    log: pd.DataFrame,
    reference: pd.DataFrame,
    drift: Drift,
    path: Path,
    workspace: Path | None = None,
    name: str = "",
    moment: datetime | None = None,
) -> dict[str, Any]:
    """Write Evidently's drift page, and its figures as JSON beside it.

    Args:
        log: the window, or an even part of it.
        reference: the bundle's reference.
        drift: our verdict on them; its figures and cut-offs stand on the page.
        path: of the HTML file; the JSON lies beside it.
        workspace: the folder of Evidently's own workspace, which the report joins; None leaves it out.
        name: of the report there.
        moment: the window's end, its place on the workspace's axis of time.

    Returns:
        What Evidently itself says, as it would in JSON.
    """
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
    snapshot = Report([preset]).run(current, known, timestamp=moment, name=name or None)
    snapshot.save_html(str(path))
    # In one string: `save_json` streams, which takes several times as long.
    write_text(path.with_suffix(".json"), snapshot.json())
    if workspace is not None:
        _join(workspace, snapshot)
    return dict(snapshot.dict())


def workspace_of(var: Path) -> Path:
    """Return where an installation keeps Evidently's workspace, given `settings.var`."""
    return var / "monitoring" / "workspace"


def become_ui(workspace: Path, port: int) -> NoReturn:
    """Turn this process into Evidently's pages on loopback, so that they end as this command would."""
    _open(workspace)
    command = [sys.executable, "-m", "evidently.cli", "ui", "--workspace", str(workspace), "--host", "127.0.0.1"]
    os.execv(sys.executable, [*command, "--port", str(port)])  # noqa: S606


def _open(folder: Path) -> tuple[Any, Any]:
    """Return the workspace and its one project; both are made where they are missing."""
    from evidently.ui.workspace import Workspace

    workspace = Workspace.create(str(folder))
    projects = [project for project in workspace.list_projects() if project.name == PROJECT]
    return workspace, projects[0] if projects else workspace.create_project(
        PROJECT, "Predictions against the reference"
    )


def _join(folder: Path, snapshot: Any) -> None:
    workspace, project = _open(folder)
    workspace.add_run(project.id, snapshot)


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
        return float(item.score or 0.0), item.crossed

    test = StatTest(_TEST, _TEST, [ColumnType.Numerical, ColumnType.Categorical], 1.0)
    register_stattest(test, default_impl=score)
    return _TEST


def by_default(log: pd.DataFrame, reference: pd.DataFrame) -> dict[str, bool]:
    """Return which columns Evidently's `DataDriftPreset` calls drifted as it comes, without drawing its page.

    It chooses a test a column by type and by the reference's size, and decides at that test's own threshold. For
    comparison alone: nothing here acts on it.
    """
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    found = {}
    for column in watch(reference):
        kind = ColumnType.Numerical if column.numeric else ColumnType.Categorical
        pair = [frame[column.name].dropna() for frame in (reference, log)]
        theirs, ours = pair if column.numeric else [values.astype(str) for values in pair]
        if ours.empty:
            continue
        test = get_stattest(theirs, ours, kind, None)
        found[column.name] = bool(test(theirs, ours, kind, None).drifted)
    return found


def preset(log: pd.DataFrame, reference: pd.DataFrame, page: Path | None = None) -> int:
    """Run the preset itself on whole frames, and return how many columns it calls drifted.

    For comparison alone: `by_default` is checked against it, and our speed is measured beside it.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = [column for column in watch(reference) if log[column.name].notna().any()]
    numeric = [column.name for column in columns if column.numeric]
    words = [column.name for column in columns if not column.numeric]
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=words)
    frames = [frame[[*numeric, *words]].astype(dict.fromkeys(words, str)) for frame in (log, reference)]
    current, known = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    snapshot = Report([DataDriftPreset(columns=[*numeric, *words])]).run(current, known)
    if page is not None:
        snapshot.save_html(str(page))
    counted = next(m for m in snapshot.dict()["metrics"] if m["metric_name"].startswith("DriftedColumnsCount"))
    return int(counted["value"]["count"])
