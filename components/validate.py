"""Validate: the gate at the door. Bad data stops here, with every failing row in a file."""

from kfp.dsl import Artifact, Dataset, Input, Output

from components.base import component


@component
def validate(
    dataset: Input[Dataset],
    prepared: Input[list[Dataset]],
    validate_settings: str,
    result: Output[Artifact],
) -> None:
    """Check a manifest and its images; a critical failure ends the run.

    Args:
        dataset: what ingest gave; it says where the files lie.
        prepared: what prepare gave, one a part.
        validate_settings: the settings that this step reads, as JSON.
        result: result.json, failures.parquet and report.html.
    """
    from pathlib import Path

    from thorax.datasets.pack import opened
    from thorax.events import reporting
    from thorax.steps import settings_of
    from thorax.validation.gate import gate

    with reporting("validate") as report:
        settings = settings_of(validate_settings)
        folder = opened(Path(dataset.metadata["root"]), settings.var)
        parts = [Path(part.path) for part in prepared]
        gate(Path(dataset.path), folder, settings, Path(result.path), report, parts)
