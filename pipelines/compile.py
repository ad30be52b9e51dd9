"""Compiling the training pipeline to the one YAML that this machine and a cluster both run."""

from pathlib import Path

from thorax.files import atomic_path
from thorax.settings import Settings


def compile_training(settings: Settings, out: Path) -> Path:
    """Write the pipeline's YAML to `out`; the same settings give the same bytes."""
    from kfp import compiler

    from pipelines.training import training

    pipeline = training(parallel=settings.pipeline.parallel, caching=settings.pipeline.caching)
    with atomic_path(out) as temporary:
        written = temporary.with_suffix(".yaml")  # the compiler insists on the suffix
        compiler.Compiler().compile(pipeline, str(written))
        written.replace(temporary)
    return out
