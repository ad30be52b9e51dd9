"""Batches from the image store, gathered by a thread in the background so that the network never waits."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class Store(Protocol):
    """What training needs of an image store; `thorax.preprocessing.store.ImageStore` is one."""

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Return images, uint8, (n, size, size)."""

    def targets(self, indices: np.ndarray) -> np.ndarray:
        """Return targets, float32, (n, F), NaN where a label is left out."""


class Batch(NamedTuple):
    """Images as they lie in the store, their targets, and where in the store they lie.

    Attributes:
        images: (N, 1, S, S), uint8.
        targets: (N, F), float32, NaN where a label is left out.
        indices: (N,), rows of the store.
        whole: rows of the whole batch, of which several processes take a part each.
        boxes: (N, F, 4), x, y, width and height as fractions of the image, NaN where there is none; None without boxes.
    """

    images: Tensor
    targets: Tensor
    indices: np.ndarray
    whole: np.ndarray
    boxes: Tensor | None = None


def epoch_batches(
    indices: np.ndarray,
    batch_size: int,
    seed: int,
    epoch: int,
    fraction: float = 1.0,
    weights: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Draw an epoch's batches: a fresh order each epoch, the same for the same seed and epoch.

    What does not fill a batch is left for other epochs; with fewer images than a batch, all make one batch.

    Args:
        indices: (n,), rows of the store to draw from.
        batch_size: images a batch.
        seed: of the run.
        epoch: from 0.
        fraction: share of the images that the epoch draws.
        weights: (n,), how often each image is drawn, up to a factor, with replacement; None: each at most once.
    """
    random = np.random.default_rng([seed, epoch])
    count = max(1, round(len(indices) * fraction))
    if weights is None:
        order = random.permutation(indices)[:count]
    else:
        order = random.choice(indices, size=count, p=weights / weights.sum())
    steps = max(1, len(order) // batch_size)
    return [np.sort(part) for part in np.array_split(order[: steps * batch_size], steps)]


def sampling_weights(kind: str, targets: np.ndarray, patients: np.ndarray) -> np.ndarray | None:
    """Return how often each image is to be drawn.

    Args:
        kind: "shuffle": each once. "class_balanced": each finding's positives are drawn as often as any other's, and
            as often as the images that have none. "patient_balanced": each patient is drawn as often as any other.
        targets: (n, F), NaN where a label is left out.
        patients: (n,), of the same images.

    Returns:
        (n,) positive weights, or None for "shuffle".
    """
    if kind == "patient_balanced":
        _, inverse, counts = np.unique(patients, return_inverse=True, return_counts=True)
        return 1.0 / counts[inverse]
    if kind == "class_balanced":
        present = np.nan_to_num(targets) > 0.5
        classes = np.column_stack([present, ~present.any(axis=1)]).astype(np.float64)
        weights: np.ndarray = (classes / np.maximum(classes.sum(axis=0), 1)).sum(axis=1)
        return weights
    return None


def prefetch(
    store: Store,
    batches: Sequence[np.ndarray],
    *,
    boxes: np.ndarray | None = None,
    part: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
    pin: bool = False,
    ahead: int = 4,
) -> Iterator[Batch]:
    """Yield batches, while a thread gathers the next ones from the memory-mapped store.

    Args:
        store: where images and targets lie.
        batches: rows of the store, a batch each.
        boxes: (rows of the store, F, 4), or None.
        part: which of a batch's rows this process gathers.
        pin: whether to put them into page-locked memory, from which a GPU copies while it computes.
        ahead: how many batches may wait.

    Raises:
        Exception: whatever the store raised in the background.
    """
    waiting: queue.Queue[Batch | Exception | None] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(item: Batch | Exception | None) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def gather() -> None:
        try:
            for indices in batches:
                if stopped.is_set():
                    return
                put(_batch(store, part(indices), indices, boxes, pin))
            put(None)
        except Exception as error:
            put(error)

    thread = threading.Thread(target=gather, name="thorax-batches", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def to_float(images: Tensor, device: torch.device) -> Tensor:
    """Move stored images to a device, as float32 from 0 to 1."""
    return images.to(device, non_blocking=True).float() / 255


def _batch(store: Store, indices: np.ndarray, whole: np.ndarray, boxes: np.ndarray | None, pin: bool) -> Batch:
    images = torch.from_numpy(np.ascontiguousarray(store.images(indices)))[:, None]
    targets = torch.from_numpy(np.asarray(store.targets(indices), dtype=np.float32))
    if pin:
        images, targets = images.pin_memory(), targets.pin_memory()
    return Batch(images, targets, indices, whole, None if boxes is None else torch.from_numpy(boxes[indices]))
