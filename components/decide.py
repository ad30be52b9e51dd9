"""Decide: whether the alarm is answered with a retraining, on which data; and, behind the training, what it led to."""

from typing import NamedTuple

from kfp.dsl import Artifact, Input, Model, Output

from components.base import component


# Kubeflow's local runner resolves a condition on the output of this name alone.
@component
def decide(
    watch_settings: str,
    report: Input[Artifact],
    decision: Output[Artifact],
) -> NamedTuple("Decided", [("Output", str), ("revision", str), ("reason", str)]):  # type: ignore[valid-type]
    """Decide, and where a retraining is called for, collect the confirmed cases and make their data revision.

    Args:
        watch_settings: all settings, as JSON.
        report: what drift gave; nothing is decided before it.
        decision: decision.json: what was decided, and why.

    Returns:
        `train` or `rest`; the data revision to train on, and the reason that its version bears.
    """
    import json
    import os
    from collections import namedtuple
    from pathlib import Path

    from thorax.events import reporting
    from thorax.files import write_json
    from thorax.registry.loop import prepare
    from thorax.settings import parse

    with reporting("decide") as told:
        home = Path(os.environ.get("THORAX_HOME", ".")).absolute()
        settings = parse(json.loads(watch_settings), home, "the monitoring pipeline's settings")
        done = prepare(settings, told.say)
        item = done.retraining
        write_json(Path(decision.path) / "decision.json", done.as_dict())
        decision.metadata.update({"action": done.decision.action, "why": done.decision.why})
        told.say(f"{done.decision.action}: {done.decision.why}")
        words = ("rest", "", "") if item is None else ("train", item.done["revise"]["revision"], item.full_reason)
    return namedtuple("Decided", ["Output", "revision", "reason"])(*words)


@component
def settle(watch_settings: str, registered: Input[Model], outcome: Output[Artifact]) -> str:
    """Note the version that the training made, and promote it where that is allowed.

    Args:
        watch_settings: all settings, as JSON.
        registered: what register gave.
        outcome: outcome.json: the retraining, whole.

    Returns:
        How the retraining ended, in words.
    """
    import json
    import os
    from pathlib import Path

    from thorax.events import reporting
    from thorax.files import write_json
    from thorax.registry.loop import conclude
    from thorax.settings import parse

    with reporting("settle") as told:
        home = Path(os.environ.get("THORAX_HOME", ".")).absolute()
        settings = parse(json.loads(watch_settings), home, "the monitoring pipeline's settings")
        done = conclude(settings, told.say)
        write_json(Path(outcome.path) / "outcome.json", done.as_dict())
        told.say(done.outcome)
    return done.outcome
