"""Compiling the training pipeline to YAML: the same steps in the same order here and on a cluster."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from thorax.files import atomic_path
from thorax.settings import Settings
from thorax.weights import moving

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent


def compile_training(settings: Settings, out: Path) -> Path:
    """Write the pipeline's YAML; the same settings give the same bytes, for this machine and for a cluster."""
    from pipelines.training import training

    return write_pipeline(lambda: training(settings.pipeline, settings.steps_cluster, moving(settings)), out)


def write_pipeline(make: "Callable[[], BaseComponent]", out: Path) -> Path:
    """Compile the pipeline that `make` returns to `out`, atomically.

    It is done in a thread of its own: whenever a task is given something, the SDK looks up the source of every caller
    there is among all imported modules. Below a test runner, or a command that has much imported, that is ten times as
    much work as the rest.
    """
    from kfp import compiler

    with atomic_path(out) as temporary, ThreadPoolExecutor(1) as alone:
        written = temporary.with_suffix(".yaml")  # the compiler insists on the suffix
        alone.submit(lambda: compiler.Compiler().compile(make(), str(written))).result()
        written.replace(temporary)
    return out
