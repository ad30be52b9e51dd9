"""The data gate, and the one place that knows Great Expectations."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from thorax.validation.result import Outcome, ValidationResult

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from thorax.settings import Data, Validation

__all__ = ["Outcome", "ValidationResult", "validate"]


def validate(
    manifest_dir: Path,
    data: "Data",
    validation: "Validation",
    out: Path,
    splits: "pd.Series | None" = None,
    pictures: "pd.DataFrame | None" = None,
    look: Callable[[int], "np.ndarray | None"] | None = None,
) -> ValidationResult:
    """Check a dataset against everything that is expected of it.

    Writes `result.json` (every expectation with what was found), `failures.parquet` (every failing row), `scan.parquet`
    (what each file told) and `report.html` (a page that needs no network) to `out`.

    Args:
        manifest_dir: what `thorax.datasets.ingest` wrote.
        data: the chosen findings, and what a label that is not mentioned counts as.
        validation: bounds, and which expectations are critical.
        out: folder for the results.
        splits: image id → split, to look for leaks between splits.
        pictures: what each file told (`thorax.preprocessing.shards.FACTS`), a row a row of the manifest; without it
            only the tables are checked.
        look: gives the picture of a row, uint8 (H, W), or None; the page shows those of failing rows.

    Returns:
        The verdict; `success` is false where a critical expectation failed, or could not be evaluated.

    Raises:
        InputError: the manifest or the boxes cannot be read at all.
        SettingsError: `validation` names an expectation that does not exist.
    """
    from thorax.validation.running import validate as run

    return run(manifest_dir, data, validation, out, splits, pictures, look)
