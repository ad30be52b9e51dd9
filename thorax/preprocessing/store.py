"""The image store: every image at the network's size, in memory-mapped shards, with its labels and its split.

A folder of `store.json`, `rows.parquet`, `boxes.parquet`, `skipped.parquet` and `images-NNNNN.npy`. Arrays carry no
pickle. Reading needs NumPy and pandas, no PyTorch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thorax.errors import InputError
from thorax.files import digest_file, read_json
from thorax.manifest import SPLITS

#: Of the layout; a reader refuses any other.
VERSION = 1
TARGET, TRUTH = "target:", "truth:"
_REMEDY = "Run the preprocess step again."


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"images-{number:05d}.npy"


@dataclass(frozen=True)
class ImageStore:
    """An opened store.

    Attributes:
        folder: where it lies.
        size: px a side of every image.
        findings: what the network learns, in the order of its outputs.
        rows: a row an image: `image_id, patient_id, study_id, path, view, age, sex, split, shard, row,
            filter_no_finding`, and `target:` and `truth:` columns a finding.
        boxes: `image_id, finding, x, y, w, h` as fractions of the stored square, from its upper left corner.
        info: what `store.json` holds.
    """

    folder: Path
    size: int
    findings: tuple[str, ...]
    rows: pd.DataFrame
    boxes: pd.DataFrame
    info: dict[str, Any]
    _shards: list[np.ndarray] = field(repr=False)

    @classmethod
    def open(cls, folder: Path | str, *, digests: bool = False) -> "ImageStore":
        """Open a store and check that it is whole.

        Args:
            folder: made by `thorax.preprocessing.build_store`.
            digests: also compare the SHA-256 of every shard; reads all of them.

        Raises:
            InputError: a file is missing, damaged, of another size or of another version.
        """
        place = Path(folder)
        info = read_json(place / "store.json")
        if info.get("version") != VERSION:
            raise InputError(f"The store {place} has the layout {info.get('version')}, not {VERSION}.", _REMEDY)
        size, findings = int(info["size"]), tuple(info["findings"])
        shards = [_map(place / shard["file"], int(shard["rows"]), size) for shard in info["shards"]]
        rows = _table(place / "rows.parquet")
        held = np.array([len(shard) for shard in shards], dtype=np.int64)
        if len(rows) != info["count"] or not _fits(rows, held):
            raise InputError(f"The store {place} lists {len(rows)} images and holds {held.sum()}.", _REMEDY)
        store = cls(place, size, findings, rows, _table(place / "boxes.parquet"), info, shards)
        if digests:
            store.verify()
        return store

    def __len__(self) -> int:
        return len(self.rows)

    def verify(self) -> None:
        """Compare the SHA-256 of every shard with what `store.json` says.

        Raises:
            InputError: names the first shard that was changed.
        """
        for shard in self.info["shards"]:
            if digest_file(self.folder / shard["file"]) != shard["sha256"]:
                raise InputError(f"{self.folder / shard['file']} was changed since it was written.", _REMEDY)

    def indices(self, split: str) -> np.ndarray:
        """Return the rows of a split, as int64, ascending.

        Raises:
            InputError: it is not one of `thorax.manifest.SPLITS`.
        """
        if split not in SPLITS:
            raise InputError(f"There is no split {split!r}.", f"There are: {', '.join(SPLITS)}.")
        return np.flatnonzero((self.rows["split"] == split).to_numpy())

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return images as uint8 of shape (len(indices), size, size), copied from the mapped shards."""
        wanted = np.asarray(indices, dtype=np.int64)
        out = np.empty((len(wanted), self.size, self.size), dtype=np.uint8)
        holders, places = self._places[:, wanted]
        for holder in np.unique(holders):
            mine = holders == holder
            out[mine] = self._shards[holder][places[mine]]
        return out

    def targets(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return training targets as float32 of shape (len(indices), findings), in [0, 1]; NaN is masked."""
        return self._labels(TARGET)[np.asarray(indices, dtype=np.int64)]

    def truth(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return truth as float32 of shape (len(indices), findings): 1, 0, or NaN where it is not known."""
        return self._labels(TRUTH)[np.asarray(indices, dtype=np.int64)]

    @cached_property
    def _places(self) -> np.ndarray:
        """Shard and row of every image, int64 of shape (2, images)."""
        return self.rows[["shard", "row"]].to_numpy(dtype=np.int64).T

    def _labels(self, prefix: str) -> np.ndarray:
        return self.rows[[prefix + finding for finding in self.findings]].to_numpy(dtype=np.float32)


def _fits(rows: pd.DataFrame, held: np.ndarray) -> bool:
    """Whether every row has a place of its own in a shard."""
    shard, row = rows["shard"].to_numpy(dtype=np.int64), rows["row"].to_numpy(dtype=np.int64)
    if len(rows) == 0 or shard.min() < 0 or shard.max() >= len(held) or row.min() < 0 or (row >= held[shard]).any():
        return False
    return not rows.duplicated(["shard", "row"]).any()


def _map(file: Path, rows: int, size: int) -> np.ndarray:
    try:
        shard = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"The store lacks {file}.", _REMEDY) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is cut short or damaged.", _REMEDY) from error
    if shard.dtype != np.uint8 or shard.shape != (rows, size, size):
        raise InputError(f"{file} holds {shard.dtype} {shard.shape}, not uint8 {(rows, size, size)}.", _REMEDY)
    return shard


def _table(file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(file)
    except FileNotFoundError as error:
        raise InputError(f"The store lacks {file}.", _REMEDY) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is cut short or damaged.", _REMEDY) from error
