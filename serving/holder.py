"""The models that a worker serves, and how they are replaced without a pause.

A thread watches the pointer. A new bundle is read, checked against its digests, made to reproduce its stored
predictions and warmed up beside the old one; then one reference is exchanged. Requests keep the bundle that they
began with. A bundle that fails any of this leaves the old one serving.
"""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serving.pointer import Pointer, read_pointer
from serving.runtime import Runtime
from thorax.bundle import Bundle
from thorax.bundle.precision import Wanted
from thorax.errors import BundleError, ThoraxError

_NO_MODEL = "No model is being served yet."
_MEND = "Train and register one with `thorax pipeline run`, or promote one with `thorax models promote`."
_log = logging.getLogger("bentoml.thorax")


@dataclass(frozen=True)
class Problem:
    """Why the newest pointer is not what is served."""

    message: str
    mend: str


class Holder:
    """Holds the bundles in use; see the module's text.

    Args:
        pointer: the file to watch.
        poll_seconds: how often to look.
        challenger: whether to hold the challenger too.
        canary_share: of the images that the challenger answers for, 0 to 1.
        providers: ONNX Runtime's execution providers, the most wanted first.
        precision: in which networks run.
    """

    def __init__(
        self,
        pointer: Path,
        poll_seconds: float,
        challenger: bool = False,
        canary_share: float = 0.0,
        providers: tuple[str, ...] = ("CPUExecutionProvider",),
        precision: Wanted = "auto",
    ) -> None:
        self._path = pointer
        self._poll = poll_seconds
        self._wants_challenger = challenger
        self._share = canary_share
        self._providers = providers
        self._precision: Wanted = precision
        self._stop = threading.Event()
        self._seen: Pointer | None = None
        self._bundle: Bundle | None = None
        self._challenger: Bundle | None = None
        self.swaps = 0
        self.problem: Problem | None = None
        self.look()
        self._thread = threading.Thread(target=self._watch, name="bundle-watch", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, runtime: Runtime) -> "Holder":
        """Return a holder as a service's runtime wants it."""
        return cls(
            runtime.pointer,
            runtime.poll_seconds,
            runtime.wants_challenger,
            runtime.canary_share,
            runtime.providers,
            runtime.precision,
        )

    @property
    def ready(self) -> bool:
        """Whether there is a model to answer with."""
        return self._bundle is not None

    @property
    def challenger(self) -> Bundle | None:
        """The challenger, where one is wanted and could be loaded."""
        return self._challenger

    def get(self, image_digest: str = "") -> Bundle:
        """Return the bundle that answers.

        Args:
            image_digest: hex, salted; decides whether the challenger answers, so that the same image always gets the
                same model. The champion's bundle where none is given.

        Raises:
            BundleError: there is none; says what to do.
        """
        bundle = self._bundle
        if bundle is None:
            problem = self.problem or Problem(_NO_MODEL, _MEND)
            raise BundleError(problem.message, problem.mend)
        challenger = self._challenger
        if challenger is not None and self._share and image_digest and falls_to_canary(image_digest, self._share):
            return challenger
        return bundle

    def look(self) -> bool:
        """Look at the pointer once; return whether another champion is served from now on."""
        try:
            pointer = read_pointer(self._path)
        except ThoraxError as error:
            self._tell(error, "pointer")
            return False
        if pointer is None or pointer == self._seen:
            return False
        self._seen = pointer
        swapped = self._look_at_champion(pointer)
        if self._wants_challenger:
            self._look_at_challenger(pointer)
        return swapped

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _look_at_champion(self, pointer: Pointer) -> bool:
        if pointer.bundle is None:
            self.problem = Problem(pointer.note or _NO_MODEL, _MEND)
            return False
        self.problem = Problem(pointer.note, "") if pointer.note else None
        old = self._bundle
        if old is not None and (old.folder, old.version) == (pointer.bundle, pointer.version or old.version):
            return False
        try:
            new = self._load(pointer.bundle, pointer.version)
        except Exception as error:  # whatever a bad bundle does must not end the old one's service
            self._tell(error, "bundle")
            return False
        self._bundle = new
        self.swaps += old is not None
        _log.info(
            "Serving version %s from %s, in %s by %s: %s",
            new.version,
            new.folder,
            new.choice.precision,
            new.runtime,
            new.choice.why,
        )
        return True

    def _look_at_challenger(self, pointer: Pointer) -> None:
        place, version = pointer.challenger, pointer.challenger_version
        old = self._challenger
        if place is None:
            self._challenger = None
        elif old is None or (old.folder, old.version) != (place, version or old.version):
            self._challenger = None  # the one before is no longer the challenger, whatever comes of the new one
            try:
                self._challenger = self._load(place, version)
                _log.info("The challenger is version %s from %s", self._challenger.version, place)
            except Exception as error:
                _log.error("The challenger that the pointer names is left out: %s", error)

    def _load(self, place: Path, version: str | None) -> Bundle:
        bundle = Bundle.load(place, threads=1, version=version, providers=self._providers, precision=self._precision)
        warm_up(bundle)
        return bundle

    def _tell(self, error: Exception, what: str) -> None:
        if isinstance(error, ThoraxError):
            self.problem = Problem(error.message, error.mend)
            _log.error("The %s is not followed: %s", what, error)
        else:
            self.problem = Problem(f"The bundle that the pointer names cannot be loaded: {type(error).__name__}.", "")
            _log.error("The bundle that the pointer names is not served", exc_info=error)

    def _watch(self) -> None:
        while not self._stop.wait(self._poll):
            self.look()


def falls_to_canary(image_digest: str, share: float) -> bool:
    """Say whether an image is among the share that the challenger answers for.

    Args:
        image_digest: hex; its first 32 bits are as good as drawn at random.
        share: 0 to 1.
    """
    return int(image_digest[:8], 16) < share * 2**32


def warm_up(bundle: Bundle) -> None:
    """Run the network once on nothing, so that the first request finds memory and kernels in place."""
    size = bundle.info.size
    bundle.run(np.zeros((1, size, size), np.uint8))
