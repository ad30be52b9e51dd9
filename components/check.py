"""Check: before anything long begins, what would stop the run later: code, data, room, GPUs, the way to MLflow."""

from kfp.dsl import Artifact, Output

from components.base import component


@component
def check(root: str, revision: str, check_settings: str, checked: Output[Artifact]) -> None:
    """Look, on a machine such as training will get, for what the run needs.

    Args:
        root: the dataset's folder.
        revision: of the data; DVC's digest of that folder.
        check_settings: the settings that this step reads, as JSON, and what it was told of this run.
        checked: a line of text that says so.
    """
    from pathlib import Path

    from thorax.datasets.arrival import Consignment
    from thorax.events import reporting
    from thorax.files import write_text
    from thorax.preflight import examine, require_data, require_gpus, require_mlflow
    from thorax.steps import handed_of, require_code, settings_of

    with reporting("check") as report:
        settings = settings_of(check_settings)
        gpus = handed_of(check_settings, "gpus", 0)
        wanted = Consignment(revision, **handed_of(check_settings, "data", {}))
        examine(
            lambda: require_code(handed_of(check_settings, "codes")),
            lambda: require_data(wanted, Path(root), settings),
            lambda: require_gpus(gpus),
            lambda: require_mlflow(settings.tracking_uri),
        )
        told = f"code, data, room and MLflow are as they should be{f', and so are {gpus} GPUs' if gpus else ''}"
        write_text(checked.path, told + "\n")
        report.say(told)
