"""The reference table: what the model answered on images it was not trained on, in the prediction log's columns."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from thorax.bundle.answers import answer
from thorax.bundle.scope import Scope
from thorax.bundle.watched import Watched
from thorax.calibration.outputs import Outputs, read_outputs
from thorax.datasets.confirmed import newest
from thorax.errors import BundleError
from thorax.files import atomic_path
from thorax.imaging import statistics
from thorax.prediction import ImageReport
from thorax.prediction_log import columns_of, flatten

if TYPE_CHECKING:
    from thorax.calibration import Calibration
    from thorax.preprocessing.store import ImageStore

SPLITS = ("calibration", "test")
#: The column that tells which rows are of one patient.
GROUP = "group"
#: With at least so many confirmed cases among these images, they alone are what the model is expected to meet.
ENOUGH = 100


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


def write(path: Path, train_dir: Path, store: "ImageStore", calibration: "Calibration", usual: Watched) -> None:
    """Write one row an image of the calibration and test splits, with the columns that monitoring compares.

    A column more, `group`, tells which rows are of one patient, so that monitoring can draw patients and not images. It
    is a number in an order of its own, and leads back to nobody.

    Where a deployment has confirmed enough cases, the rows are its newest ones alone: a model that was trained for a
    new scanner must be watched against that scanner, not against the mixture it learnt from.

    Raises:
        BundleError: the outputs are missing, or belong to another store.
    """
    findings = tuple(store.findings)
    records: list[dict[str, object]] = []
    images_of: list[str] = []
    patients: list[str] = []
    scope = Scope.of(store.rows.iloc[store.indices("train")])
    for split in SPLITS:
        path_of_split = train_dir / f"outputs-{split}.npz"
        outputs = read_outputs(path_of_split, len(findings))
        if outputs.maps is None:
            raise BundleError(f"{path_of_split} lacks maps.", "Train again.")
        rows = rows_of(outputs, store, path_of_split)
        images_of += outputs.image_id.tolist()
        table = store.rows.iloc[rows]
        views = ["unknown" if pd.isna(view) else str(view) for view in table["view"]]
        arrays = (outputs.logits, outputs.features, outputs.maps.astype(np.float32))
        images = store.images(rows)
        answers = answer(calibration, images, arrays, views, watched=usual)
        embeddings = usual.embed(outputs.features).tolist()
        people = zip(views, table["age"], table["sex"], strict=True)
        patients += table["patient_id"].astype(str).tolist()
        # The store keeps eight bits of any image; how many the files had is known where it says so.
        depths = table["bits"] if "bits" in table else [0] * len(rows)
        for pixels, (view, age, sex), (found, novelty), embedding, depth in zip(
            images, people, answers, embeddings, depths, strict=True
        ):
            image = ImageReport(
                kind="store",
                width=store.size,
                height=store.size,
                bits=depth,
                view=view,
                age=None if pd.isna(age) else float(age),
                sex=None if pd.isna(sex) else str(sex),
                statistics=statistics(pixels),
            )
            outside = scope.outside(view, image.age, image.sex)
            records.append(flatten(image, found, novelty, embedding, outside))
    frame = pd.DataFrame.from_records(records, columns=list(columns_of(findings)))
    frame["bits"] = frame["bits"].where(frame["bits"] > 0)
    frame[GROUP] = _groups(patients, str(store.info.get("split_digest", "")))
    frame = frame[newest(images_of, ENOUGH)].reset_index(drop=True)
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False)


def _groups(patients: list[str], salt: str) -> np.ndarray:
    """Number the patients in the order of their salted digests, which tells nothing of the order of their names."""
    names, inverse = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    digests = [hashlib.sha256(f"{salt}|{name}".encode()).hexdigest() for name in names]
    rank = np.empty(len(names), dtype=np.int32)
    rank[np.argsort(digests)] = np.arange(len(names), dtype=np.int32)
    return rank[inverse]
