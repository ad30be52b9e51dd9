"""A network as the graph that is served, for measuring its maps: ONNX Runtime, no PyTorch."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from thorax.errors import InputError

_BATCH = 32


class Answer(NamedTuple):
    """What a graph gives: logits (N, F), and class activation maps (N, F, h, w)."""

    logits: np.ndarray
    maps: np.ndarray


class Graph:
    """A `model.onnx` that answers many images.

    Args:
        model: the file, or a file's bytes.
        threads: of the runtime.

    Raises:
        InputError: it is missing, damaged, or has no maps.
    """

    def __init__(self, model: Path | bytes, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own errors have no common base
            raise InputError(
                f"The graph {_name(model)} cannot be opened: {error}", "Train the network again."
            ) from error
        names = {output.name for output in self._session.get_outputs()}
        if not {"logits", "maps"} <= names:
            raise InputError(f"The graph {_name(model)} gives {sorted(names)}, and not logits and maps.")

    def __call__(self, images: np.ndarray) -> Answer:
        """Answer images (N, S, S), float in [0, 1] or uint8."""
        values = np.asarray(images)
        if values.dtype == np.uint8:
            values = values.astype(np.float32) / 255
        parts = [
            self._session.run(["logits", "maps"], {"image": values[start : start + _BATCH, None].astype(np.float32)})
            for start in range(0, len(values), _BATCH)
        ]
        return Answer(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def randomised_graph(model: Path, seed: int = 0) -> bytes:
    """Return a graph with all weights drawn anew: a map that does not change with it explains nothing.

    The sanity check of Adebayo et al. (2018, NeurIPS), with all layers at once. Each weight of two dimensions and more
    is drawn from a normal distribution of its own standard deviation; biases, which normalisation is folded into, stay.

    Args:
        model: an ONNX file.
        seed: of the draws.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(model))
    random = np.random.default_rng(seed)
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim >= 2:
            drawn = random.normal(0.0, float(values.std()), values.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(drawn, tensor.name))
    return bytes(graph.SerializeToString())


def _name(model: Path | bytes) -> str:
    return "in memory" if isinstance(model, bytes) else str(model)
