"""One shard of prepared images and what their files told, kept under a name that says what is in it.

`<key>.npy` holds the images that could be read, uint8 of shape (rows, size, size); `<key>.parquet`, written last, holds
a row of facts a file (`FACTS`) and the digest of the array.
"""

import io
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from thorax.files import atomic_path, digest_file
from thorax.imaging.scan import Scanned

#: Facts of a file: `reason` is "" where it was read; `checks` a JSON object, name of the check → what looks wrong;
#: `phash` hex; `left`, `top`, `wide`, `high` the part of the image that was prepared, as fractions;
#: `row` its place in the array, or −1.
FACTS = (
    "image_id",
    "path",
    "reason",
    "width",
    "height",
    "bits",
    "sha256",
    "phash",
    "checks",
    "left",
    "top",
    "wide",
    "high",
    "row",
)
_DIGEST = b"thorax.sha256"


@dataclass(frozen=True)
class Shard:
    """A shard that lies on disk whole: its array, the array's SHA-256 and rows, and the facts of its files."""

    file: Path
    sha256: str
    rows: int
    facts: pd.DataFrame


def find(key: str, folders: Sequence[Path], expected: np.ndarray) -> Shard | None:
    """Look for a shard.

    Args:
        key: its name.
        folders: where it may lie.
        expected: the SHA-256 of each of its files as listed, "" where none is; one that was read from a file that had
            been changed is not taken.

    Returns:
        The first that is whole, or None.
    """
    for folder in folders:
        file, note = folder / f"{key}.npy", folder / f"{key}.parquet"
        if not (file.exists() and note.exists()):
            continue
        found = _read(file, note)
        if found is not None and not changed(found.facts, expected).any():
            os.utime(note)  # Seen by `prune`.
            return found
    return None


def changed(facts: pd.DataFrame, expected: np.ndarray) -> np.ndarray:
    """Return which files are not those that the manifest lists, by their SHA-256; bool of shape (files,)."""
    return np.asarray((expected != "") & (facts["sha256"].to_numpy(object) != expected), dtype=bool)


def write(
    key: str,
    rows: pd.DataFrame,
    results: Iterator[Scanned],
    size: int,
    folder: Path,
    advance: Callable[[int], None],
) -> Shard:
    """Write one shard.

    Args:
        key: its name.
        rows: `image_id` and `path` of its images.
        results: the scan of these paths comes next from it.
        size: px a side.
        folder: where it goes.
        advance: called with the number of images done since the last call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{key}.npy"
    facts: list[tuple[object, ...]] = []
    kept = 0
    # Written from front to back, not through a map: a map's pages would count as memory until they reach the disk.
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        stream.write(_header(len(rows), size))
        mine = itertools.islice(results, len(rows))
        for image_id, path, found in zip(rows["image_id"], rows["path"], mine, strict=True):
            place = -1
            if found.pixels is not None:
                stream.write(np.ascontiguousarray(found.pixels).data)
                place, kept = kept, kept + 1
            facts.append(_facts(image_id, path, found, place))
            advance(1)
        stream.seek(0)
        stream.write(_header(kept, size))
    table = pd.DataFrame(facts, columns=list(FACTS))
    digest = digest_file(file)
    _write_note(folder / f"{key}.parquet", table, digest)
    return Shard(file, digest, kept, table)


def link(shard: Shard, target: Path) -> None:
    """Set a shard's array at `target` without copying where the disk allows: no shard is ever written to again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        _link_file(shard.file, temporary)


def share(shard: Shard, folder: Path) -> None:
    """Set a shard, array and facts, into another folder of shards, without copying where the disk allows."""
    note = shard.file.with_suffix(".parquet")
    for file in (shard.file, note):
        if not (folder / file.name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(folder / file.name) as temporary:
                _link_file(file, temporary)


def _link_file(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(file, target)


def _facts(image_id: str, path: str, found: Scanned, place: int) -> tuple[object, ...]:
    return (
        image_id,
        path,
        found.reason or "",
        found.width,
        found.height,
        found.bits,
        found.sha256,
        found.phash.hex(),
        json.dumps(found.checks, sort_keys=True) if found.checks else "",
        *found.frame,
        place,
    )


def _write_note(note: Path, table: pd.DataFrame, digest: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = pa.Table.from_pandas(table, preserve_index=False)
    with atomic_path(note) as temporary:
        pq.write_table(plain.replace_schema_metadata({**plain.schema.metadata, _DIGEST: digest.encode()}), temporary)


def _read(file: Path, note: Path) -> Shard | None:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(note)
        digest = table.schema.metadata[_DIGEST].decode()
        facts = table.to_pandas()
    except (OSError, ValueError, KeyError):
        return None
    if tuple(facts.columns) != FACTS or digest_file(file) != digest:
        return None
    return Shard(file, digest, int((facts["row"] >= 0).sum()), facts)


def _header(rows: int, size: int) -> bytes:
    """Return the header of an array file; NumPy pads it, so that it is as long whatever the number of rows."""
    buffer = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (rows, size, size)}
    np.lib.format.write_array_header_1_0(buffer, shape)
    return buffer.getvalue()
