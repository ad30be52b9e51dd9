"""A training that can be followed in MLflow while it runs: one run an architecture, an epoch at a time."""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from thorax.errors import RegistryError
from thorax.registry.tracking import client, initialise, speaking
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY, ARCHITECTURE, CACHED_FROM, PARENT = (
    "thorax.key",
    "thorax.architecture",
    "thorax.cached_from",
    "mlflow.parentRunId",
)
_log = logging.getLogger(__name__)


class Report(Protocol):
    """Whoever follows a step on the screen."""

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Tell that `done` of `total` are finished."""

    def say(self, text: str) -> None:
        """Tell something that stays on the screen."""

    def warn(self, text: str) -> None:
        """Tell something that a person should look at."""


class Tell:
    """Takes what a training tells, and passes it to the screen and each epoch's learning curves to MLflow.

    MLflow failing never ends a training: the curves are in the network's folder too, and are logged from there when
    the model is registered.
    """

    def __init__(self, settings: Settings, run_id: str, report: Report | None) -> None:
        self.run_id = run_id
        self._settings = settings
        self._report = report
        self._broken = not run_id

    def __call__(self, update: Mapping[str, Any]) -> None:
        """Pass on how far a training is: as it says on the screen, and each finished epoch's `curve` to MLflow."""
        if self._report is not None:
            done, total, text = _how_far(update)
            self._report.progress(done, total, text)
        curve = update.get("curve")
        if curve is not None and self._report is not None and "train_loss" in curve:
            self._report.say(epoch_line(update))
        if curve is None or self._broken:
            return
        try:
            log_epoch(self._settings, self.run_id, curve, int(curve["epoch"]))
        except RegistryError as error:
            self._broken = True
            self._warn(f"MLflow no longer takes the learning curves, training goes on. {error}")

    def _warn(self, text: str) -> None:
        if self._report is not None:
            self._report.warn(text)
        else:
            _log.warning(text)


def _how_far(update: Mapping[str, Any]) -> tuple[float, float, str]:
    """Steps done, steps in all, and the line beside the bar."""
    epoch, epochs = int(update.get("epoch", 0)), max(1, int(update.get("epochs", 1)))
    stage = update.get("stage", "train")
    if stage != "train":
        return epochs, epochs, {"answer": "answering for every split", "export": "exporting to ONNX"}.get(stage, stage)
    share = update["step"] / update["steps"] if update.get("steps") else 1.0
    parts = [f"epoch {epoch}/{epochs}"]
    if update.get("auroc") is not None:
        parts.append(f"AUROC {update['auroc']:.3f}")
    if update.get("eta_seconds") is not None:
        parts.append(f"{update['eta_seconds']:.0f} s left")
    return max(0, epoch - 1) + share, epochs, ", ".join(parts)


def epoch_line(update: Mapping[str, Any]) -> str:
    """Return what a finished epoch says in a log, in one line.

    Args:
        update: what a training reports with the row of the learning curves, `curve`, of the epoch.

    >>> curve = {"train_loss": 0.1234, "validation_auroc": 0.8, "images_per_second": 250.4}
    >>> epoch_line({"epoch": 3, "epochs": 14, "eta_seconds": 34.0, "curve": curve})
    'epoch 3/14: loss 0.1234, validation AUROC 0.800, 250 images/s, 34 s left'
    """
    curve = update["curve"]
    known = {**curve, "left": update.get("eta_seconds")}
    forms = {
        "train_loss": "loss {:.4f}",
        "validation_auroc": "validation AUROC {:.3f}",
        "images_per_second": "{:.0f} images/s",
        "left": "{:.0f} s left",
    }
    parts = [form.format(known[name]) for name, form in forms.items() if is_figure(known.get(name))]
    return f"epoch {update['epoch']}/{update.get('epochs', '?')}: {', '.join(parts)}"


@contextmanager
def live_run(settings: Settings, architecture: str, key: str, report: Report | None = None) -> Iterator[Tell]:
    """Open the run of one training and yield a callable that takes each epoch's row.

    Args:
        settings: where MLflow is.
        architecture: what is trained.
        key: what the training depends on; a training that was interrupted goes on in the same run.
        report: who follows on the screen.
    """
    try:
        run_id = open_child(settings, architecture, key)
    except RegistryError as error:
        run_id = ""
        tell = Tell(settings, run_id, report)
        tell._warn(f"MLflow cannot be reached, training goes on without it. {error}")
    else:
        tell = Tell(settings, run_id, report)
    try:
        yield tell
    except BaseException as error:
        close_child(settings, run_id, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    close_child(settings, run_id, "FINISHED")


def open_child(settings: Settings, architecture: str, key: str) -> str:
    """Return the id of the run of this training: a new one, or the unfinished one of an interrupted training.

    Raises:
        RegistryError: MLflow cannot be reached.
    """
    experiment = initialise(settings)
    connection = client(settings)
    with speaking(settings):
        unfinished = connection.search_runs(
            [experiment],
            f"tags.`{KEY}` = '{key}' and attributes.status != 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        if unfinished:
            run_id = str(unfinished[0].info.run_id)
            connection.update_run(run_id, status="RUNNING")
            return run_id
        tags = {KEY: key, ARCHITECTURE: architecture}
        return str(connection.create_run(experiment, tags=tags, run_name=architecture).info.run_id)


def log_epoch(settings: Settings, run_id: str, row: Mapping[str, Any], epoch: int) -> None:
    """Log one epoch's figures in one call.

    Raises:
        RegistryError: MLflow cannot be reached.
    """
    connection = client(settings)
    with speaking(settings):
        log_curve(connection, run_id, [(epoch, row)])


def log_curve(connection: "MlflowClient", run_id: str, rows: list[tuple[int, Mapping[str, Any]]]) -> None:
    """Log several epochs' figures, a thousand a call, which is what MLflow takes."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [
        Metric(name, float(value), now, epoch)
        for epoch, row in rows
        for name, value in row.items()
        if name not in {"epoch", "epochs"} and is_figure(value)
    ]
    for start in range(0, len(metrics), 1000):
        connection.log_batch(run_id, metrics=metrics[start : start + 1000])


def is_figure(value: Any) -> bool:
    """Say whether a value is a finite number, which is all that a metric may be."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def close_child(settings: Settings, run_id: str, status: str) -> None:
    """Set the run's status; a failure is logged and swallowed, as the training itself has ended."""
    if not run_id:
        return
    try:
        connection = client(settings)
        with speaking(settings):
            connection.set_terminated(run_id, status)
    except RegistryError as error:
        _log.warning("The run %s could not be closed: %s", run_id, error)
