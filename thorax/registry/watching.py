"""Drift reports in MLflow: a run a report, so that every figure is a series over time."""

from collections.abc import Mapping
from pathlib import Path

from thorax.registry.live import log_curve
from thorax.registry.tracking import client, initialise, speaking
from thorax.settings import Settings


def log_report(
    settings: Settings, *, version: str, verdict: str, figures: Mapping[str, float], folder: Path, span: tuple[str, str]
) -> str:
    """Log a drift report as a run; return its id.

    Args:
        settings: where MLflow is.
        version: of the model that was watched.
        verdict: quiet, drift or too few.
        figures: by name; they become the run's metrics.
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
        log_curve(connection, run_id, [(0, figures)])
        connection.log_artifacts(run_id, str(folder), "report")
        connection.set_terminated(run_id)
    return run_id
