"""A tiny network as a graph, made by hand: it looks for bright spots, and says where."""

from pathlib import Path

import numpy as np


def write_graph(path: Path, findings: int = 3, channels: int = 8, seed: int = 0) -> None:
    """Write a graph with the contract of `model.onnx`: image (N, 1, S, S) in; logits, features and maps out.

    Finding 0 rises with bright cells of 8 pixels; the others weigh the channels at random.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(seed)
    kernel = random.normal(0, 0.05, (channels, 1, 8, 8))
    kernel[0] = 1 / 64
    head = random.normal(0, 0.5, (findings, channels))
    head[0] = 0
    head[0, 0] = 40
    weights = {"kernel": kernel, "bias": np.where(np.arange(channels) == 0, -0.5, 0.1), "head": head[:, :, None, None]}
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["before"], strides=[8, 8]),
        helper.make_node("Relu", ["before"], ["feature_map"]),
        helper.make_node("ReduceMean", ["feature_map"], ["features"], axes=[2, 3], keepdims=0),
        helper.make_node("Conv", ["feature_map", "head"], ["maps"]),
        helper.make_node("ReduceMean", ["maps"], ["logits"], axes=[2, 3], keepdims=0),
    ]
    shapes = {"logits": ["n", findings], "features": ["n", channels], "maps": ["n", findings, "h", "w"]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, "s", "s"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
