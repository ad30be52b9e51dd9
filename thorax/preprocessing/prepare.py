"""The one pass over a dataset's files: each is decoded once, for its checks, its hashes and the network's input.

Validation reads the facts, the image store takes the arrays. Shards are named by what goes into them (the images'
digests and the recipe), so that a pass goes on where it was broken off, the same images are never prepared twice, and
parts prepared on several machines fit together in any order.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from thorax.errors import InputError
from thorax.files import digest_json, require_room, room_errors
from thorax.imaging.scan import Recipe, scan
from thorax.preprocessing import shards
from thorax.preprocessing.shards import Shard
from thorax.settings import Preprocess, Settings

#: Raised whenever the same settings would give other pixels or other checks; older shards are then not taken.
RECIPE = 3
#: Days after which shards that nobody asked for are removed from a cache.
KEPT_DAYS = 30


@dataclass(frozen=True)
class Prepared:
    """The shards of a dataset, in the order of its manifest."""

    shards: tuple[Shard, ...]

    @property
    def facts(self) -> pd.DataFrame:
        """What each file told (`shards.FACTS`), a row an image, with the number of its shard."""
        tables = [shard.facts.assign(shard=number) for number, shard in enumerate(self.shards)]
        return pd.concat(tables, ignore_index=True)

    def image(self, number: int) -> np.ndarray | None:
        """Return the image of a row of the manifest, uint8 of shape (size, size); None where it could not be read."""
        for shard in self.shards:
            if number < len(shard.facts):
                row = int(shard.facts["row"].iloc[number])
                return np.array(np.load(shard.file, mmap_mode="r", allow_pickle=False)[row]) if row >= 0 else None
            number -= len(shard.facts)
        return None

    def share(self, folder: Path) -> None:
        """Set every shard into another folder, without copying where the disk allows."""
        for shard in self.shards:
            shards.share(shard, folder)


def prepare(
    manifest: pd.DataFrame,
    root: Path,
    preprocess: Preprocess,
    folders: Sequence[Path],
    part: tuple[int, int] = (0, 1),
    advance: Callable[[int], None] | None = None,
) -> Prepared:
    """Prepare a dataset, or a part of it.

    Args:
        manifest: its rows, in order.
        root: the dataset's folder.
        preprocess: size, resize, CLAHE, crop, images a shard, processes.
        folders: where finished shards may lie; new ones go to the first. Those of all parts together are the whole.
        part: (i, n): only every n-th shard from the i-th on, counted from 0, as one of n machines would.
        advance: called with the number of images done since the last call.

    Returns:
        The shards of the part.

    Raises:
        InputError: there is no such part.
        RoomError: the disk is, or would be, full.
    """
    tell = advance or (lambda step: None)
    recipe = Recipe(preprocess.size, preprocess.resize, preprocess.clahe, preprocess.crop, accept=preprocess.dicom)
    mine = pieces(manifest, preprocess, part)
    keys = [_key(piece, root, recipe) for piece in mine]
    found = [shards.find(key, folders, _digests(piece)) for key, piece in zip(keys, mine, strict=True)]
    missing = [path for piece, shard in zip(mine, found, strict=True) if shard is None for path in _paths(piece)]
    require_room(folders[0], room(len(missing), preprocess))
    tell(sum(map(len, mine)) - len(missing))
    # One scan feeds all shards, so that its processes start once.
    results = scan(root, missing, recipe, preprocess.workers)
    with room_errors(folders[0]):
        done = [
            shard or shards.write(key, piece, results, preprocess.size, folders[0], tell)
            for key, piece, shard in zip(keys, mine, found, strict=True)
        ]
    return Prepared(tuple(done))


def pieces(manifest: pd.DataFrame, preprocess: Preprocess, part: tuple[int, int]) -> list[pd.DataFrame]:
    """Return the rows of each shard of a part.

    Where one shard ends and the next begins depends on the manifest and `preprocess.shard_rows` alone, so that any
    number of parts gives the same shards.

    Raises:
        InputError: there is no such part.
    """
    number, parts = part
    if not 0 <= number < parts:
        raise InputError(f"There is no part {number} of {parts}.", "Parts are counted from 0.")
    step = preprocess.shard_rows
    return [manifest.iloc[start : start + step] for start in range(0, len(manifest), step)][number::parts]


def room(images: int, preprocess: Preprocess) -> int:
    """Return how many bytes so many prepared images may take, with their facts."""
    return images * preprocess.size**2 * 5 // 4


def prepared_folder(settings: Settings) -> Path:
    """Return the folder below `paths.var` where prepared images wait for whoever asks next."""
    return settings.var / "prepared"


def prune(folder: Path, days: float = KEPT_DAYS) -> int:
    """Remove shards that nobody asked for in so many days; return how many."""
    before = time.time() - days * 86_400
    stale = [note for note in folder.glob("*.parquet") if note.stat().st_mtime < before]
    for note in stale:
        note.unlink(missing_ok=True)
        note.with_suffix(".npy").unlink(missing_ok=True)
    return len(stale)


def _key(piece: pd.DataFrame, root: Path, recipe: Recipe) -> str:
    """Return a shard's name: a digest of the recipe and of the files' contents."""
    contents = [
        digest or _stat(root / path)  # Where the manifest gives no digest, size and time tell.
        for digest, path in zip(_digests(piece), _paths(piece), strict=True)
    ]
    accept = recipe.accept.model_dump(mode="json") if recipe.accept else None
    how = [RECIPE, recipe.size, recipe.resize, recipe.clahe, recipe.crop, recipe.max_pixels, accept]
    return digest_json([how, piece["image_id"].astype(str).tolist(), _paths(piece), contents])[:32]


def _stat(file: Path) -> str:
    try:
        facts = file.stat()
    except OSError:
        return f"{file} is not there"
    return f"{file} {facts.st_size} {facts.st_mtime_ns}"


def _paths(piece: pd.DataFrame) -> list[str]:
    return piece["path"].fillna("").astype(str).tolist()


def _digests(piece: pd.DataFrame) -> np.ndarray:
    return piece["sha256"].fillna("").astype(str).to_numpy(object)
