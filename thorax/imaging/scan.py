"""Many images, each decoded once: checks, hashes and the network's input together, over processes."""

import hashlib
import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from thorax.errors import ImageError
from thorax.imaging.hashing import perceptual_hash
from thorax.imaging.preparation import WHOLE, Crop, Frame, Resize, frame_of, to_network_input
from thorax.imaging.reading import MAX_PIXELS, read_bytes, read_image_bytes
from thorax.settings.reading import Dicom
from thorax.workers import end_with_parent

#: Images a task: enough to make the trip between processes cheap, few enough to keep every core busy to the end.
CHUNK = 32
#: Fewer images than this are read here: two processes take longer to start.
_FEW = 96
#: Finished chunks that may wait in memory, a process.
_WAITING = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make of each image; `size` 0 means only to look at it."""

    size: int = 0
    resize: Resize = "squash"
    clahe: bool = False
    crop: Crop = "none"
    max_pixels: int = MAX_PIXELS
    accept: Dicom | None = None


@dataclass(slots=True)
class Scanned:
    """What one decode of a file told.

    Attributes:
        path: as it was asked for.
        reason: why the file could not be read; None where it could.
        width: px; 0 where it could not be read, as are height and bits.
        height: px.
        bits: of a stored grey level.
        sha256: of the file's bytes, hex; "" where they could not be read.
        phash: perceptual hash, 32 bytes; empty where it could not be read.
        checks: name of the check → what looks wrong.
        frame: the part of the image that `pixels` shows.
        pixels: uint8 of shape (size, size), or None where it could not be read or was not asked for.
    """

    path: str
    reason: str | None = None
    width: int = 0
    height: int = 0
    bits: int = 0
    sha256: str = ""
    phash: bytes = b""
    checks: dict[str, str] = field(default_factory=dict)
    frame: Frame = WHOLE
    pixels: np.ndarray | None = None


def scan_one(root: Path, path: str, recipe: Recipe) -> Scanned:
    """Decode one file; whatever is wrong with it becomes its reason."""
    result = Scanned(path)
    try:
        data = read_bytes(root / path)
        result.sha256 = hashlib.sha256(data).hexdigest()
        image = read_image_bytes(data, name=path, max_pixels=recipe.max_pixels, accept=recipe.accept)
    except ImageError as error:
        result.reason = error.message
        return result
    result.width, result.height, result.bits, result.checks = image.width, image.height, image.bits, image.checks
    result.phash = perceptual_hash(image.pixels if image.thumbnail is None else image.thumbnail)
    if recipe.size:
        result.frame = frame_of(image.pixels, recipe.crop)
        result.pixels = to_network_input(image.pixels, recipe.size, recipe.resize, recipe.clahe, frame=result.frame)
    return result


def scan(root: Path, paths: Sequence[str], recipe: Recipe, workers: int = 0) -> Iterator[Scanned]:
    """Decode files over processes, and yield one result a file in the order of `paths`.

    A file on which a decoder crashes (and takes its process with it) is found and becomes a result with a reason;
    all others are read none the less. Memory is bounded by a few chunks a process, however many files there are.

    Args:
        root: the folder that `paths` are relative to.
        paths: the files.
        recipe: what to make of each.
        workers: processes; 0 means one a core. Each uses one thread.
    """
    chunks = [list(paths[start : start + CHUNK]) for start in range(0, len(paths), CHUNK)]
    processes = min(workers or cores(), len(chunks))
    if processes < 2 or len(paths) < _FEW:
        for path in paths:
            yield scan_one(root, path, recipe)
        return
    pool = _pool(processes)
    upcoming = iter(chunks)
    waiting: deque[tuple[list[str], Future[list[Scanned]]]] = deque()
    try:
        while True:
            for chunk in itertools.islice(upcoming, processes * _WAITING - len(waiting)):
                waiting.append((chunk, _submit(pool, root, chunk, recipe)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                yield from future.result()
            except BrokenProcessPool:
                # A file crashed its process, and the pool with it. This chunk may hold that file; the others go on.
                pool.shutdown(wait=False, cancel_futures=True)
                pool = _pool(processes)
                waiting = deque(
                    (chunk, future if _finished(future) else _submit(pool, root, chunk, recipe))
                    for chunk, future in waiting
                )
                yield from _one_by_one(root, chunk, recipe)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pool(processes: int) -> ProcessPoolExecutor:
    # Spawned, not forked: a fork of a process that runs threads (a server, a tracker) may hang.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_start)


def _submit(pool: ProcessPoolExecutor, root: Path, chunk: list[str], recipe: Recipe) -> "Future[list[Scanned]]":
    """Hand a chunk to the pool; a pool that broke meanwhile gives a future that says so."""
    try:
        return pool.submit(_work, root, chunk, recipe)
    except BrokenProcessPool as error:
        failed: Future[list[Scanned]] = Future()
        failed.set_exception(error)
        return failed


def _finished(future: "Future[list[Scanned]]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _start() -> None:
    end_with_parent()
    cv2.setNumThreads(1)


def _work(root: Path, chunk: list[str], recipe: Recipe) -> list[Scanned]:
    return [scan_one(root, path, recipe) for path in chunk]


def _one_by_one(root: Path, paths: list[str], recipe: Recipe) -> Iterator[Scanned]:
    """Read each file in a process that nothing else depends on."""
    pool = _pool(1)
    try:
        for path in paths:
            try:
                yield from pool.submit(_work, root, [path], recipe).result()
            except BrokenProcessPool:
                pool.shutdown(wait=False)
                pool = _pool(1)
                yield Scanned(path, reason=f"{path}: It crashed the decoder that tried to read it.")
    finally:
        pool.shutdown(wait=False)
