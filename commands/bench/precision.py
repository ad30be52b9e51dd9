"""What lower precisions change of a network's answers, and how much faster they are: PyTorch's float32 beside others.

Eight-bit integers (`onnxruntime.quantization`, convolutions, per channel, calibrated on images that are not compared)
are measured for the record: a bundle holds float32 and bfloat16 alone.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from commands.bench.figures import Figure, at_most, told

if TYPE_CHECKING:
    from thorax.bundle import Bundle
    from thorax.bundle.session import Precision, Session

PART = "Precision"
#: Images that the eight-bit ranges are learnt from.
_LEARNT = 24


def measure(bundle: Path, files: Sequence[Path]) -> list[Figure]:
    """Compare every precision with float32 in ONNX Runtime, on one thread."""
    from thorax.bundle import Bundle, openvino
    from thorax.bundle.measuring import compare
    from thorax.bundle.session import open_session
    from thorax.imaging import read_image

    model = Bundle.load(bundle, precision="float32")
    images = model.inputs([read_image(file) for file in files])
    learnt, tried = images[:_LEARNT], images[_LEARNT:]
    views = ["unknown"] * len(tried)
    name = f"{model.info.architecture} at {model.info.size} px"
    graph = bundle / "model.onnx"
    exact = open_session(graph, 1)
    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as folder:
        others: dict[str, Session] = {"PyTorch, float32": _Eager(model)}
        small = _quantised(graph, learnt, Path(folder, "small.onnx"))
        others["ONNX Runtime, 8 bit"] = open_session(small, 1)
        if openvino.has_bfloat16():
            others["OpenVINO, float32"] = openvino.open_openvino(graph, 1, "float32")
            others["OpenVINO, bfloat16"] = openvino.open_openvino(graph, 1)
            others["OpenVINO, 8 bit"] = openvino.open_openvino(small, 1)
        found = {what: compare(exact, one, model.calibration, tried, views) for what, one in others.items()}
    figures = [
        told(PART, f"ms an image, ONNX Runtime, float32 ({name})", next(iter(found.values())).milliseconds_float32)
    ]
    for what, one in found.items():
        figures += [
            told(PART, f"ms an image, {what}", one.milliseconds),
            told(PART, f"{what}: largest difference of a logit", one.logits.largest, ".2g"),
            told(PART, f"{what}: largest difference of a probability", one.probabilities.largest, ".2g"),
            told(PART, f"{what}: decisions changed, of {one.images} images", one.decisions, ".2%"),
        ]
    eager = found["PyTorch, float32"]
    return [*figures, at_most(PART, "PyTorch beside ONNX Runtime, largest logit", eager.logits.largest, 1e-4, ".2g")]


class _Eager:
    """The bundle's weights in eager PyTorch, behind the contract of a session."""

    precision: "Precision" = "float32"

    def __init__(self, model: "Bundle") -> None:
        import torch

        from thorax.models import build
        from thorax.models.pretrained import read_weights
        from thorax.training.export import Answering

        torch.set_num_threads(1)
        network = build(model.info.architecture, len(model.findings))
        network.load_state_dict(read_weights(model.folder / "weights.safetensors")[0])
        self._network = Answering(network.eval()).eval()
        self.runtime = f"PyTorch {torch.__version__}"

    def run(self, names: Sequence[str], inputs: Any) -> list[np.ndarray]:
        """Run the network; `names` are logits, features and maps."""
        import torch

        with torch.inference_mode():
            found = self._network(torch.from_numpy(inputs["image"]))
        return [one.numpy() for one in found[: len(names)]]


def _quantised(graph: Path, images: np.ndarray, out: Path) -> Path:
    """Write a graph whose convolutions compute in eight bits."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from thorax.bundle.precision import feed

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._rest, None)
            return None if image is None else feed(image[None])

    ready = out.with_suffix(".ready.onnx")
    quant_pre_process(str(graph), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready),
        str(out),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
    )
    return out
