"""Several networks as one graph: the mean of their calibrated probabilities, behind the outputs of a single network.

The graph holds the members whole, and their calibrators, so that whoever reads a bundle sees one network: `logits` are
the log-odds of the mean calibrated probability, `features` the members' side by side, and `maps` the mean of their
class activation maps, shifted so that each map's spatial mean is its logit, as in every network of the project.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.calibration.calibrators import Calibrator
from thorax.errors import BundleError

if TYPE_CHECKING:
    import onnx

#: A mean of probabilities (a convex pool) keeps this from 0 and 1, as `thorax.calibration.calibrators.logit` does.
_FLOOR = 1e-7


@dataclass(frozen=True)
class Member:
    """A network of an ensemble: its graph, and a calibrator a finding."""

    graph: Path
    calibrators: tuple[Calibrator, ...]


class _Writer:
    """Collects nodes and constants of a graph under names of their own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.values: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = output or f"mean/{len(self.nodes)}/{kind}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node/{name}", **attributes))
        return name

    def value(self, array: np.ndarray | float | Sequence[int]) -> str:
        from onnx import numpy_helper

        found = np.asarray(array)
        if found.dtype == np.float64:
            found = found.astype(np.float32)
        name = f"mean/value{len(self.values)}"
        self.values.append(numpy_helper.from_array(found, name))
        return name


def merge(members: Sequence[Member], out: Path) -> None:
    """Write one graph that answers with the mean of several networks' calibrated probabilities.

    Args:
        members: at least two, for the same findings at the same size.
        out: the file to write.

    Raises:
        BundleError: there are fewer, or their graphs do not fit together.
    """
    import onnx
    from onnx import compose, helper

    if len(members) < 2:
        raise BundleError("An ensemble needs at least two members.")
    models = [onnx.load(member.graph) for member in members]
    versions = {_version(model) for model in models}
    if len(versions) > 1 or len({_side(model) for model in models}) > 1:
        raise BundleError(
            "The members' graphs do not fit together: they read images of other sizes, or are of other ONNX versions "
            f"({', '.join(map(str, sorted(versions)))}).",
            "Train them in one run.",
        )
    writer = _Writer()
    inner = [compose.add_prefix(model, f"member{number}/") for number, model in enumerate(models)]
    for number in range(len(inner)):
        writer.node("Identity", ["image"], f"member{number}/image")
    logits = _logits(writer, [f"member{number}/logits" for number in range(len(inner))], members)
    writer.node("Concat", [f"member{number}/features" for number in range(len(inner))], "features", axis=1)
    cells = [tuple(dim.dim_value for dim in _output(model, "maps").type.tensor_type.shape.dim[2:]) for model in models]
    _maps(writer, [f"member{number}/maps" for number in range(len(inner))], cells, logits)
    first = models[0].graph
    width = sum(_output(model, "features").type.tensor_type.shape.dim[1].dim_value for model in models)
    outputs = [
        helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", len(members[0].calibrators)]),
        helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["N", width]),
        helper.make_tensor_value_info("maps", onnx.TensorProto.FLOAT, ["N", len(members[0].calibrators), *max(cells)]),
    ]
    entry, rest = writer.nodes[: len(inner)], writer.nodes[len(inner) :]
    graph = helper.make_graph(
        [*entry, *(node for model in inner for node in model.graph.node), *rest],
        "ensemble",
        [first.input[0]],
        outputs,
        [*(value for model in inner for value in model.graph.initializer), *writer.values],
    )
    merged = helper.make_model(
        graph,
        opset_imports=_domains(inner),
        functions=[function for model in inner for function in model.functions],
        ir_version=max(model.ir_version for model in models),
    )
    try:
        onnx.checker.check_model(merged)
    except onnx.checker.ValidationError as error:
        raise BundleError(f"The members' graphs do not fit together: {error}") from error
    onnx.save(merged, out)


def _logits(writer: _Writer, names: Sequence[str], members: Sequence[Member]) -> str:
    """Log-odds of the mean calibrated probability, without ever subtracting a probability from one.

    log p = −log(1 + exp(−z)) and log(1 − p) = −log(1 + exp(z)); the mean's are log-sum-exp over the members.
    """
    stacked = []
    for name, member in zip(names, members, strict=True):
        columns = [_calibrated(writer, name, j, one) for j, one in enumerate(member.calibrators)]
        whole = writer.node("Concat", columns, axis=1)
        stacked.append(writer.node("Unsqueeze", [whole, writer.value([0])]))
    z = writer.node("Concat", stacked, axis=0)
    axis = writer.value([0])
    present = writer.node("Neg", [writer.node("Softplus", [writer.node("Neg", [z])])])
    absent = writer.node("Neg", [writer.node("Softplus", [z])])
    sums = [writer.node("ReduceLogSumExp", [part, axis], keepdims=0) for part in (present, absent)]
    return writer.node("Sub", sums, "logits")


def _calibrated(writer: _Writer, logits: str, column: int, calibrator: Calibrator) -> str:
    """The calibrated logits (N, 1) of one finding; what `Calibrator.logits` computes."""
    raw = writer.node("Gather", [logits, writer.value([column])], axis=1)
    if calibrator.beta is not None:
        a, b, c = calibrator.beta
        below = writer.node("Mul", [writer.node("Softplus", [writer.node("Neg", [raw])]), writer.value(-a)])
        above = writer.node("Mul", [writer.node("Softplus", [raw]), writer.value(b)])
        return writer.node("Add", [writer.node("Add", [below, above]), writer.value(c)])
    if calibrator.knots is not None:
        return _interpolated(writer, raw, *(np.asarray(part, np.float64) for part in calibrator.knots))
    assert calibrator.slope is not None and calibrator.intercept is not None
    return writer.node(
        "Add",
        [writer.node("Mul", [raw, writer.value(calibrator.slope)]), writer.value(calibrator.intercept)],
    )


def _interpolated(writer: _Writer, raw: str, at: np.ndarray, probabilities: np.ndarray) -> str:
    """Log-odds of the probability that is linear between knots: each piece gives its share of its own step."""
    width = np.maximum(np.diff(at), 1e-9)
    share = writer.node("Div", [writer.node("Sub", [raw, writer.value(at[None, :-1])]), writer.value(width[None])])
    share = writer.node("Clip", [share, writer.value(0.0), writer.value(1.0)])
    p = writer.node("MatMul", [share, writer.value(np.diff(probabilities)[:, None])])
    p = writer.node("Add", [p, writer.value(probabilities[0])])
    p = writer.node("Clip", [p, writer.value(_FLOOR), writer.value(1.0 - _FLOOR)])
    other = writer.node("Sub", [writer.value(1.0), p])
    return writer.node("Sub", [writer.node("Log", [p]), writer.node("Log", [other])])


def _maps(writer: _Writer, names: Sequence[str], cells: Sequence[tuple[int, ...]], logits: str) -> None:
    """The mean of the maps at the finest member's resolution, shifted to have the logits as their spatial means."""
    finest, sized = max(cells), []
    for name, shape in zip(names, cells, strict=True):
        if shape == finest:
            sized.append(name)
            continue
        scales = writer.value(np.array([1.0, 1.0, *(a / b for a, b in zip(finest, shape, strict=True))]))
        sized.append(
            writer.node("Resize", [name, "", scales], mode="linear", coordinate_transformation_mode="half_pixel")
        )
    mean = writer.node("Mean", sized)
    own = writer.node("ReduceMean", [mean, writer.value([2, 3])], keepdims=1)
    wanted = writer.node("Unsqueeze", [logits, writer.value([2, 3])])
    writer.node("Add", [mean, writer.node("Sub", [wanted, own])], "maps")


def _version(model: "onnx.ModelProto") -> int:
    return int(next(item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}))


def _domains(models: "Sequence[onnx.ModelProto]") -> "list[onnx.OperatorSetIdProto]":
    found = {item.domain: item for model in models for item in model.opset_import}
    return list(found.values())


def _side(model: "onnx.ModelProto") -> int:
    return int(model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value)


def _output(model: "onnx.ModelProto", name: str) -> "onnx.ValueInfoProto":
    return next(item for item in model.graph.output if item.name == name)
