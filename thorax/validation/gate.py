"""The data gate as the pipeline stands at it: told as it goes, and closed by a critical failure."""

from pathlib import Path

import thorax.validation as suite
from thorax.errors import DataGateError
from thorax.events import Reporter
from thorax.manifest import read_manifest
from thorax.preprocessing import splits
from thorax.settings import Data, Split, Validation


def gate(
    manifest_dir: Path, root: Path, data: Data, split: Split, validation: Validation, out: Path, report: Reporter
) -> None:
    """Validate a dataset with the splits that it will get; end the run where something critical failed.

    Raises:
        DataGateError: names every critical failure and the page that shows the rows.
    """
    manifest = read_manifest(manifest_dir / "manifest.parquet")
    assigned = splits.assign(manifest, data.classes, split)
    result = suite.validate(
        manifest_dir, root, data, validation, out, splits=assigned, advance=report.advancer(len(manifest))
    )
    for warning in result.warnings:
        report.warn(str(warning))
    if not result.success:
        failures = "\n  ".join(str(failure) for failure in result.critical)
        raise DataGateError(
            f"The data did not pass validation:\n  {failures}",
            f"Every failing row: {out / 'failures.parquet'}; the page to read: {out / 'report.html'}. Mend the data, "
            "or change what is agreed under `validation` in params.yaml.",
        )
    report.say(f"passed, with {len(result.warnings)} warnings" if result.warnings else "passed")
