"""In which precision a bundle's graph runs, and what that was measured to change when the bundle was written.

Calibration, operating points, out-of-distribution cut-offs and the reference table come from float32. In bfloat16
(8 bits of mantissa in convolutions and matrix products, sums in float32) a network answers about twice as fast, and
slightly otherwise. By how much is measured once, on images that the network was not trained on, and kept in
`bundle.json`. One rule, here, decides for whoever loads the bundle: the service, the batch, the pyfunc model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from thorax.bundle import openvino
from thorax.bundle.session import CPU, Precision, Session, choose_providers, open_session
from thorax.errors import SettingsError

#: What may be asked for; auto: the fastest whose answers are within the tolerance.
Wanted = Literal["auto", "float32", "bfloat16"]
#: How much faster than float32 it must be.
GAIN = 1.1
#: How many times the largest difference that was measured a stored prediction may lie off on another processor.
_MARGIN = 2.0


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Tolerance(_Shape):
    """How far answers may lie from those in float32 for `auto` to choose the faster precision.

    Attributes:
        probability: the largest difference of a calibrated probability.
        mean: the mean difference of calibrated probabilities.
        changed: the largest share of decisions, and of answers, that come out otherwise.
        novelty: the largest share of images whose out-of-distribution verdict comes out otherwise.
    """

    probability: float = 0.05
    mean: float = 0.005
    changed: float = 0.01
    novelty: float = 0.01


class Difference(_Shape):
    """The largest and the mean absolute difference from float32."""

    largest: float
    mean: float


class Measured(_Shape):
    """What a precision was measured to change and to gain, on one machine, when the bundle was written.

    Attributes:
        runtime: and its version.
        processor: of the machine.
        images: that were compared, of the calibration and test splits.
        logits: differences of raw outputs.
        probabilities: differences of calibrated probabilities.
        decisions: share that changed.
        answers: share of answers (present, absent, uncertain) that changed.
        novelty: share of out-of-distribution verdicts that changed.
        novelty_score: differences of the score as shares of its cut-off.
        milliseconds: an image, one thread, at best.
        milliseconds_float32: likewise, in float32.
        tolerance: that was stated then.
    """

    runtime: str
    processor: str
    images: int
    logits: Difference
    probabilities: Difference
    decisions: float
    answers: float
    novelty: float
    novelty_score: Difference
    milliseconds: float
    milliseconds_float32: float
    tolerance: Tolerance = Tolerance()

    def objection(self) -> str:
        """Say why it is not to be used, or nothing."""
        for what, found, most in (
            ("the largest difference of a probability", self.probabilities.largest, self.tolerance.probability),
            ("the mean difference of probabilities", self.probabilities.mean, self.tolerance.mean),
            ("the share of changed decisions", self.decisions, self.tolerance.changed),
            ("the share of changed answers", self.answers, self.tolerance.changed),
            ("the share of changed out-of-distribution verdicts", self.novelty, self.tolerance.novelty),
        ):
            if not found <= most:  # also catches not-a-number
                return f"{what} was {found:.2g}, beyond {most:.2g}"
        if self.milliseconds * GAIN > self.milliseconds_float32:
            return f"it took {self.milliseconds:.1f} ms an image where float32 took {self.milliseconds_float32:.1f} ms"
        return ""


class Record(_Shape):
    """What `bundle.json` holds of precisions: what was measured of bfloat16, or why nothing was."""

    bfloat16: Measured | None = None
    note: str = ""


class Choice(_Shape):
    """Which precision runs, and why, in words."""

    precision: Precision
    why: str


def choose(wanted: Wanted, record: Record | None, providers: Sequence[str] = (CPU,)) -> Choice:
    """Decide in which precision a bundle runs on this machine.

    Args:
        wanted: of the settings.
        record: of the bundle; None in one that was made before there was any.
        providers: ONNX Runtime's, as they are wanted; a GPU computes in float32.

    Raises:
        SettingsError: bfloat16 is demanded where it cannot be had.
    """
    if wanted == "float32":
        return Choice(precision="float32", why="the settings say so")
    objection = _objection(wanted, record, providers)
    if wanted == "bfloat16":
        if objection:
            raise SettingsError(
                f"serve.precision: bfloat16 cannot be had: {objection}.", "Set serve.precision to auto, or float32."
            )
        return Choice(precision="bfloat16", why="the settings say so")
    if objection:
        return Choice(precision="float32", why=objection)
    assert record is not None and record.bfloat16 is not None  # `_objection` has seen to it
    most = record.bfloat16.probabilities.largest
    return Choice(precision="bfloat16", why=f"no probability moved by more than {most:.2g} when it was measured")


def _objection(wanted: Wanted, record: Record | None, providers: Sequence[str]) -> str:
    if choose_providers(providers)[0] != CPU:
        return "a GPU runs the network, in float32"
    if wanted == "auto":  # whoever demands it need not be content with what was measured
        if record is None or record.bfloat16 is None:
            return (record and record.note) or "the bundle does not say what bfloat16 changes"
        objection = record.bfloat16.objection()
        if objection:
            return f"in bfloat16, {objection}"
    return "" if openvino.has_bfloat16() else "this processor has no bfloat16, or OpenVINO is missing"


def open_chosen(graph: Path, choice: Choice, threads: int, providers: Sequence[str] = (CPU,)) -> Session:
    """Open a graph in the precision that was chosen.

    Raises:
        BundleError: the runtime cannot read it.
        SettingsError: a provider has a name that ONNX Runtime does not know.
    """
    if choice.precision == "bfloat16":
        return openvino.open_openvino(graph, threads, "bfloat16")
    return open_session(graph, threads, providers)


def allowed(precision: Precision, record: Record | None) -> float | None:
    """Return how far a stored logit, of float32, may be off in a precision; None for float32's own tolerance."""
    if precision == "float32":
        return None
    measured = record.bfloat16 if record is not None else None
    return max(_MARGIN * measured.logits.largest, 1e-3) if measured is not None else 0.1


def feed(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a graph is fed for uint8 images (N, S, S)."""
    return {"image": images[:, None].astype(np.float32) / np.float32(255)}
