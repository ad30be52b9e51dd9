"""The ONNX graph that serving runs: one image in, logits, features and class activation maps out."""

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from thorax.errors import ThoraxError
from thorax.models import Network, Views, explain

OPSET = 17
INPUT, OUTPUTS = "image", ("logits", "features", "maps")
#: An input that only graphs of networks that read it have; zeros where it is not given, which is nothing known.
CONTEXT = "context"
#: An output that only graphs of networks with a box head have.
BOXES = "boxes"


class Answering(nn.Module):
    """A network that answers with its class activation maps in place of its feature map."""

    def __init__(self, network: Network, views: Views | None = None) -> None:
        super().__init__()
        self.network, self.views = network, views

    def forward(self, image: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        """Map (N, 1, S, S) to logits (N, F), features (N, D), maps (N, F, h, w) and, where it has them, boxes."""
        found = explain(self.network, image, self.views, context)
        return tuple(tensor for tensor in found if tensor is not None)


def export_onnx(
    network: Network, size: int, path: Path, *, views: Views | None = None, tolerance: float = 1e-4
) -> float:
    """Write the graph, with any number of images a batch, and check that ONNX Runtime answers as PyTorch does.

    The exporter is the one by tracing: these networks branch on nothing, and it takes 1 s where the one by
    `torch.export` takes 6.

    Args:
        network: on the CPU; left in evaluation mode.
        size: image side S, px.
        path: of the file.
        views: moved copies whose answers the graph averages.
        tolerance: largest difference in logits that is let through.

    Returns:
        The largest difference between the two runtimes' logits.

    Raises:
        ThoraxError: they differ by more than the tolerance.
    """
    # The exporter sets the mode of the outermost module back when it is done, so that one too must be in evaluation.
    explained = Answering(network, views).eval()
    inputs: dict[str, Tensor] = {}
    outputs = OUTPUTS if network.box_head is None else (*OUTPUTS, BOXES)
    image = torch.rand((2, 1, size, size), generator=torch.Generator().manual_seed(0))
    inputs[INPUT] = image
    if network.context_head is not None:
        inputs[CONTEXT] = torch.zeros(2, network.context_head.in_features)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            explained,
            tuple(inputs.values()),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: "images"} for name in (INPUT, *outputs)}
            | {name: {0: "known"} for name in inputs if name != INPUT},
        )
        if network.context_head is not None:
            _make_optional(path, network.context_head.in_features)
        difference = _difference(explained, path, torch.cat([image, image.flip(3)[:1]]))
    if not difference <= tolerance:
        raise ThoraxError(
            f"The exported graph {path} answers otherwise than the network: logits differ by {difference:.2g}.",
            "This is a fault of the exporter; please report it with the versions that `thorax doctor` prints.",
        )
    return difference


def _make_optional(path: Path, width: int) -> None:
    """Give the context a default: one row of zeros, for all images. An initializer of an input's name is just that."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path))
    nothing = numpy_helper.from_array(np.zeros((1, width), dtype=np.float32), CONTEXT)
    graph.graph.initializer.append(nothing)
    onnx.save(graph, str(path))


def _difference(explained: Answering, path: Path, images: Tensor) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # a default that can be given otherwise is meant
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    answered = session.run([OUTPUTS[0]], {INPUT: images.numpy()})[0]
    return float(np.abs(answered - explained(images)[0].numpy()).max())
