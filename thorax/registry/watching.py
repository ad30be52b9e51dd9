"""Monitoring of a version of the registry: its bundle is the reference, its report a run in MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from thorax.errors import RegistryError
from thorax.monitoring.alerts import tell
from thorax.monitoring.examine import Examination, examine
from thorax.monitoring.history import History, history_path
from thorax.monitoring.incidents import Incidents
from thorax.monitoring.overview import Promotion
from thorax.prediction_log import archive_of, place_of
from thorax.prediction_log.places import Place
from thorax.registry.bundles import fetch_version
from thorax.registry.decisions import history_of
from thorax.registry.history import DONE
from thorax.registry.run_logging import log_drift_figures
from thorax.registry.tracking import client, initialise, speaking
from thorax.registry.versions import CHAMPION, resolve
from thorax.settings import Settings


@dataclass(frozen=True)
class Watched:
    """An examination, and what could not be told or kept on its account, a sentence each."""

    found: Examination
    problems: tuple[str, ...] = ()


def watch_version(
    settings: Settings,
    *,
    which: str = CHAMPION,
    since: datetime | Literal["last"] | None = None,
    until: datetime | None = None,
    place: Place | None = None,
    out: Path | None = None,
    quick: bool = False,
    remember: bool = True,
) -> Watched:
    """Examine the answers of a version, write the report, tell of what is new, and keep the figures in MLflow.

    Args:
        settings: all settings.
        which: an alias or a version's number.
        since: the first moment; None for the whole log, "last" for what came after the last window that was judged.
        until: the last moment, left out.
        place: another prediction log.
        out: the report's folder; a new one under `<var>/monitoring/reports` where it is not given.
        quick: the verdict and our page alone: no drawings, no MLflow run.
        remember: keep the verdict, follow its incident and tell of it; otherwise the window is only looked at.

    Raises:
        InputError: there is no log, it is of another model, or the bundle has no reference.
        LogError: the log's database does not answer.
        RegistryError: no such version, or the registry cannot be reached.
    """
    model = resolve(settings, which)
    history = History(history_path(settings.var))
    begin = history.resume(model.version) if since == "last" else since
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    folder = out or settings.var / "monitoring" / "reports" / stamp
    if remember and since == "last" and model.version == resolve(settings, CHAMPION).version:
        Incidents(history).close_others(model.version)
    found = examine(
        settings,
        bundle=fetch_version(settings, model),
        version=model.version,
        place=place if place is not None else place_of(settings),
        archive=None if place is not None else archive_of(settings),
        since=begin,
        until=until,
        out=folder,
        quick=quick,
        remember=remember,
    )
    problems = tell(settings, found, history) if remember else []
    if not quick:
        window = found.verdict.window
        try:
            log_report(
                settings,
                version=model.version,
                verdict=found.verdict.status,
                figures=found.series(),
                folder=folder,
                span=(window.since, window.until),
            )
        except RegistryError as error:
            problems.append(f"The report is not in MLflow: {error}")
    return Watched(found, tuple(problems))


def promotions(settings: Settings) -> list[Promotion]:
    """Return every time that a version became champion, the first first."""
    entries = history_of(settings).entries()
    actions = {"promote", "rollback", "outside", "accept"}
    return [Promotion(e.time, e.target, e.who) for e in entries if e.stage == DONE and e.action in actions and e.target]


def log_report(
    settings: Settings, *, version: str, verdict: str, figures: Mapping[str, float], folder: Path, span: tuple[str, str]
) -> str:
    """Log a drift report as a run; return its id.

    Args:
        settings: where MLflow is.
        version: of the model that was watched.
        verdict: quiet, warning, alarm or too_few.
        figures: by name; their largest become the run's metrics, all of them its table.
        folder: the report's pages and JSON, kept as artifacts.
        span: first and last prediction, ISO 8601.

    Raises:
        RegistryError: MLflow cannot be reached.
    """
    experiment = initialise(settings)
    connection = client(settings)
    tags = {
        "thorax.kind": "monitoring",
        "thorax.version": version,
        "thorax.verdict": verdict,
        "thorax.since": span[0],
        "thorax.until": span[1],
    }
    with speaking(settings):
        run = connection.create_run(experiment, tags=tags, run_name=f"drift: {verdict}")
        run_id = str(run.info.run_id)
        log_drift_figures(connection, run_id, figures)
        connection.log_artifacts(run_id, str(folder), "report")
        connection.set_terminated(run_id)
    return run_id
