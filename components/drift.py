"""Drift: what the champion answered since it was last judged, against its reference; the verdict, and who is told."""

from kfp.dsl import Artifact, Output

from components.base import component


@component
def drift(watch_settings: str, report: Output[Artifact]) -> str:
    """Examine the champion's latest answers.

    Args:
        watch_settings: all settings, as JSON.
        report: the report's pages and figures.

    Returns:
        quiet, warning, alarm or too_few.
    """
    import json
    import os
    import shutil
    from pathlib import Path

    from thorax.events import reporting
    from thorax.registry.loop import look
    from thorax.settings import parse

    with reporting("drift") as told:
        home = Path(os.environ.get("THORAX_HOME", ".")).absolute()
        seen = look(parse(json.loads(watch_settings), home, "the monitoring pipeline's settings"))
        if seen.page:
            shutil.copytree(Path(seen.page).parent, report.path, dirs_exist_ok=True)
        report.metadata.update({"status": seen.status, "version": seen.version, "rows": seen.rows})
        for problem in seen.problems:
            told.warn(problem)
        told.say(seen.headline)
    return seen.status
