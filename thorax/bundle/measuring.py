"""Measure what bfloat16 changes of a network's answers, and what it gains: once, when its bundle is written."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.bundle import openvino
from thorax.bundle.precision import Difference, Measured, Record, feed
from thorax.bundle.session import OUTPUTS, Session, open_session
from thorax.errors import BundleError

if TYPE_CHECKING:
    from thorax.calibration import Calibration

#: Images on which the precisions are compared, at most.
IMAGES = 200
#: ms a pass in float32 below which nothing is gained: reading and preparing a file takes longer.
WORTH = 5.0
_REPEATS = 7
_log = logging.getLogger("bentoml.thorax")


def measure(graph: Path, calibration: "Calibration", images: np.ndarray, views: Sequence[str]) -> Record:
    """Compare bfloat16 with float32 on this machine.

    Args:
        graph: the ONNX file.
        calibration: of the bundle.
        images: uint8 (N, S, S), that the network was not trained on.
        views: of each; cut-offs may differ between them.
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
        ("answers changed", f"{found.answers:.2%}", f"{found.tolerance.changed:.2%}"),
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
        "answers": calibration.answers(probabilities, views),
        "novelty": calibration.ood_score(features, images),
    }


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
