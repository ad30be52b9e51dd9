"""The one contract behind which a graph runs, and ONNX Runtime under it: the processor, or a GPU where there is one.

OpenVINO, for bfloat16, is in `thorax.bundle.openvino`; `thorax.bundle.precision` decides between the two.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from thorax.errors import BundleError, SettingsError

Precision = Literal["float32", "bfloat16"]
CPU = "CPUExecutionProvider"
#: What every graph of the project gives.
OUTPUTS = ("logits", "features", "maps")
#: Full 32 bit precision: a bundle's stored predictions must be reproduced to 1e-4.
_OPTIONS: dict[str, dict[str, Any]] = {"CUDAExecutionProvider": {"use_tf32": 0}}
_log = logging.getLogger("bentoml.thorax")


class Session(Protocol):
    """An opened graph; may be asked from several threads at once."""

    @property
    def runtime(self) -> str:
        """Which library runs it, and on what: for people."""
        ...

    @property
    def precision(self) -> Precision:
        """The precision in which convolutions and matrix products are computed."""
        ...

    def run(self, names: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run the graph.

        Args:
            names: outputs, such as logits, features, maps, and boxes where the graph has them.
            inputs: `image`, float32 (N, 1, S, S) in [0, 1]; and `context`, (N, C) or (1, C), where the graph reads it:
                nothing is known beside the image where it is not given.

        Returns:
            The outputs in the order of their names, float32, N first.
        """
        ...


class OnnxSession:
    """A graph in ONNX Runtime, in float32."""

    precision: Precision = "float32"

    def __init__(self, session: Any) -> None:
        import onnxruntime

        self._session = session
        self.runtime = f"ONNX Runtime {onnxruntime.__version__}, {session.get_providers()[0]}"

    def run(self, names: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run the graph; see `Session.run`."""
        found: list[np.ndarray] = self._session.run(list(names), dict(inputs))
        return found


def open_session(graph: Path, threads: int, providers: Sequence[str] = (CPU,)) -> OnnxSession:
    """Open an ONNX graph in ONNX Runtime.

    Args:
        graph: the file.
        threads: for one image.
        providers: ONNX Runtime's names, the most wanted first. Those that are not installed are left out with a
            warning; the processor always comes last.

    Raises:
        BundleError: the graph cannot be read, or lacks an output.
        SettingsError: a provider has a name that ONNX Runtime does not know.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads starve their neighbours where several workers share a machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    chosen = choose_providers(providers)
    try:
        session = onnxruntime.InferenceSession(
            str(graph), options, providers=[(name, _OPTIONS.get(name, {})) for name in chosen]
        )
    except Exception as error:  # ONNX Runtime's own errors share no base below Exception
        raise BundleError(f"{graph} is not a graph that ONNX Runtime can read: {error}") from error
    if session.get_providers()[0] != chosen[0]:  # installed, but without a device or a driver
        _log.warning("%s does not start on this machine; %s runs the network.", chosen[0], session.get_providers()[0])
    require_outputs(graph, {output.name for output in session.get_outputs()})
    return OnnxSession(session)


def require_outputs(graph: Path, names: set[str]) -> None:
    """Refuse a graph that lacks an output.

    Raises:
        BundleError: names what is missing.
    """
    missing = set(OUTPUTS) - names
    if missing:
        raise BundleError(f"{graph} lacks the outputs {', '.join(sorted(missing))}.")


def choose_providers(wanted: Sequence[str]) -> list[str]:
    """Return the wanted providers that are installed, and the processor last.

    Raises:
        SettingsError: a name that ONNX Runtime does not know.
    """
    if tuple(wanted) in ((), (CPU,)):
        return [CPU]
    import onnxruntime

    from thorax.errors import nearest

    known = onnxruntime.get_all_providers()
    there = onnxruntime.get_available_providers()
    chosen = []
    for name in wanted:
        if name not in known:
            raise SettingsError(f"serve.providers: ONNX Runtime knows no provider {name!r}.", nearest(name, known))
        if name in there:
            chosen.append(name)
        else:
            _log.warning("%s is not installed (it has %s); the next one is taken.", name, ", ".join(there))
    return [name for name in chosen if name != CPU] + [CPU]
