"""Writing one shard: images decoded elsewhere into an array file, which is kept when a later shard fails."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thorax.files import atomic_path, digest_file, read_json, write_json
from thorax.imaging.scan import Scanned
from thorax.preprocessing.store import shard_name


def finished_shard(folder: Path, number: int) -> dict[str, Any] | None:
    """Return the record of a shard that lies there whole from an earlier run, else None."""
    file, note = folder / shard_name(number), folder / f"{shard_name(number)}.json"
    if not (note.exists() and file.exists()):
        return None
    record: dict[str, Any] = read_json(note)
    return record if digest_file(file) == record["sha256"] else None


def write_shard(
    rows: pd.DataFrame,
    results: Iterator[Scanned],
    size: int,
    folder: Path,
    number: int,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Write one shard.

    Args:
        rows: `image_id`, `path` and `sha256` of its images.
        results: the scan of these paths comes next from it.
        size: px a side.
        folder: gets `images-NNNNN.npy`, then `images-NNNNN.npy.json`, which says that the shard is whole.
        number: of the shard.
        advance: called with the number of images done since the last call.

    Returns:
        `file`, `rows`, `sha256`; `kept`, `phash` and `checks` of its images in order; `skipped` as `[image_id, path,
        reason]`.
    """
    file, note = folder / shard_name(number), folder / f"{shard_name(number)}.json"
    kept: list[str] = []
    hashes: list[str] = []
    checks: list[dict[str, str]] = []
    skipped: list[list[str]] = []
    with atomic_path(file) as temporary:
        shape = (len(rows), size, size)
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        mine = itertools.islice(results, len(rows))
        for image_id, path, expected, found in zip(rows["image_id"], rows["path"], rows["sha256"], mine, strict=True):
            reason = found.reason
            if reason is None and expected and found.sha256 != expected:
                reason = f"{path}: It was changed since it was ingested."
            if reason is None:
                array[len(kept)] = found.pixels
                kept.append(image_id)
                hashes.append(found.phash.hex())
                checks.append(found.checks)
            else:
                skipped.append([image_id, path, reason])
            advance(1)
        array.flush()
        del array
        if skipped:
            _shorten(temporary, len(kept))
    record = {"file": file.name, "rows": len(kept), "sha256": digest_file(file)}
    record |= {"kept": kept, "phash": hashes, "checks": checks, "skipped": skipped}
    write_json(note, record)
    return record


def _shorten(file: Path, rows: int) -> None:
    """Cut the unused rows off an array file."""
    whole = np.load(file, mmap_mode="r", allow_pickle=False)
    shorter = file.with_suffix(".short")
    try:
        array = np.lib.format.open_memmap(shorter, mode="w+", dtype=np.uint8, shape=(rows, *whole.shape[1:]))
        array[:] = whole[:rows]
        array.flush()
        shorter.replace(file)
    finally:
        shorter.unlink(missing_ok=True)
