"""What a trained network leaves behind for the steps after it: weights, graph, head, curves, and its answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from thorax.files import write_json
from thorax.models import Network, Views
from thorax.training.export import export_onnx
from thorax.training.runtime import Runtime
from thorax.training.scoring import answer

#: Splits whose answers are kept, and whether with maps, which only calibration and test have use for.
SPLITS = {"train": False, "validation": False, "calibration": True, "test": True}


def write_network(
    network: Network,
    out: Path,
    size: int,
    metadata: dict[str, str],
    curves: list[dict[str, Any]],
    views: Views | None = None,
) -> None:
    """Write `weights.safetensors`, `head.safetensors`, `model.onnx` and `curves.json`.

    Args:
        network: moved to the CPU.
        out: an existing folder.
        size: image side, px.
        metadata: kept in the weights file: architecture, findings (JSON), size.
        curves: one record an epoch.
        views: moved copies whose answers the graph averages.
    """
    network.to("cpu", memory_format=torch.contiguous_format).eval()
    if views is not None:
        views.to("cpu")
    tensors = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, out / "weights.safetensors", metadata)
    head = {"weight": network.head.weight.detach(), "bias": network.head.bias.detach()}
    if network.context_head is not None:
        head["context"] = network.context_head.weight.detach()
    save_file(head, out / "head.safetensors", metadata)
    export_onnx(network, size, out / "model.onnx", views=views)
    write_json(out / "curves.json", curves)


def write_answers(
    network: Network,
    store: Any,
    runtime: Runtime,
    out: Path,
    views: Views | None = None,
    advance: Callable[[int], None] = lambda images: None,
) -> None:
    """Write `outputs-<split>.npz` for every split, computed in float32 so that the ONNX graph gives the same.

    Each file holds `image_id`, `patient_id`, `logits` and `truth` (n, F), `features` (n, D), and for calibration
    and test `maps` (n, F, h, w) in float16 and, where the network has a box head, `boxes` (n, F, 4) as x, y, width and
    height in fractions of the image. It opens with `allow_pickle=False`.
    """
    exact = Runtime(runtime.device, None, runtime.memory_format)
    exact.place(network)
    if views is not None:
        views.to(exact.device)
    for split, with_maps in SPLITS.items():
        indices = store.indices(split)
        answers = answer(network, store, indices, exact, maps=with_maps, views=views, advance=advance)
        rows = store.rows.iloc[indices]
        arrays = {
            "image_id": rows["image_id"].to_numpy(dtype=str),
            "patient_id": rows["patient_id"].to_numpy(dtype=str),
            "logits": answers.logits,
            "features": answers.features,
            "truth": store.truth(indices),
        }
        if answers.maps is not None:
            arrays["maps"] = answers.maps
        if answers.boxes is not None:
            arrays["boxes"] = answers.boxes
        np.savez(out / f"outputs-{split}.npz", **arrays)
