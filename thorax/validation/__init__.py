"""The data gate, and the one place that knows Great Expectations."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from thorax.validation.result import Outcome, ValidationResult

if TYPE_CHECKING:
    import pandas as pd

    from thorax.settings import Data, Validation

__all__ = ["Outcome", "ValidationResult", "validate"]


def validate(
    manifest_dir: Path,
    root: Path,
    data: "Data",
    validation: "Validation",
    out: Path,
    splits: "pd.Series | None" = None,
    *,
    images: bool = True,
    workers: int = 0,
    advance: Callable[[int], None] | None = None,
) -> ValidationResult:
    """Check a dataset against everything that is expected of it.

    Writes `result.json` (every expectation with what was found), `failures.parquet` (every failing row), `scan.parquet`
    (what each file told) and `report.html` (a page that needs no network) to `out`.

    Args:
        manifest_dir: what `thorax.datasets.ingest` wrote.
        root: the dataset's folder.
        data: the chosen findings, and what a label that is not mentioned counts as.
        validation: bounds, and which expectations are critical.
        out: folder for the results.
        splits: image id → split, to look for leaks between splits.
        images: also read every image.
        workers: processes that read images; 0 means one a core.
        advance: called with the number of images read since the last call.

    Returns:
        The verdict; `success` is false where a critical expectation failed, or could not be evaluated.

    Raises:
        InputError: the manifest or the boxes cannot be read at all.
        SettingsError: `validation` names an expectation that does not exist.
    """
    from thorax.validation.running import validate as run

    return run(manifest_dir, root, data, validation, out, splits, images=images, workers=workers, advance=advance)
