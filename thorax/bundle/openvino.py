"""OpenVINO, which runs a graph in bfloat16 on processors that have it: about twice as fast as float32.

Each image is run by itself: in bfloat16 a batch adds in another order than its images alone, and an answer must not
depend on what was asked beside it. A graph without a dynamic batch is also faster.
"""

import functools
import os
import queue
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thorax.bundle.session import Precision, require_outputs
from thorax.errors import BundleError

_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}
_IMAGE, _CONTEXT = "image", "context"


class OpenVinoSession:
    """A compiled graph; `run` may be called from several threads at once, as many as it has streams side by side."""

    def __init__(self, compiled: Any, precision: Precision, version: str, context: np.ndarray | None) -> None:
        self._compiled = compiled
        self._context = context
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.precision: Precision = precision
        self.runtime = f"OpenVINO {version}"

    def run(self, names: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run the graph; see `thorax.bundle.session.Session.run`."""
        images = np.ascontiguousarray(inputs[_IMAGE], dtype=np.float32)
        context = inputs.get(_CONTEXT, self._context)
        ports = [self._compiled.output(name) for name in names]
        found = [np.empty((len(images), *tuple(port.shape)[1:]), np.float32) for port in ports]
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        for number in range(len(images)):
            fed = {_IMAGE: images[number : number + 1]}
            if self._context is not None and context is not None:
                row = np.asarray(context, dtype=np.float32)
                fed[_CONTEXT] = row if len(row) == 1 else row[number : number + 1]
            request.infer(fed, share_inputs=True)
            for port, whole in zip(ports, found, strict=True):
                whole[number] = request.get_tensor(port).data[0]
        self._idle.put(request)  # after an error it is left to the collector
        return found


@functools.cache
def processor() -> tuple[str, frozenset[str]]:
    """Return this machine's processor and what OpenVINO can compute fast on it, such as BF16; nothing without it."""
    try:
        core = _core()
        return str(core.get_property("CPU", "FULL_DEVICE_NAME")), frozenset(
            core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        )
    except (ImportError, RuntimeError):
        return "", frozenset()


def has_bfloat16() -> bool:
    """Say whether this machine computes in bfloat16 by OpenVINO."""
    return "BF16" in processor()[1]


def open_openvino(graph: Path, threads: int, precision: Precision = "bfloat16") -> OpenVinoSession:
    """Compile an ONNX graph for this machine's processor.

    Args:
        graph: the file.
        threads: for one image; 1 makes a stream a core, so that as many images are run side by side; 0: all cores.
        precision: of convolutions and matrix products.

    Raises:
        BundleError: OpenVINO is missing, cannot read the graph, or the graph lacks an output.
    """
    cores = os.cpu_count() or 1
    each = threads or cores
    streams = cores if each == 1 else 1
    try:
        openvino, core = _openvino(), _core()
        model = core.read_model(str(graph))
        require_outputs(graph, {name for output in model.outputs for name in output.names})
        context = _promote_context(openvino, model)
        model.reshape({_IMAGE: [1, *(side.get_length() for side in list(model.input(_IMAGE).partial_shape)[1:])]})
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _HINTS[precision],
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": streams * each,
                # Pinned threads of several processes would share one core and leave the next one idle.
                "ENABLE_CPU_PINNING": False,
            },
        )
    except (ImportError, RuntimeError) as error:
        raise BundleError(f"{graph} is not a graph that OpenVINO can run: {error}") from error
    return OpenVinoSession(compiled, precision, openvino.__version__.split("-")[0], context)


def _promote_context(openvino: Any, model: Any) -> np.ndarray | None:
    """Make the context an input again; return its default, or None where the graph reads none.

    In ONNX an initializer of an input's name is that input's default. OpenVINO takes it for a constant.
    """
    for constant in model.get_ops():
        if constant.get_type_name() == "Constant" and constant.get_friendly_name() == _CONTEXT:
            default = np.array(constant.data, dtype=np.float32)
            parameter = openvino.opset8.parameter(default.shape, np.float32, name=_CONTEXT)
            parameter.output(0).set_names({_CONTEXT})
            for reader in constant.output(0).get_target_inputs():
                reader.replace_source_output(parameter.output(0))
            model.add_parameters([parameter])
            model.validate_nodes_and_infer_types()
            return default
    return None


@functools.cache
def _core() -> Any:
    """Return OpenVINO's core; one is enough, as each loads the processor's plugin anew."""
    return _openvino().Core()


def _openvino() -> Any:
    """Import OpenVINO without its telemetry, which tells its maker of every import: nothing leaves a hospital."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
