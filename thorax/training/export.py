"""The ONNX graph that serving runs: one image in, logits, features and class activation maps out."""

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from thorax.errors import ThoraxError
from thorax.models import Network

OPSET = 17
INPUT, OUTPUTS = "image", ("logits", "features", "maps")


class Explained(nn.Module):
    """A network that answers with its class activation maps in place of its feature map."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, 1, S, S) to logits (N, F), features (N, D) and maps (N, F, h, w)."""
        output = self.network(image)
        return output.logits, output.features, self.network.maps(output.feature_map)


def export_onnx(network: Network, size: int, path: Path, *, tolerance: float = 1e-4) -> float:
    """Write the graph, with any number of images a batch, and check that ONNX Runtime answers as PyTorch does.

    The exporter is the one by tracing: these networks branch on nothing, and it takes 1 s where the one by
    `torch.export` takes 6.

    Args:
        network: on the CPU; left in evaluation mode.
        size: image side S, px.
        path: of the file.
        tolerance: largest difference in logits that is let through.

    Returns:
        The largest difference between the two runtimes' logits.

    Raises:
        ThoraxError: they differ by more than the tolerance.
    """
    # The exporter sets the mode of the outermost module back when it is done, so that one too must be in evaluation.
    explained = Explained(network).eval()
    image = torch.rand((2, 1, size, size), generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            explained,
            (image,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "images"} for name in (INPUT, *OUTPUTS)},
        )
        difference = _difference(explained, path, torch.cat([image, image.flip(3)[:1]]))
    if not difference <= tolerance:
        raise ThoraxError(
            f"The exported graph {path} answers otherwise than the network: logits differ by {difference:.2g}.",
            "This is a fault of the exporter; please report it with the versions that `thorax doctor` prints.",
        )
    return difference


def _difference(explained: Explained, path: Path, images: Tensor) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    answered = session.run([OUTPUTS[0]], {INPUT: images.numpy()})[0]
    return float(np.abs(answered - explained(images)[0].numpy()).max())
