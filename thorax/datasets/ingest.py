"""Ingest: a dataset folder becomes the manifest, the box table and `dataset.json`."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thorax.datasets import confirmed
from thorax.datasets.dataset import Dataset
from thorax.datasets.headers import read_headers
from thorax.datasets.labels import class_labels, follow_hierarchy
from thorax.errors import InputError
from thorax.files import write_json
from thorax.manifest import COLUMNS, findings_of, write_boxes, write_manifest
from thorax.settings import Data

#: How many missing images `dataset.json` names.
_EXAMPLES = 20


def ingest(
    data: Data, root: Path, out: Path, revision: str = "", advance: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Read a dataset and write its manifest.

    Args:
        data: which adapter, and which views.
        root: the dataset's folder.
        out: gets `manifest.parquet`, `boxes.parquet` and `dataset.json`, each whole or not at all, the last one last.
        revision: the data revision; the digest of the manifest stands in where there is none.
        advance: called with the number of images read since the last call; where it has a method `expect`, that is
            called first, with the number of all.

    Returns:
        What `dataset.json` holds: source, synthetic, revision, counts, findings, digests, and what was left out.

    Raises:
        InputError: the dataset cannot be read; names file, line and value.
    """
    dataset = load(data, root, advance)
    manifest = dataset.manifest
    class_labels(manifest, data)  # Refuses a chosen finding that the dataset does not publish.
    out.mkdir(parents=True, exist_ok=True)
    digest = manifest_digest(manifest)
    summary = {
        "source": data.source,
        "synthetic": dataset.synthetic,
        "revision": revision or f"content:{digest[:32]}",
        "images": len(manifest),
        "patients": int(manifest["patient_id"].nunique()),
        "boxes": len(dataset.boxes),
        "findings": list(data.findings),
        "published_findings": list(findings_of(manifest)),
        "manifest_digest": digest,
        **dataset.notes,
    }
    # The summary goes first and comes back last: where it stands, the tables beside it are whole and its own.
    (out / "dataset.json").unlink(missing_ok=True)
    write_manifest(manifest, out / "manifest.parquet")
    write_boxes(dataset.boxes, out / "boxes.parquet")
    write_json(out / "dataset.json", summary)
    return summary


def load(data: Data, root: Path, advance: Callable[[int], None] | None = None) -> Dataset:
    """Read a dataset with the adapter that `data.source` names, its confirmed cases, and each image's header.

    Rows are ordered by image id. Rows of lateral views are left out unless `data.views` is `all`, and so are rows
    whose image file is not there (many keep a part of NIH's images beside the whole table); both are counted in the
    notes. An image whose header cannot be read stays, with width and height 0, for validation to judge.

    Raises:
        InputError: as the adapter says, or no image at all is there.
    """
    if not root.is_dir():
        raise InputError(
            f"The data root {root} is not a folder.", "Set data.root, run `dvc pull`, or `thorax data make-phantom`."
        )
    dataset = confirmed.merge(adapt(data, root), root, data.words)
    manifest = dataset.manifest.sort_values("image_id", kind="stable", ignore_index=True)
    dataset.notes["parents_made_present"] = follow_hierarchy(manifest, data)
    if data.views == "frontal":
        lateral = manifest["view"] == "LATERAL"
        dataset.notes["lateral_left_out"] = int(lateral.sum())
        manifest = manifest[~lateral].reset_index(drop=True)
    expect = getattr(advance, "expect", None)
    if expect is not None:
        expect(len(manifest))
    headers = read_headers(root, manifest["path"].tolist(), advance)
    manifest["width"], manifest["height"], manifest["sha256"] = headers.width, headers.height, headers.sha256
    missing = manifest[~headers.present]
    if len(missing) == len(manifest):
        first = ", ".join(missing["image_id"].head(3)) or "its table lists none"
        raise InputError(
            f"No image of the dataset is in {root} (the first: {first}).", "Check data.root, or run `dvc pull`."
        )
    dataset.notes["missing_images"] = len(missing)
    dataset.notes["missing_examples"] = missing["image_id"].head(_EXAMPLES).tolist()
    if dataset.images is not None:
        listed = set(dataset.manifest["path"])
        dataset.notes["unlisted_images"] = sum(path not in listed for path in dataset.images)
    manifest = manifest[headers.present].reset_index(drop=True)
    dataset.notes["unreadable_headers"] = int((manifest["width"] == 0).sum())
    dataset.manifest = manifest[[*COLUMNS, *findings_of(manifest)]]
    kept = dataset.boxes["image_id"].isin(set(manifest["image_id"]))
    dataset.boxes = dataset.boxes[kept].sort_values(["image_id", "finding"], kind="stable", ignore_index=True)
    return dataset


def manifest_digest(manifest: pd.DataFrame) -> str:
    """Return a SHA-256 (hex) over a manifest's rows and columns, whatever the order of its rows."""
    ordered = manifest.sort_values("image_id", kind="stable")
    digest = hashlib.sha256()
    for name in (*COLUMNS, *findings_of(manifest)):
        values = ordered[name]
        digest.update(f"\x1d{name}\x1d".encode())
        if pd.api.types.is_numeric_dtype(values):
            numbers = values.to_numpy(np.float32)
            # One NaN for all, and no negative zero: equal values give equal bytes.
            digest.update((np.where(np.isnan(numbers), np.float32(np.nan), numbers) + np.float32(0)).tobytes())
        else:
            digest.update("\x1f".join(map(str, values)).encode())
    return digest.hexdigest()


def adapt(data: Data, root: Path) -> Dataset:
    """Read a dataset's tables with the adapter that `data.source` names; of the images only the names are looked at.

    Raises:
        InputError: as the adapter says, or the folder holds phantoms and `data.source` does not say so.
    """
    from thorax.datasets import chexpert, nih, phantom_adapter, table

    if data.source != "phantom" and (root / "phantom.json").is_file():
        # Scores on synthetic images must never be told as scores on patients.
        raise InputError(f"{root} holds phantoms, and data.source is {data.source}.", "Set data.source: phantom.")
    match data.source:
        case "nih":
            return nih.read(root)
        case "chexpert":
            return chexpert.read(root)
        case "phantom":
            return phantom_adapter.read(root)
        case "table":
            return table.read(root, data)
