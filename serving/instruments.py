"""What Prometheus can ask of the service, beside BentoML's own figures; and the spans of the same stages."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from serving import tracing
from thorax.prediction import Prediction

if TYPE_CHECKING:
    from serving.holder import Holder

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_DIFFERENCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


class Instruments:
    """The figures of one worker; made once a process, after BentoML has named the folder that they share."""

    def __init__(self) -> None:
        self.stages = Histogram(
            "thorax_stage_seconds", "Seconds spent in a stage of an answer", ["stage"], buckets=_BUCKETS
        )
        self.batches = Histogram("thorax_batch_size", "Images that one pass of the network scored", buckets=_SIZES)
        self.predictions = Counter("thorax_predictions", "Predictions made", ["version"])
        self.present = Counter("thorax_findings_present", "Findings answered present", ["finding"])
        self.answers = Counter("thorax_finding_answers", "Answers: present, absent or uncertain", ["finding", "answer"])
        self.novel = Counter("thorax_out_of_distribution", "Images outside the model's training data")
        self.outside = Counter("thorax_outside_scope", "Images outside the scope of use, by declared fact", ["fact"])
        self.referred = Counter("thorax_referred", "Images referred to a radiologist")
        self.refused = Counter("thorax_refused", "Requests refused", ["status"])
        self.unlogged = Counter("thorax_unlogged", "Answers that left though the log had no room for them")
        self.serving = Gauge(
            "thorax_model_serving", "1 for the version that answers", ["version"], multiprocess_mode="mostrecent"
        )
        self.precision = Gauge(
            "thorax_model_precision", "1 for the precision that answers", ["precision"], multiprocess_mode="mostrecent"
        )
        self.stale = Gauge(
            "thorax_model_stale", "1 while the newest model cannot be served", multiprocess_mode="mostrecent"
        )
        self.swaps = Gauge("thorax_model_swaps", "Models replaced without a restart", multiprocess_mode="max")
        self.side_by_side = Gauge(
            "thorax_scored_side_by_side", "The most images that were scored at once", multiprocess_mode="max"
        )
        self.shadowed = Counter("thorax_shadow_scored", "Images that the challenger scored too", ["version"])
        self.left_out = Counter("thorax_shadow_dropped", "Images that the challenger had no time for")
        self.agreement = Counter(
            "thorax_shadow_decisions", "Answers of the challenger that agree with the champion's", ["finding", "agrees"]
        )
        self.difference = Histogram(
            "thorax_shadow_difference", "How far the challenger's probability lies off", ["finding"],
            buckets=_DIFFERENCES,
        )  # fmt: skip
        self._scoring, self._most, self._version = 0, 0, ""
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, and make it a span of the request's trace."""
        start = time.perf_counter()
        with tracing.span(name):
            try:
                yield
            finally:
                self.took(name, time.perf_counter() - start)

    def took(self, name: str, seconds: float) -> None:
        """Keep how long a stage took that was timed elsewhere."""
        self.stages.labels(stage=name).observe(seconds)

    @property
    def scoring_now(self) -> int:
        """How many images are being scored for callers."""
        return self._scoring

    @contextmanager
    def scoring(self, images: int = 1) -> Iterator[None]:
        """Count images among those that are being scored."""
        self.batches.observe(images)
        with self._lock:
            self._scoring += images
            if self._scoring > self._most:
                self._most = self._scoring
                self.side_by_side.set(self._most)
        try:
            yield
        finally:
            with self._lock:
                self._scoring -= images

    def serves(self, holder: "Holder") -> None:
        """Keep which version answers, how often it was replaced, and whether the newest one could not be loaded."""
        self.swaps.set(holder.swaps)
        self.stale.set(int(holder.problem is not None))
        bundle = holder.get()
        version = bundle.version
        if version != self._version:
            if self._version:
                self.serving.labels(version=self._version).set(0)
            self._version = version
            self.serving.labels(version=version).set(1)
            for name in ("float32", "bfloat16"):
                self.precision.labels(precision=name).set(int(name == bundle.choice.precision))

    def count(self, prediction: Prediction) -> None:
        """Count an answer."""
        self.predictions.labels(version=prediction.model.version).inc()
        if prediction.novelty.out:
            self.novel.inc()
        for fact in prediction.outside_scope:
            self.outside.labels(fact=fact).inc()
        if prediction.refer:
            self.referred.inc()
        for answer in prediction.findings:
            self.answers.labels(finding=answer.finding, answer=answer.answer).inc()
            if answer.answer == "present":
                self.present.labels(finding=answer.finding).inc()

    def compare(self, champion: Prediction, challenger: Prediction) -> None:
        """Count where the challenger decides as the champion did, on the findings that both know."""
        self.shadowed.labels(version=challenger.model.version).inc()
        others = {answer.finding: answer for answer in challenger.findings}
        for answer in champion.findings:
            other = others.get(answer.finding)
            if other is not None:
                agrees = "yes" if answer.answer == other.answer else "no"
                self.agreement.labels(finding=answer.finding, agrees=agrees).inc()
                self.difference.labels(finding=answer.finding).observe(abs(answer.probability - other.probability))
