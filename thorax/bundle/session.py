"""ONNX Runtime on whatever this machine has: the processor, or a GPU where one is wanted and there."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax.errors import BundleError, SettingsError

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
#: Full 32 bit precision: a bundle's stored predictions must be reproduced to 1e-4.
_OPTIONS: dict[str, dict[str, Any]] = {"CUDAExecutionProvider": {"use_tf32": 0}}
_log = logging.getLogger("bentoml.thorax")


def open_session(graph: Path, threads: int, providers: Sequence[str] = (CPU,)) -> "onnxruntime.InferenceSession":
    """Open an ONNX graph.

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
    missing = {"logits", "features", "maps"} - {output.name for output in session.get_outputs()}
    if missing:
        raise BundleError(f"{graph} lacks the outputs {', '.join(sorted(missing))}.")
    return session


def choose_providers(wanted: Sequence[str]) -> list[str]:
    """Return the wanted providers that are installed, and the processor last.

    Raises:
        SettingsError: a name that ONNX Runtime does not know.
    """
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
