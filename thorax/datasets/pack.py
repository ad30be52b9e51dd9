"""Datasets too large to be held as loose files: images in tar shards with a manifest, everything else as it is.

DVC, object stores and backup tools handle a few hundred files of half a gigabyte where half a million small ones take
hours. A packed folder holds `pack.json` (shards and their SHA-256), `pack-index.parquet` (a row an image: path, shard,
offset, size, SHA-256, MD5), `images-NNNNN.tar` (plain tar, readable by any tool; the same images give the same bytes)
and the dataset's tables.
"""

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from thorax.datasets.dataset import IMAGE_SUFFIXES
from thorax.errors import InputError
from thorax.files import atomic_folder, digest_file, digest_json, read_json, require_room, write_json

NOTE, INDEX = "pack.json", "pack-index.parquet"
SHARD_MIB = 512
_VERSION = 1


def is_packed(folder: Path) -> bool:
    """Whether a folder is a packed dataset."""
    return (folder / NOTE).is_file()


def is_shard(path: str) -> bool:
    """Whether a relative path is that of a shard."""
    return path.startswith("images-") and path.endswith(".tar")


def digests(folder: Path) -> dict[str, str]:
    """Return relative path → MD5 of every packed image; the shards themselves need not be there."""
    index = _index(folder)
    return dict(zip(index["path"], index["md5"], strict=True))


def pack(
    source: Path, target: Path, shard_mib: int = SHARD_MIB, advance: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Pack a dataset.

    Args:
        source: its folder.
        target: replaced whole, or stays as it was.
        shard_mib: a shard is closed once it is so large.
        advance: called with the number of files done since the last call.

    Returns:
        What `pack.json` holds.

    Raises:
        InputError: the source is missing, holds no image, is packed already, or holds the target.
        RoomError: the disk is, or would be, full.
    """
    from thorax.datasets.bring import files_of

    source = source.resolve()
    if not source.is_dir() or is_packed(source):
        raise InputError(f"{source} is {'packed already' if is_packed(source) else 'not a folder'}.")
    if target.absolute().is_relative_to(source) or source.is_relative_to(target.absolute()):
        raise InputError(f"{source} and {target} lie in each other.", "Pack into another place.")
    files = files_of(source)
    images = [file for file in files if file.name.lower().endswith(IMAGE_SUFFIXES)]
    if not images:
        raise InputError(f"{source} holds no image.", "Name the folder that holds the dataset's tables and images.")
    require_room(target, int(sum(file.stat().st_size for file in files) * 1.02))
    tell = advance or (lambda step: None)
    with atomic_folder(target) as folder:
        rows = list(_write_shards(source, images, folder, shard_mib << 20, tell))
        index = pd.DataFrame(rows, columns=["path", "shard", "offset", "size", "sha256", "md5"])
        index.to_parquet(folder / INDEX, index=False)
        for file in sorted(set(files) - set(images)):
            place = folder / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            tell(1)
        shards = [
            {"file": name, "images": len(part), "bytes": (folder / name).stat().st_size}
            | {"sha256": digest_file(folder / name)}
            for name, part in index.groupby("shard", sort=True)
        ]
        note = {"version": _VERSION, "images": len(index), "bytes": int(index["size"].sum()), "shards": shards}
        write_json(folder / NOTE, note)
    return note


def unpack(source: Path, target: Path, advance: Callable[[int], None] | None = None) -> int:
    """Unpack a packed dataset, and check every image against its digest.

    Args:
        source: the packed folder.
        target: replaced whole, or stays as it was.
        advance: called with the number of images done since the last call.

    Returns:
        How many images there are.

    Raises:
        InputError: it is not packed, or a shard is missing, cut short or changed.
        RoomError: the disk is, or would be, full.
    """
    note, index = _note(source), _index(source)
    require_room(target, int(note["bytes"] * 1.02))
    with atomic_folder(target) as folder:
        for parent in {(folder / path).parent for path in index["path"]}:
            parent.mkdir(parents=True, exist_ok=True)
        for name, part in index.groupby("shard", sort=True):
            _extract(source / str(name), part, folder, advance or (lambda step: None))
        for file in sorted(source.rglob("*")):
            path = file.relative_to(source).as_posix()
            if file.is_file() and not (is_shard(path) or path in (NOTE, INDEX)):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / path)
    return len(index)


def opened(root: Path, var: Path, advance: Callable[[int], None] | None = None) -> Path:
    """Return a folder of loose files that adapters can read: `root` itself, or where it is unpacked.

    Args:
        root: a dataset's folder, packed or not.
        var: below it, in `unpacked`, a packed dataset is unpacked once.
        advance: called with the number of images unpacked since the last call.
    """
    if not is_packed(root):
        return root
    tables = {file.name: digest_file(file) for file in sorted(root.glob("*")) if not is_shard(file.name)}
    target = var / "unpacked" / digest_json(tables)[:32]
    if not target.is_dir():
        unpack(root, target, advance)
    return target


def _write_shards(
    source: Path, images: list[Path], folder: Path, largest: int, tell: Callable[[int], None]
) -> Iterator[tuple[str, str, int, int, str, str]]:
    """Write tar files that depend on nothing but the images' paths and bytes; yield a row of the index each."""
    remaining = iter(images)
    file = next(remaining, None)
    number = 0
    while file is not None:
        name = f"images-{number:05d}.tar"
        with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as shard:
            while file is not None and (shard.offset == 0 or shard.offset < largest):
                path = file.relative_to(source).as_posix()
                content = file.read_bytes()
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(content), 0o644
                shard.fileobj.write(entry.tobuf(tarfile.PAX_FORMAT))  # type: ignore[union-attr]
                start = shard.fileobj.tell()  # type: ignore[union-attr]
                padding = -len(content) % tarfile.BLOCKSIZE
                shard.fileobj.write(content + b"\0" * padding)  # type: ignore[union-attr]
                shard.offset = start + len(content) + padding
                md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
                yield path, name, start, len(content), hashlib.sha256(content).hexdigest(), md5
                tell(1)
                file = next(remaining, None)
        number += 1


def _extract(shard: Path, part: pd.DataFrame, folder: Path, tell: Callable[[int], None]) -> None:
    try:
        stream = shard.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"The shard {shard} is missing.", "Run `dvc pull`.") from error
    with stream:
        for row in part.itertuples(index=False):
            goal = (folder / str(row.path)).resolve()
            if not goal.is_relative_to(folder.resolve()):
                raise InputError(f"{shard} names {row.path}, which leads out of the folder.")
            stream.seek(int(row.offset))
            content = stream.read(int(row.size))
            if hashlib.sha256(content).hexdigest() != row.sha256:
                raise InputError(f"{row.path} in {shard} is cut short or changed.", "Run `dvc pull --force`.")
            goal.write_bytes(content)
            tell(1)


def _note(folder: Path) -> dict[str, Any]:
    if not is_packed(folder):
        raise InputError(f"{folder} is not packed: it holds no {NOTE}.", "Pack it with `thorax data pack`.")
    note: dict[str, Any] = read_json(folder / NOTE)
    if note.get("version") != _VERSION:
        raise InputError(f"{folder / NOTE} has the layout {note.get('version')}, not {_VERSION}.")
    return note


def _index(folder: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(folder / INDEX)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / INDEX} cannot be read: {error}", "Run `dvc pull`.") from error
