"""From an image's bytes to an answer that is in the log: the one path of every request."""

import contextvars
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.call import current
from serving.contract import BatchAnswer, BatchItem
from serving.holder import Holder
from serving.instruments import Instruments
from serving.refusals import status_of
from serving.room import PixelRoom
from serving.runtime import Runtime
from serving.shadow import Shadow
from serving.unpacking import Bounds, Item, unpack
from serving.upload import Upload, with_given
from thorax.errors import RoomError, ThoraxError
from thorax.imaging import claimed_pixels, read_image_bytes
from thorax.prediction import Prediction, new_request_id, now
from thorax.prediction_log import PredictionLog

if TYPE_CHECKING:
    from thorax.bundle import Bundle
    from thorax.imaging import Radiograph


@dataclass(frozen=True)
class Scored:
    """An answer, and what is needed to draw it: the bundle that gave it, and what it was given for."""

    prediction: Prediction
    bundle: "Bundle"
    radiograph: "Radiograph"


class Scorer:
    """What a worker answers with; every method may be called from several threads at once."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.instruments = Instruments()
        self.holder = Holder.of(runtime)
        self.log = PredictionLog(runtime.log, salt=runtime.folder / "salt")
        waiting = runtime.shadow_waiting
        # As many as the largest picture that is let in has.
        self.room = PixelRoom(runtime.max_pixels)
        self.shadow = Shadow(self.holder, self.instruments, self.log, waiting) if runtime.shadow else None

    def failed(self, status: int) -> None:
        """Count a request that was refused or failed, and keep that it was: monitoring watches their share."""
        self.instruments.refused.labels(status=str(status)).inc()
        with suppress(ThoraxError):  # a log that cannot take it must not turn a refusal into another
            self.log.write_failure(current.get().request_id, status, now())

    def score(
        self, image: bytes, age: float | None = None, sex: str | None = None, view: str | None = None, name: str = ""
    ) -> Scored:
        """Read, score and log one image.

        Args:
            image: the file's bytes.
            age: years, as the sender gave it; it wins over what the file says, and so do the next two.
            sex: F or M.
            view: PA, AP or LATERAL.
            name: the id of the answer; that of the request where it is not given.

        Raises:
            ThoraxError: it cannot be read, there is no model, or the log cannot take it.
        """
        stage, call = self.instruments.stage, current.get()
        if not name:  # the files of a batch wait for each other
            self.instruments.took("queue", time.perf_counter() - call.arrived)
        digest = self.log.digest(image)
        bundle = self.holder.get(digest)
        with self.room.hold(min(claimed_pixels(image), self.runtime.max_pixels)):
            with stage("decode"):
                radiograph = read_image_bytes(image, max_pixels=self.runtime.max_pixels, accept=self.runtime.dicom)
            radiograph = with_given(radiograph, age, sex, view)
            with self.instruments.scoring():
                found = bundle.predict([radiograph], stage)[0]
        prediction = found.model_copy(update={"request_id": name or call.request_id})
        with stage("log"):
            self._keep(prediction, digest)
        call.version = prediction.model.version
        self.instruments.count(prediction)
        self.instruments.serves(self.holder)
        if self.shadow is not None:
            self.shadow.offer(radiograph, prediction)
        # The log and the challenger have the whole answer: monitoring must see what the model does out there.
        return Scored(prediction.withhold() if self.runtime.withhold else prediction, bundle, radiograph)

    def _keep(self, prediction: Prediction, digest: str) -> None:
        """Put an answer into the log before it leaves; where the settings say so, a full disk does not keep it back."""
        try:
            self.log.write(prediction, digest)
        except RoomError as error:
            if self.runtime.log_full == "refuse":
                raise
            current.get().unlogged = error.message
            self.instruments.unlogged.inc()

    def batch(self, uploads: Sequence[Upload]) -> BatchAnswer:
        """Answer for many files; one that cannot be answered for says why, and spoils no other.

        Raises:
            ThoraxError: the whole batch is refused: it is too large, there is no model, or the log cannot take it.
        """
        self.holder.get()
        runtime = self.runtime
        items = unpack(uploads, Bounds(runtime.max_batch_files, runtime.max_upload_bytes, runtime.max_batch_bytes))
        current.get().charge(len(items) - 1)
        with ThreadPoolExecutor(runtime.threads, thread_name_prefix="batch") as pool:
            jobs = [pool.submit(contextvars.copy_context().run, self._item, at, item) for at, item in enumerate(items)]
            answers = tuple(job.result() for job in jobs)
        answered = sum(answer.prediction is not None for answer in answers)
        return BatchAnswer(answers=answers, answered=answered, refused=len(answers) - answered)

    def _item(self, index: int, item: Item) -> BatchItem:
        try:
            if isinstance(item.content, ThoraxError):
                raise item.content
            prediction = self.score(item.content, name=new_request_id()).prediction
        except ThoraxError as error:
            if status_of(error) >= 500:
                raise  # not the file's fault, and the same for all that follow
            return BatchItem(index=index, name=item.name[:255], error=error.message, mend=error.mend)
        return BatchItem(index=index, name=item.name[:255], prediction=prediction.model_copy(update={"maps": None}))
