"""Select: the candidates side by side, the winner, and why."""

from kfp.dsl import Artifact, Input, Output

from components.base import component


@component
def select(evaluations: Input[list[Artifact]], select_settings: str, selection: Output[Artifact]) -> None:
    """Choose the best candidate.

    Args:
        evaluations: what evaluate gave, one a candidate.
        select_settings: the settings that this step reads, as JSON.
        selection: selection.json with winner and reason, and a page that compares the candidates.
    """
    from pathlib import Path

    from thorax.evaluation import select as choose
    from thorax.events import reporting
    from thorax.steps import settings_of

    with reporting("select") as report:
        candidates = {item.metadata["architecture"]: Path(item.path) for item in evaluations}
        verdict = choose(candidates, settings_of(select_settings).select, Path(selection.path))
        selection.metadata["winner"] = verdict["winner"]
        report.say(verdict["reason"])
