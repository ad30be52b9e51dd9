"""Compiling the training pipeline to YAML: the same steps in the same order here and on a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING

from thorax.files import atomic_path
from thorax.settings import Settings

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent


def compile_training(settings: Settings, out: Path) -> Path:
    """Write the pipeline's YAML; the same settings give the same bytes, for this machine and for a cluster."""
    from pipelines.training import training

    return write_pipeline(training(settings.pipeline, settings.cluster), out)


def write_pipeline(pipeline: "BaseComponent", out: Path) -> Path:
    """Compile a pipeline to `out`, atomically."""
    from kfp import compiler

    with atomic_path(out) as temporary:
        written = temporary.with_suffix(".yaml")  # the compiler insists on the suffix
        compiler.Compiler().compile(pipeline, str(written))
        written.replace(temporary)
    return out
