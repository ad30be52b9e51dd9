"""The data gate as the pipeline stands at it: told as it goes, and closed by a critical failure."""

from collections.abc import Sequence
from pathlib import Path

import thorax.validation as suite
from thorax.errors import DataGateError
from thorax.events import Reporter
from thorax.manifest import read_manifest
from thorax.preprocessing import splits
from thorax.preprocessing.prepare import prepare, prepared_folder
from thorax.settings import Settings


def gate(
    manifest_dir: Path, root: Path, settings: Settings, out: Path, report: Reporter, prepared: Sequence[Path] = ()
) -> None:
    """Validate with the splits that the dataset will get, and end the run on a critical fault.

    Every file has been looked at once; those that nobody has looked at yet are looked at here.

    Args:
        manifest_dir: what ingest wrote.
        root: the dataset's folder.
        settings: `data`, `split`, `validation`, `preprocess`, and `paths`, below which prepared images wait.
        out: gets the results.
        report: how the step tells what it does.
        prepared: folders of shards that other machines have prepared.

    Raises:
        DataGateError: names every critical failure and the page that shows the rows.
    """
    manifest = read_manifest(manifest_dir / "manifest.parquet")
    assigned = splits.assign(manifest, settings.data.classes, settings.split)
    cache = prepared_folder(settings)
    done = prepare(
        manifest, root, settings.preprocess, [cache, *prepared], advance=report.advancer(len(manifest), "looking")
    )
    result = suite.validate(manifest_dir, settings.data, settings.validation, out, assigned, done.facts, done.image)
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
