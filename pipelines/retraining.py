"""The loop's tools on this machine: where confirmed cases come from, the training pipeline, the registry."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.run import Follow, run_training
from thorax.monitoring.loop.gather import Sources
from thorax.monitoring.loop.lock import BusyError
from thorax.monitoring.loop.steps import Tools
from thorax.settings import Settings

#: Seconds to wait for a pipeline run to end; one whose starter was killed takes a moment to notice.
_PATIENCE = 60.0


def tools_of(settings: Settings, follow: Follow | None = None) -> Tools:
    """Return what the loop needs.

    Args:
        settings: all settings.
        follow: called with every event of every step of the training pipeline.
    """
    from thorax.registry.retraining import made_by, promote_once

    return Tools(
        sources=lambda: sources_of(settings),
        made=lambda mark: made_by(settings, mark),
        train=_trainer(follow),
        promote=lambda version, mark, reason: promote_once(settings, version, mark, reason),
        undisturbed=lambda: undisturbed(settings),
    )


def sources_of(settings: Settings) -> Sources | None:
    """Return where confirmed cases come from; None where the deployment keeps none, or nothing was answered yet.

    Raises:
        LogError: the prediction log cannot be reached.
    """
    from thorax.prediction_log import count, log_path, place_of, read_feedback, read_log
    from thorax.prediction_log.record import read_salt

    folder, place = settings.monitor.confirmed_dir, place_of(settings)
    if folder is None or not count(place):
        return None
    return Sources(
        folder=settings.at_home(folder),
        root=settings.data_root,
        predictions=read_log(place),
        feedback=read_feedback(place),
        salt=read_salt(log_path(settings.var).with_name("salt")),
        findings=settings.data.findings,
        partial=settings.data.not_mentioned == "ignore",
    )


@contextmanager
def undisturbed(settings: Settings) -> Iterator[None]:
    """Keep pipeline runs from beginning, so that none reads a dataset that is being changed.

    Raises:
        BusyError: a run is under way and does not end within a minute.
    """
    from filelock import FileLock, Timeout

    path = settings.var / "pipeline.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=_PATIENCE):
            yield
    except Timeout as error:
        raise BusyError(f"A pipeline run is under way in {settings.var}.", "Wait for it to end.") from error


def _trainer(follow: Follow | None) -> Callable[[Settings, str], dict[str, Any]]:
    def train(settings: Settings, reason: str) -> dict[str, Any]:
        with undisturbed(settings):  # the run of a process that was killed ends first
            pass
        run = run_training(settings, reason, follow)
        gates = [dict(gate) for gate in run.facts["gates"]]
        return {
            "version": run.facts["version"],
            "passed": bool(gates) and all(gate["passed"] for gate in gates),
            "gates": gates,
            "aliases": list(run.facts["aliases"]),
        }

    return train
