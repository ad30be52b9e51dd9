"""The reference table: what the model answered on images it was not trained on, in the prediction log's columns."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from thorax.bundle.answers import answer
from thorax.calibration.outputs import Outputs, read_outputs
from thorax.errors import BundleError
from thorax.files import atomic_path
from thorax.imaging import statistics
from thorax.prediction import ImageReport
from thorax.prediction_log import columns_of, flatten

if TYPE_CHECKING:
    from thorax.calibration import Calibration
    from thorax.preprocessing.store import ImageStore

SPLITS = ("calibration", "test")


def rows_of(outputs: Outputs, store: "ImageStore", origin: Path) -> np.ndarray:
    """Return the store's row of each image of `outputs`, as int64.

    Raises:
        BundleError: an image is not in the store.
    """
    where = pd.Index(store.rows["image_id"].astype(str)).get_indexer(pd.Index(outputs.image_id))
    if (where < 0).any():
        raise BundleError(
            f"{origin} names image {str(outputs.image_id[where < 0][0])!r}, which the store {store.folder} lacks.",
            "Give the store that this network was trained on.",
        )
    return where


def write(path: Path, train_dir: Path, store: "ImageStore", calibration: "Calibration") -> None:
    """Write one row an image of the calibration and test splits, with the columns that monitoring compares.

    Raises:
        BundleError: the outputs are missing, or belong to another store.
    """
    findings = tuple(store.findings)
    records = []
    for split in SPLITS:
        path_of_split = train_dir / f"outputs-{split}.npz"
        outputs = read_outputs(path_of_split, len(findings))
        if outputs.maps is None:
            raise BundleError(f"{path_of_split} lacks maps.", "Train again.")
        rows = rows_of(outputs, store, path_of_split)
        table = store.rows.iloc[rows]
        views = ["unknown" if pd.isna(view) else str(view) for view in table["view"]]
        arrays = (outputs.logits, outputs.features, outputs.maps.astype(np.float32))
        images = store.images(rows)
        answers = answer(calibration, images, arrays, views)
        people = zip(views, table["age"], table["sex"], strict=True)
        for pixels, (view, age, sex), (found, novelty) in zip(images, people, answers, strict=True):
            image = ImageReport(
                kind="store",
                width=store.size,
                height=store.size,
                bits=8,
                view=view,
                age=None if pd.isna(age) else float(age),
                sex=None if pd.isna(sex) else str(sex),
                statistics=statistics(pixels),
            )
            records.append(flatten(image, found, novelty))
    frame = pd.DataFrame.from_records(records, columns=list(columns_of(findings)))
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False)
