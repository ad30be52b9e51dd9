"""Validate: the gate at the door. Bad data stops here, with every failing row in a file and a page to read."""

from kfp.dsl import Artifact, Dataset, Input, Output

from components.base import component


@component
def validate(root: str, dataset: Input[Dataset], validate_settings: str, result: Output[Artifact]) -> None:
    """Check a manifest and its images; a critical failure ends the run.

    Args:
        root: the dataset's folder.
        dataset: what ingest gave.
        validate_settings: the settings that this step reads, as JSON.
        result: result.json, failures.parquet and report.html.
    """
    from pathlib import Path

    from thorax.events import reporting
    from thorax.steps import settings_of
    from thorax.validation.gate import gate

    with reporting("validate") as report:
        settings = settings_of(validate_settings)
        gate(
            Path(dataset.path),
            Path(root),
            settings.data,
            settings.split,
            settings.validation,
            Path(result.path),
            report,
        )
