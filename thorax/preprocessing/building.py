"""From manifest and image files to the image store."""

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thorax.datasets import labels
from thorax.datasets.ingest import manifest_digest
from thorax.errors import InputError
from thorax.files import atomic_path, digest_json, read_json, require_room, room_errors, write_json
from thorax.imaging.preparation import place
from thorax.imaging.scan import Recipe, scan
from thorax.manifest import BOX_COLUMNS, FRONTAL, SPLITS, read_boxes, read_manifest
from thorax.preprocessing import splits
from thorax.preprocessing.shards import finished_shard, write_shard
from thorax.preprocessing.store import TARGET, TRUTH, VERSION, ImageStore
from thorax.settings import Data, Preprocess, Split

#: Raised whenever the same settings would give other pixels; finished shards of an older recipe are not taken over.
RECIPE = 1


def build_store(
    data: Data,
    split: Split,
    preprocess: Preprocess,
    manifest_dir: Path,
    root: Path,
    out: Path,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Turn a dataset into an image store (`thorax.preprocessing.store`).

    Each file is decoded once. An image that cannot be read is left out and listed in `skipped.parquet` with its
    reason. The store replaces `out` whole at the end; until then finished shards wait beside it, and the same call
    after a crash goes on behind the last of them. A store that lies there whole, made from the same, is kept.

    Args:
        data: findings, views and what uncertain labels count as.
        split: how patients are divided.
        preprocess: size, resize, CLAHE, images a shard, processes.
        manifest_dir: what `thorax.datasets.ingest` wrote.
        root: the dataset's folder.
        out: the store's folder.
        advance: called with the number of images done since the last call.

    Returns:
        What `store.json` holds.

    Raises:
        InputError: no usable image, an empty split, or settings that do not fit the dataset.
        RoomError: the disk is, or would be, full.
    """
    manifest = read_manifest(manifest_dir / "manifest.parquet")
    dataset = read_json(manifest_dir / "dataset.json")
    if data.views == "frontal":
        manifest = manifest[manifest["view"].isin(FRONTAL)]
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
            advance(len(rows))
        return whole
    require_room(out, len(rows) * preprocess.size**2 * 5 // 4)
    partial = out.with_name(f".{out.name}.{key[:16]}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    with room_errors(partial):
        records = _write_shards(rows, root, preprocess, partial, advance or (lambda step: None))
        rows = _place_rows(rows, records)
        info = {
            "version": VERSION,
            "key": key,
            "size": preprocess.size,
            "findings": list(data.classes),
            "count": len(rows),
            "splits": {name: int((rows["split"] == name).sum()) for name in SPLITS},
            "shortages": splits.shortages(known, rows.set_index("image_id")["split"], data.classes),
            "shards": [{name: record[name] for name in ("file", "rows", "sha256")} for record in records],
            "preprocessing": {"size": preprocess.size, "resize": preprocess.resize, "clahe": preprocess.clahe},
            "manifest_digest": dataset["manifest_digest"],
            "split_digest": digest_json(dict(zip(rows["image_id"], rows["split"], strict=True))),
            "revision": dataset["revision"],
            "source": dataset["source"],
            "synthetic": dataset["synthetic"],
            "skipped": sum(len(record["skipped"]) for record in records),
        }
        _write_tables(partial, rows, records, read_boxes(manifest_dir / "boxes.parquet"), manifest, preprocess)
        for record in records:
            (partial / f"{record['file']}.json").unlink()
        write_json(partial / "store.json", info)
        _replace(partial, out)
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
    rows["filter_no_finding"] = labels.no_finding(manifest) if data.no_finding == "filter" else False
    learned = labels.targets(found, classes, data, manifest["image_id"].tolist())
    judged = labels.truth(found, data)
    for column, name in enumerate(classes):
        rows[TARGET + name] = learned[:, column]
        rows[TRUTH + name] = judged[:, column]
    return rows, known


def _write_shards(
    rows: pd.DataFrame, root: Path, preprocess: Preprocess, folder: Path, advance: Callable[[int], None]
) -> list[dict[str, Any]]:
    step = preprocess.shard_rows
    pieces = [rows.iloc[start : start + step] for start in range(0, len(rows), step)]
    records = [finished_shard(folder, number) for number in range(len(pieces))]
    missing = [path for piece, record in zip(pieces, records, strict=True) if not record for path in piece["path"]]
    # One scan feeds all shards, so that its processes start once.
    results = scan(root, missing, Recipe(preprocess.size, preprocess.resize, preprocess.clahe), preprocess.workers)
    advance(len(rows) - len(missing))
    written = [
        record or write_shard(piece, results, preprocess.size, folder, number, advance)
        for number, (piece, record) in enumerate(zip(pieces, records, strict=True))
    ]
    if not any(record["rows"] for record in written):
        first = written[0]["skipped"][0][2]
        raise InputError(f"No image of {len(rows)} can be read. The first: {first}", "Check data.root.")
    return written


def _place_rows(rows: pd.DataFrame, records: list[dict[str, Any]]) -> pd.DataFrame:
    """Keep the rows whose images were written, with shard, row, perceptual hash and checks.

    Raises:
        InputError: a split is left with no image.
    """
    placed = pd.DataFrame(
        {
            "image_id": [name for record in records for name in record["kept"]],
            "shard": np.repeat(np.arange(len(records)), [record["rows"] for record in records]).astype(np.int32),
            "row": np.concatenate([np.arange(record["rows"]) for record in records]).astype(np.int32),
            "phash": [value for record in records for value in record["phash"]],
            "checks": [" ".join(sorted(value)) for record in records for value in record["checks"]],
        }
    )
    kept = rows.merge(placed, on="image_id", how="inner", validate="one_to_one")
    for name in SPLITS:
        if (rows["split"] == name).any() and not (kept["split"] == name).any():
            raise InputError(f"No image of the {name} split can be read.", "See the reasons by `thorax data validate`.")
    return kept


def _write_tables(
    folder: Path,
    rows: pd.DataFrame,
    records: list[dict[str, Any]],
    boxes: pd.DataFrame,
    manifest: pd.DataFrame,
    preprocess: Preprocess,
) -> None:
    skipped = pd.DataFrame(
        [entry for record in records for entry in record["skipped"]],
        columns=["image_id", "path", "reason"],
        dtype="string",
    )
    kept = boxes[boxes["image_id"].isin(set(rows["image_id"]))]
    tables = {"rows": rows, "boxes": _move_boxes(kept, manifest, preprocess), "skipped": skipped}
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)


def _move_boxes(boxes: pd.DataFrame, manifest: pd.DataFrame, preprocess: Preprocess) -> pd.DataFrame:
    """Return boxes as fractions of the stored square, into which `pad` sets the image."""
    moved = boxes[list(BOX_COLUMNS)].reset_index(drop=True)
    if preprocess.resize == "squash" or moved.empty:
        return moved
    sizes = manifest.set_index("image_id")[["width", "height"]].reindex(moved["image_id"]).to_numpy()
    spots = np.array([place(w, h, preprocess.size, "pad") for w, h in sizes], dtype=np.float32) / preprocess.size
    moved["x"] = spots[:, 0] + moved["x"] * spots[:, 2]
    moved["y"] = spots[:, 1] + moved["y"] * spots[:, 3]
    moved["w"] *= spots[:, 2]
    moved["h"] *= spots[:, 3]
    return moved.astype(dict.fromkeys("xywh", "float32"))


def _replace(made: Path, out: Path) -> None:
    """Move a finished folder into place, whole."""
    for stale in out.parent.glob(f".{out.name}.*.partial"):
        if stale != made:
            shutil.rmtree(stale, ignore_errors=True)
    if out.exists():
        retired = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.old")
        out.replace(retired)
        made.replace(out)
        shutil.rmtree(retired)
    else:
        made.replace(out)
