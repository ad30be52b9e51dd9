"""Calibrators, operating points, answers, uncertainty and out-of-distribution scores.

Importing it is light (NumPy and safetensors): serving applies a `Calibration`. Fitting imports SciPy where it needs it.
"""

from typing import TYPE_CHECKING, Any

from thorax.calibration.model import Calibration, FindingCalibration

if TYPE_CHECKING:
    from thorax.calibration.run import calibrate, fit

__all__ = ["Calibration", "FindingCalibration", "calibrate", "fit"]


def __getattr__(name: str) -> Any:
    """Import the fitting only when it is asked for: it reads the settings, which serving does not need here."""
    if name in ("calibrate", "fit"):
        from thorax.calibration import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
