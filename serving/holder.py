"""The model that a worker serves, and how it is replaced without a pause.

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
from thorax.bundle import Bundle
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
    """Holds the bundle in use; see the module's text.

    Args:
        pointer: the file to watch.
        poll_seconds: how often to look.
    """

    def __init__(self, pointer: Path, poll_seconds: float) -> None:
        self._path = pointer
        self._poll = poll_seconds
        self._stop = threading.Event()
        self._seen: Pointer | None = None
        self._bundle: Bundle | None = None
        self.swaps = 0
        self.problem: Problem | None = None
        self.look()
        self._thread = threading.Thread(target=self._watch, name="bundle-watch", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether there is a model to answer with."""
        return self._bundle is not None

    def get(self) -> Bundle:
        """Return the bundle in use.

        Raises:
            BundleError: there is none; says what to do.
        """
        bundle = self._bundle
        if bundle is None:
            problem = self.problem or Problem(_NO_MODEL, _MEND)
            raise BundleError(problem.message, problem.mend)
        return bundle

    def look(self) -> bool:
        """Look at the pointer once; return whether another bundle is served from now on."""
        try:
            pointer = read_pointer(self._path)
            if pointer is None or pointer == self._seen:
                return False
            self._seen = pointer
            if pointer.bundle is None:
                self.problem = Problem(pointer.note or _NO_MODEL, _MEND)
                return False
            self.problem = Problem(pointer.note, "") if pointer.note else None
            old = self._bundle
            if old is not None and (old.folder, old.version) == (pointer.bundle, pointer.version or old.version):
                return False
            new = Bundle.load(pointer.bundle, threads=1, version=pointer.version)
            warm_up(new)
        except ThoraxError as error:
            self.problem = Problem(error.message, error.mend)
            _log.error("The bundle that the pointer names is not served: %s", error)
            return False
        except Exception as error:  # whatever a bad bundle does must not end the old one's service
            self.problem = Problem(f"The bundle that the pointer names cannot be loaded: {type(error).__name__}.", "")
            _log.exception("The bundle that the pointer names is not served")
            return False
        self._bundle = new
        self.swaps += old is not None
        _log.info("Serving version %s from %s", new.version, new.folder)
        return True

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._stop.wait(self._poll):
            self.look()


def warm_up(bundle: Bundle) -> None:
    """Run the network once on nothing, so that the first request finds memory and kernels in place."""
    size = bundle.info.size
    bundle.run(np.zeros((1, size, size), np.uint8))
