"""Readers of published datasets, each giving the one manifest."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from thorax.settings import Data


def read(
    data: "Data", root: Path, advance: Callable[[int], None] | None = None
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Read a dataset folder into its manifest and its box table.

    Args:
        data: `data.source` names the adapter; `data.views` may leave out lateral views.
        root: the dataset's folder.
        advance: called with the number of images read since the last call.

    Returns:
        The manifest (`thorax.manifest.COLUMNS` and a column a published finding) and the boxes as fractions.

    Raises:
        InputError: the dataset cannot be read; names file, line and value.
    """
    from thorax.datasets.ingest import load

    dataset = load(data, root, advance)
    return dataset.manifest, dataset.boxes
