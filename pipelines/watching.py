"""A round of monitoring on this machine: what it retrains with is the pipeline's local run."""

from typing import Any

from pipelines.run import Follow, run_training
from thorax.monitoring.loop.sources import undisturbed
from thorax.monitoring.loop.steps import Say
from thorax.registry import loop
from thorax.registry.loop import Train, Turn
from thorax.settings import Settings


def watch_once(
    settings: Settings, *, quick: bool = False, follow: Follow | None = None, say: Say = lambda text: None
) -> Turn:
    """Look at what was answered, and answer the alarm if there is one; see `thorax.registry.loop.watch_once`.

    Args:
        settings: all settings.
        quick: the verdict alone: no drawings, no MLflow run.
        follow: called with every event of every step of a training.
        say: called with what the loop does, in words.
    """
    return loop.watch_once(settings, trainer(follow), quick=quick, say=say)


def trainer(follow: Follow | None = None) -> Train:
    """Return what trains for the loop: the whole pipeline, on this machine."""

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
            "new": run.facts["new"],
        }

    return train
