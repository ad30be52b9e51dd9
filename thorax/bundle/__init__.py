"""The model bundle: one folder that serving, batch prediction and the registry all read. No pickle anywhere.

`Bundle` reads and answers; `thorax.bundle.writing` makes one from the outputs of the training steps.
"""

from pathlib import Path
from typing import Any

from thorax.bundle.loading import Bundle, BundleInfo
from thorax.bundle.verify import FORMAT, REQUIRED, identity

__all__ = ["FORMAT", "REQUIRED", "Bundle", "BundleInfo", "identity", "write_bundle"]


def write_bundle(
    out: Path,
    *,
    train_dir: Path,
    calibration_dir: Path,
    evaluation_dir: Path,
    store_dir: Path,
    lineage: dict[str, Any],
) -> Path:
    """Make a bundle; see `thorax.bundle.writing.write_bundle`, which needs more than reading one does."""
    from thorax.bundle import writing

    return writing.write_bundle(
        out,
        train_dir=train_dir,
        calibration_dir=calibration_dir,
        evaluation_dir=evaluation_dir,
        store_dir=store_dir,
        lineage=lineage,
    )
