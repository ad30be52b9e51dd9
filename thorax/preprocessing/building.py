"""From manifest and image files to the image store."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thorax.datasets import labels
from thorax.datasets.ingest import manifest_digest
from thorax.errors import InputError
from thorax.files import atomic_folder, digest_json, read_json, write_json
from thorax.imaging import Frame, place
from thorax.manifest import BOX_COLUMNS, FRONTAL, SPLITS, read_boxes, read_manifest
from thorax.preprocessing import splits
from thorax.preprocessing.prepare import prepare
from thorax.preprocessing.shards import link
from thorax.preprocessing.store import TARGET, TRUTH, VERSION, ImageStore, shard_name
from thorax.settings import Data, Preprocess, Split

#: Raised whenever the same settings would give another store; one of an older recipe is made again.
RECIPE = 3


def build_store(
    data: Data,
    split: Split,
    preprocess: Preprocess,
    manifest_dir: Path,
    root: Path,
    out: Path,
    advance: Callable[[int], None] | None = None,
    prepared: Sequence[Path] = (),
) -> dict[str, Any]:
    """Turn a dataset into an image store (`thorax.preprocessing.store`).

    Each file is decoded once, by `thorax.preprocessing.prepare`; shards that lie in `prepared` are taken from there,
    and only what is missing is decoded here. An image that cannot be read is left out and listed in `skipped.parquet`
    with its reason. The store replaces `out` whole at the end; the same call after a crash goes on behind the last
    finished shard. A store that lies there whole, made from the same, is kept.

    Args:
        data: findings, views and what uncertain labels count as.
        split: how patients are divided.
        preprocess: size, resize, CLAHE, crop, images a shard, processes.
        manifest_dir: what `thorax.datasets.ingest` wrote.
        root: the dataset's folder.
        out: the store's folder.
        advance: called with the number of images done since the last call.
        prepared: folders of finished shards, of all parts; missing ones are added to the first. Without any, shards
            wait beside `out` until the store is whole.

    Returns:
        What `store.json` holds.

    Raises:
        InputError: no usable image, an empty split, or settings that do not fit the dataset.
        RoomError: the disk is, or would be, full.
    """
    listed = read_manifest(manifest_dir / "manifest.parquet")
    dataset = read_json(manifest_dir / "dataset.json")
    manifest = listed[listed["view"].isin(FRONTAL)] if data.views == "frontal" else listed
    manifest = manifest.reset_index(drop=True)
    if manifest.empty:
        raise InputError(f"{manifest_dir} lists no image of the chosen views.", "Set data.views to all.")
    rows, known = _rows(manifest, data, split)
    key = digest_json(
        {
            "manifest": manifest_digest(manifest),
            "data": data.model_dump(mode="json", exclude={"root", "table", "phantom"}),
            "split": split.model_dump(mode="json"),
            "preprocess": preprocess.model_dump(mode="json", exclude={"workers"}),
            "layout": [VERSION, RECIPE],
        }
    )
    if (whole := _already(out, key)) is not None:
        if advance:
            advance(len(listed))
        return whole
    beside = out.with_name(f".{out.name}.shards")
    done = prepare(listed, root, preprocess, prepared or [beside], advance=advance)
    rows, skipped = _place_rows(rows, done.facts)
    with atomic_folder(out) as folder:
        records = []
        for number, shard in enumerate(done.shards):
            link(shard, folder / shard_name(number))
            records.append({"file": shard_name(number), "rows": shard.rows, "sha256": shard.sha256})
        info = {
            "version": VERSION,
            "key": key,
            "size": preprocess.size,
            "findings": list(data.classes),
            "count": len(rows),
            "splits": {name: int((rows["split"] == name).sum()) for name in SPLITS},
            "shortages": splits.shortages(known, rows.set_index("image_id")["split"], data.classes),
            "shards": records,
            "preprocessing": preprocess.model_dump(mode="json", include={"size", "resize", "clahe", "crop"}),
            "manifest_digest": dataset["manifest_digest"],
            "split_digest": digest_json(dict(zip(rows["image_id"], rows["split"], strict=True))),
            "revision": dataset["revision"],
            "vocabulary": data.words.definitions(data.classes).model_dump(mode="json", exclude_defaults=True),
            "source": dataset["source"],
            "synthetic": dataset["synthetic"],
            "skipped": len(skipped),
        }
        boxes = read_boxes(manifest_dir / "boxes.parquet")
        kept = boxes[boxes["image_id"].isin(set(rows["image_id"]))]
        moved = _move_boxes(kept, done.facts, preprocess)
        for name, table in {"rows": rows, "boxes": moved, "skipped": skipped}.items():
            table.to_parquet(folder / f"{name}.parquet", index=False)
        write_json(folder / "store.json", info)
    shutil.rmtree(beside, ignore_errors=True)
    return info


def _already(out: Path, key: str) -> dict[str, Any] | None:
    """Return what `store.json` holds where the same store lies there whole, else None."""
    try:
        store = ImageStore.open(out, digests=True)
    except InputError:
        return None
    return store.info if store.info.get("key") == key else None


def _rows(manifest: pd.DataFrame, data: Data, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of rows, without its places, and the manifest with derived classes beside the published ones."""
    classes = data.classes
    found = labels.class_labels(manifest, data)
    known = manifest.assign(**{name: found[:, column] for column, name in enumerate(classes)})
    facts = ["image_id", "patient_id", "study_id", "path", "view", "age", "sex", "sha256"]
    rows = manifest[facts].copy()
    # By the published labels alone, as the data gate divides them before there is a store.
    rows["split"] = splits.assign(manifest, classes, split).to_numpy()
    rows["filter_no_finding"] = labels.no_finding(manifest, data.words) if data.no_finding == "filter" else False
    learned = labels.targets(found, classes, data, manifest["image_id"].tolist())
    judged = labels.truth(found, data)
    for column, name in enumerate(classes):
        rows[TARGET + name] = learned[:, column]
        rows[TRUTH + name] = judged[:, column]
    return rows, known


def _place_rows(rows: pd.DataFrame, facts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Keep the rows whose images were read, with shard, row, perceptual hash and checks; and list the others.

    Raises:
        InputError: no image can be read, or a split is left with none.
    """
    told = facts[["image_id", "reason", "shard", "row", "phash", "checks", "sha256"]].rename(columns={"sha256": "read"})
    told["checks"] = [" ".join(sorted(json.loads(text))) if text else "" for text in told["checks"]]
    merged = rows.merge(told, on="image_id", how="left", validate="one_to_one")
    listed = merged["sha256"].fillna("").astype(str)
    other = (merged["reason"] == "") & (listed != "") & (listed != merged["read"])
    merged.loc[other, "reason"] = merged.loc[other, "path"] + ": It was changed since it was ingested."
    unread = merged["reason"] != ""
    skipped = merged.loc[unread, ["image_id", "path", "reason"]].astype("string").reset_index(drop=True)
    kept = merged[~unread].drop(columns=["reason", "read"]).reset_index(drop=True)
    if kept.empty:
        first = skipped["reason"].iloc[0]
        raise InputError(f"No image of {len(rows)} can be read. The first: {first}", "Check data.root.")
    for name in SPLITS:
        if (rows["split"] == name).any() and not (kept["split"] == name).any():
            raise InputError(f"No image of the {name} split can be read.", "See the reasons by `thorax data validate`.")
    return kept.astype({"shard": "int32", "row": "int32"}), skipped


def _move_boxes(boxes: pd.DataFrame, facts: pd.DataFrame, preprocess: Preprocess) -> pd.DataFrame:
    """Return boxes as fractions of the stored square, in which `pad` and a crop leave less, or more, than the image.

    A box is cut at the square's edges; one that lies outside it whole is left out.
    """
    moved = boxes[list(BOX_COLUMNS)].reset_index(drop=True)
    if (preprocess.resize == "squash" and preprocess.crop == "none") or moved.empty:
        return moved
    told = facts.set_index("image_id").loc[moved["image_id"]]
    spots = np.array(
        [
            place(width, height, preprocess.size, preprocess.resize, Frame(*frame))
            for width, height, *frame in told[["width", "height", "left", "top", "wide", "high"]].itertuples(
                index=False
            )
        ],
        dtype=float,
    )
    left, top, width, height = spots.T / preprocess.size
    corners = {
        "x": left + moved["x"] * width,
        "y": top + moved["y"] * height,
        "right": left + (moved["x"] + moved["w"]) * width,
        "bottom": top + (moved["y"] + moved["h"]) * height,
    }
    corners = {name: values.clip(0.0, 1.0) for name, values in corners.items()}
    moved["x"], moved["y"] = corners["x"], corners["y"]
    moved["w"], moved["h"] = corners["right"] - corners["x"], corners["bottom"] - corners["y"]
    inside = (moved["w"] > 0) & (moved["h"] > 0)
    return moved[inside].reset_index(drop=True).astype(dict.fromkeys("xywh", "float32"))
