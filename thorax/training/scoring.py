"""A network's answers on stored images, and how good they are."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from thorax.context import encode
from thorax.models import Network, Views, explain
from thorax.training.batches import Store, prefetch, to_float
from thorax.training.runtime import Runtime


class Answers:
    """What a network says of n images.

    Attributes:
        logits: (n, F), float32.
        features: (n, D), float32.
        maps: (n, F, h, w), float16 class activation maps; None unless asked for.
        boxes: (n, F, 4), float32, x, y, width and height as fractions; None unless asked for and the network has them.
    """

    def __init__(
        self, logits: np.ndarray, features: np.ndarray, maps: np.ndarray | None, boxes: np.ndarray | None = None
    ) -> None:
        self.logits, self.features, self.maps, self.boxes = logits, features, maps, boxes


@torch.inference_mode()
def answer(
    network: Network,
    store: Store,
    indices: np.ndarray,
    runtime: Runtime,
    *,
    batch_size: int = 64,
    maps: bool = False,
    views: Views | None = None,
    advance: Callable[[int], None] = lambda images: None,
) -> Answers:
    """Run a network over stored images, in order, in evaluation mode.

    Args:
        network: on the runtime's device.
        store: where the images lie.
        indices: (n,), rows of the store.
        runtime: device and precision.
        batch_size: images at once.
        maps: whether to keep class activation maps, and boxes.
        views: moved copies whose answers are averaged with the image's own.
        advance: told the number of images of each finished batch.
    """
    network.eval()
    context = None if network.context_head is None else known_beside(store)
    parts: list[tuple[np.ndarray, ...]] = []
    batches = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    for batch in prefetch(store, batches, pin=runtime.device.type == "cuda"):
        images = to_float(batch.images, runtime.device).contiguous(memory_format=runtime.memory_format)
        with runtime.precision():
            known = None if context is None else torch.from_numpy(context[batch.indices]).to(runtime.device)
            output = explain(network, images, views, known)
        wanted = [output.logits.float(), output.features.float()]
        if maps:
            wanted += [output.maps.half(), *([] if output.boxes is None else [output.boxes.float()])]
        parts.append(tuple(tensor.cpu().numpy() for tensor in wanted))
        advance(len(batch.indices))
    return Answers(*(np.concatenate(column) for column in zip(*parts, strict=True)), *([] if maps else [None]))


def known_beside(store: Any) -> np.ndarray:
    """Return age, sex and view of every stored image, (images, C), as `thorax.context` puts them."""
    return encode(store.rows["age"], store.rows["sex"], store.rows["view"])


def aurocs(truth: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return the area under the ROC curve of each finding that has positives and negatives.

    Args:
        truth: (n, F), 1, 0 or NaN for unknown, which is left out.
        scores: (n, F), higher for more suspicion.
        names: F names.
    """
    from sklearn.metrics import roc_auc_score

    found = {}
    for column, name in enumerate(names):
        known = ~np.isnan(truth[:, column])
        labels = truth[known, column]
        if len(np.unique(labels)) == 2:
            found[name] = float(roc_auc_score(labels, scores[known, column]))
    return found
