"""Bringing a dataset into the project: which layout a folder has, and its files set in place whole or not at all."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from thorax.errors import InputError
from thorax.files import atomic_folder, require_room, room_errors
from thorax.settings import Data

How = Literal["copy", "move", "link"]
_ROOM_TO_SPARE = 1.02


def detect(folder: Path, data: Data) -> str | None:
    """Return the adapter (`data.source`) that fits a folder's files, or None."""
    if (folder / "phantom.json").is_file():
        return "phantom"
    if any(folder.glob("Data_Entry_2017*.csv*")):
        return "nih"
    if (folder / "train.csv").is_file() or any(folder.glob("CheXpert-v1.0*/train.csv")):
        return "chexpert"
    return "table" if (folder / data.table.file).is_file() else None


def files_of(folder: Path) -> list[Path]:
    """Return the files below a folder, in order, without hidden ones; links count as what they point to."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(names) if not name.startswith(".")]
    return found


def bring(source: Path, target: Path, how: How = "copy", advance: Callable[[int], None] | None = None) -> int:
    """Set a dataset's files in place; `target` is replaced whole, or stays as it was.

    Args:
        source: the folder to bring.
        target: the data root.
        how: `copy`; `move`, which removes them from where they were; or `link`, hard links, which need no room and the
            same disk.
        advance: called with the number of files done since the last call.

    Returns:
        How many files there are.

    Raises:
        InputError: the folder is missing, empty, or holds the target or lies in it; or links cannot be made.
        RoomError: the disk would be full.
    """
    source, target = source.resolve(), target.absolute()
    if not source.is_dir():
        raise InputError(f"{source} is not a folder.", "Name the folder that holds the dataset's tables and images.")
    if source.is_relative_to(target.resolve()) or target.resolve().is_relative_to(source):
        raise InputError(f"{source} and {target} lie in each other.", "Bring the dataset from another place.")
    files = files_of(source)
    if not files:
        raise InputError(f"{source} is empty.", "Name the folder that holds the dataset's tables and images.")
    same_disk = source.stat().st_dev == _existing(target).stat().st_dev
    if how == "link" and not same_disk:
        raise InputError(f"{source} and {target} are on two disks: no hard link can join them.", "Use --copy.")
    if how == "copy" or not same_disk:
        require_room(target, int(sum(file.stat().st_size for file in files) * _ROOM_TO_SPARE))
    with atomic_folder(target) as temporary:
        for parent in sorted({file.relative_to(source).parent for file in files}):
            (temporary / parent).mkdir(parents=True, exist_ok=True)

        def place(file: Path) -> None:
            goal = temporary / file.relative_to(source)
            if how == "link" or (how == "move" and same_disk):
                os.link(file.resolve(), goal)
            else:
                shutil.copyfile(file, goal)
            if advance is not None:
                advance(1)

        with room_errors(target), ThreadPoolExecutor(8) as pool:
            for _ in pool.map(place, files):
                pass
    if how == "move":
        _clear(source, files)
    return len(files)


def _clear(source: Path, files: list[Path]) -> None:
    """Remove what was moved and the folders that this leaves empty; whatever else is there stays."""
    for file in files:
        file.unlink()
    for place, _, _ in os.walk(source, topdown=False):
        if not any(Path(place).iterdir()):
            Path(place).rmdir()


def _existing(path: Path) -> Path:
    """The nearest folder at or above a path that is there."""
    while not path.exists():
        path = path.parent
    return path
