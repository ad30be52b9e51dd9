"""What Prometheus can ask of the service, beside BentoML's own figures."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from thorax.prediction import Prediction

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Instruments:
    """The figures of one worker; made once a process, after BentoML has named the folder that they share."""

    def __init__(self) -> None:
        self.stages = Histogram(
            "thorax_stage_seconds", "Seconds spent in a stage of an answer", ["stage"], buckets=_BUCKETS
        )
        self.predictions = Counter("thorax_predictions", "Predictions made", ["version"])
        self.present = Counter("thorax_findings_present", "Findings at or above their operating point", ["finding"])
        self.novel = Counter("thorax_out_of_distribution", "Images unlike those the model knows")
        self.refused = Counter("thorax_refused", "Requests refused", ["status"])
        self.side_by_side = Gauge(
            "thorax_scored_side_by_side", "The most images that were scored at once", multiprocess_mode="max"
        )
        self._scoring, self._most = 0, 0
        self._lock = threading.Lock()
        self.swaps = Gauge("thorax_model_swaps", "Models replaced without a restart", multiprocess_mode="max")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages.labels(stage=name).observe(time.perf_counter() - start)

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Count an image among those that are being scored."""
        with self._lock:
            self._scoring += 1
            if self._scoring > self._most:
                self._most = self._scoring
                self.side_by_side.set(self._most)
        try:
            yield
        finally:
            with self._lock:
                self._scoring -= 1

    def count(self, prediction: Prediction) -> None:
        """Count an answer."""
        self.predictions.labels(version=prediction.model.version).inc()
        if prediction.novelty.out:
            self.novel.inc()
        for answer in prediction.findings:
            if answer.decision:
                self.present.labels(finding=answer.finding).inc()
