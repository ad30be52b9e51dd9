"""In which precision a bundle's graph runs, and what that was measured to change when the bundle was written.

Calibration, operating points, out-of-distribution cut-offs and the reference table come from float32. In bfloat16
(8 bits of mantissa in convolutions and matrix products, sums in float32) a network answers about twice as fast, and
slightly otherwise. By how much is measured once, on images that the network was not trained on, and kept in
`bundle.json`. One rule, here, decides for whoever loads the bundle: the service, the batch, the pyfunc model.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from thorax.bundle import openvino
from thorax.bundle.session import CPU, OUTPUTS, Precision, Session, choose_providers, open_session
from thorax.errors import BundleError, SettingsError

if TYPE_CHECKING:
    from thorax.calibration import Calibration

#: What may be asked for; auto: the fastest whose answers are within the tolerance.
Wanted = Literal["auto", "float32", "bfloat16"]
#: Images on which the precisions are compared, at most.
IMAGES = 200
#: ms a pass in float32 below which nothing is gained: reading and preparing a file takes longer.
WORTH = 5.0
#: How much faster than float32 it must be.
GAIN = 1.1
#: How many times the largest difference that was measured a stored prediction may lie off on another processor.
_MARGIN = 2.0
_REPEATS = 7
_log = logging.getLogger("bentoml.thorax")


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Tolerance(_Shape):
    """How far answers may lie from those in float32 for `auto` to choose the faster precision.

    Attributes:
        probability: the largest difference of a calibrated probability.
        mean: the mean difference of calibrated probabilities.
        changed: the largest share of decisions, and of set-valued answers, that come out otherwise.
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
        answers: share of set-valued answers (present, absent, uncertain) that changed.
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
            ("the share of changed set-valued answers", self.answers, self.tolerance.changed),
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


def measure(graph: Path, calibration: "Calibration", images: np.ndarray, views: Sequence[str]) -> Record:
    """Compare bfloat16 with float32 on this machine.

    Args:
        graph: the ONNX file.
        calibration: of the bundle.
        images: uint8 (N, S, S), that the network was not trained on.
        views: of each; conformal cut-offs may differ between them.
    """
    if not openvino.has_bfloat16():
        return Record(note="bfloat16 was not measured: the machine that wrote the bundle does not have it")
    exact = open_session(graph, threads=1)
    before = _best(exact, images[:1])
    if before < WORTH:
        return Record(note=f"bfloat16 was not measured: a pass takes {before:.1f} ms in float32, so little is to gain")
    try:
        fast = openvino.open_openvino(graph, threads=1)
    except BundleError as error:
        _log.warning("bfloat16 is left out: %s", error)
        return Record(note="bfloat16 was not measured: OpenVINO cannot run this network")
    return Record(bfloat16=compare(exact, fast, calibration, images, views))


def compare(
    exact: Session, fast: Session, calibration: "Calibration", images: np.ndarray, views: Sequence[str]
) -> Measured:
    """Measure what one session's answers differ from another's; see `measure`."""
    one, other = (_answers(session, calibration, images, views) for session in (exact, fast))
    cutoff = float(calibration.ood_cutoff)
    times: dict[Session, float] = {exact: np.inf, fast: np.inf}
    for _ in range(_REPEATS):  # in turns, so that what else the machine does falls on both
        for session in times:
            times[session] = min(times[session], _best(session, images[:1], 1))
    return Measured(
        runtime=fast.runtime,
        processor=openvino.processor()[0],
        images=len(images),
        logits=_difference(one["logits"], other["logits"]),
        probabilities=_difference(one["probabilities"], other["probabilities"]),
        decisions=_changed(one["decisions"], other["decisions"]),
        answers=_changed(one["answers"], other["answers"]),
        novelty=_changed(one["novelty"] > cutoff, other["novelty"] > cutoff),
        novelty_score=_difference(one["novelty"] / cutoff, other["novelty"] / cutoff),
        milliseconds=round(times[fast], 2),
        milliseconds_float32=round(times[exact], 2),
    )


def _answers(
    session: Session, calibration: "Calibration", images: np.ndarray, views: Sequence[str]
) -> dict[str, np.ndarray]:
    logits, features, _ = (
        np.concatenate(part)
        for part in zip(*(session.run(OUTPUTS, feed(image[None])) for image in images), strict=True)
    )
    probabilities = calibration.probabilities(logits)
    return {
        "logits": logits,
        "probabilities": probabilities,
        "decisions": calibration.decisions(probabilities),
        "answers": calibration.conformal(probabilities, views),
        "novelty": calibration.ood_score(features, images),
    }


def told(record: Record) -> str:
    """Return the model card's section on precisions, as Markdown."""
    lines = ["## Precision", "", "Every figure above was measured in float32."]
    found = record.bfloat16
    if found is None:
        return "\n".join([*lines, f"In use it answers in float32 too: {record.note}.", ""])
    lines[-1] += (
        f" On {found.images} images of the calibration and test splits, {found.runtime} in bfloat16 on a machine with "
        f"{found.processor or 'a processor without a name'} differed from it so:"
    )
    rows = (
        ("calibrated probability, largest", f"{found.probabilities.largest:.2g}", f"{found.tolerance.probability:.2g}"),
        ("calibrated probability, mean", f"{found.probabilities.mean:.2g}", f"{found.tolerance.mean:.2g}"),
        ("decisions changed", f"{found.decisions:.2%}", f"{found.tolerance.changed:.2%}"),
        ("set-valued answers changed", f"{found.answers:.2%}", f"{found.tolerance.changed:.2%}"),
        ("out-of-distribution verdicts changed", f"{found.novelty:.2%}", f"{found.tolerance.novelty:.2%}"),
        ("logit, largest", f"{found.logits.largest:.2g}", ""),
        ("ms an image", f"{found.milliseconds:.1f} (float32: {found.milliseconds_float32:.1f})", ""),
    )
    objection = found.objection()
    verdict = (
        f"So it answers in float32: {objection}."
        if objection
        else "So a machine that has bfloat16 answers in it, and any other in float32; each answer names which."
    )
    table = ["| difference | found | at most |", "|---|---:|---:|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join([*lines, "", *table, "", verdict, ""])


def feed(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a graph is fed for uint8 images (N, S, S)."""
    return {"image": images[:, None].astype(np.float32) / np.float32(255)}


def _difference(one: np.ndarray, other: np.ndarray) -> Difference:
    apart = np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64))
    return Difference(largest=float(apart.max(initial=0.0)), mean=float(apart.mean()) if apart.size else 0.0)


def _changed(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean(one != other)) if one.size else 0.0


def _best(session: Session, image: np.ndarray, repeats: int = 3) -> float:
    """Return the least milliseconds that an image takes."""
    fed, run = feed(image), _timed(session.run)
    return min(run(OUTPUTS, fed) for _ in range(repeats))


def _timed(run: Callable[..., Any]) -> Callable[..., float]:
    def timed(*given: Any) -> float:
        began = time.perf_counter()
        run(*given)
        return (time.perf_counter() - began) * 1000

    return timed
