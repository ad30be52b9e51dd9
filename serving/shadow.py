"""The challenger scores what the champion answered for, off the request's path.

Images wait in a short queue for one thread, which works only while a core is free. When the queue is full, an image is
left out: the challenger never makes anyone wait, and what it said is counted and logged beside the champion's answer.
"""

import logging
import os
import queue
import threading
import time

from serving.holder import Holder
from serving.instruments import Instruments
from thorax.imaging import Radiograph
from thorax.prediction import Prediction
from thorax.prediction_log import PredictionLog

#: Above this many bytes of waiting pixels an image is left out too: a film of 50 megapixels is 200 MB.
MOST_BYTES = 64 << 20
#: Seconds between looks for a free core. (A thread of low priority would hold Python's lock while it waits for one.)
_PAUSE = 0.02
_log = logging.getLogger("bentoml.thorax")


class Shadow:
    """Scores images with the challenger; see the module's text.

    Args:
        holder: has the challenger of now, or none.
        instruments: count agreement.
        log: keeps the challenger's answers.
        waiting: images that may wait.
    """

    def __init__(self, holder: Holder, instruments: Instruments, log: PredictionLog, waiting: int) -> None:
        self._holder = holder
        self._instruments = instruments
        self._log = log
        self._queue: queue.Queue[tuple[Radiograph, Prediction] | None] = queue.Queue(waiting)
        self._bytes = 0
        self._cores = os.cpu_count() or 1
        self._ending = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, radiograph: Radiograph, prediction: Prediction) -> bool:
        """Offer an image that was answered for; return whether the challenger will see it. Never waits."""
        challenger = self._holder.challenger
        if challenger is None or challenger.version == prediction.model.version:
            return False
        size = radiograph.pixels.nbytes
        with self._lock:
            if self._bytes + size > MOST_BYTES:
                self._instruments.left_out.inc()
                return False
            self._bytes += size
        try:
            self._queue.put_nowait((radiograph, prediction.model_copy(update={"maps": None})))
        except queue.Full:
            self._give_back(size)
            self._instruments.left_out.inc()
            return False
        return True

    def close(self) -> None:
        """Stop when what waits now is done."""
        self._ending = True
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _give_back(self, size: int) -> None:
        with self._lock:
            self._bytes -= size

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            radiograph, champion = item
            while self._instruments.scoring_now >= self._cores and not self._ending:
                time.sleep(_PAUSE)
            try:
                self._score(radiograph, champion)
            except Exception as error:  # a challenger's failure is its own
                _log.error("The challenger failed on request %s: %s", champion.request_id, error)
            finally:
                self._give_back(radiograph.pixels.nbytes)

    def _score(self, radiograph: Radiograph, champion: Prediction) -> None:
        bundle = self._holder.challenger
        if bundle is None:
            return
        with self._instruments.stage("shadow"):
            found = bundle.predict([radiograph])[0]
        self._instruments.compare(champion, found)
        self._log.write_shadow(champion, found)
