"""A network's answers on stored images, and how good they are."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from thorax.models import Network
from thorax.training.batches import Store, prefetch, to_float
from thorax.training.runtime import Runtime


class Answers:
    """What a network says of n images.

    Attributes:
        logits: (n, F), float32.
        features: (n, D), float32.
        maps: (n, F, h, w), float16 class activation maps; None unless asked for.
    """

    def __init__(self, logits: np.ndarray, features: np.ndarray, maps: np.ndarray | None) -> None:
        self.logits, self.features, self.maps = logits, features, maps


@torch.inference_mode()
def answer(
    network: Network,
    store: Store,
    indices: np.ndarray,
    runtime: Runtime,
    *,
    batch_size: int = 64,
    maps: bool = False,
    advance: Callable[[int], None] = lambda images: None,
) -> Answers:
    """Run a network over stored images, in order, in evaluation mode.

    Args:
        network: on the runtime's device.
        store: where the images lie.
        indices: (n,), rows of the store.
        runtime: device and precision.
        batch_size: images at once.
        maps: whether to keep class activation maps.
        advance: told the number of images of each finished batch.
    """
    network.eval()
    parts: list[tuple[np.ndarray, ...]] = []
    batches = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    for batch in prefetch(store, batches, pin=runtime.device.type == "cuda"):
        images = to_float(batch.images, runtime.device).contiguous(memory_format=runtime.memory_format)
        with runtime.precision():
            output = network(images)
        part: tuple[np.ndarray, ...] = (output.logits.float().cpu().numpy(), output.features.float().cpu().numpy())
        if maps:
            part += (network.maps(output.feature_map.float()).half().cpu().numpy(),)
        parts.append(part)
        advance(len(batch.indices))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Answers(columns[0], columns[1], columns[2] if maps else None)


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
