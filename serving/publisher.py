"""Follow the registry's champion, and tell the workers by the pointer."""

import logging
import threading
from typing import TYPE_CHECKING

from serving.pointer import Pointer, read_pointer, write_pointer
from serving.runtime import Runtime
from serving.security.journals import AuditLog
from thorax.errors import GateError, RegistryError, ThoraxError
from thorax.settings import Settings

if TYPE_CHECKING:
    from thorax.registry.versions import Version

ALIAS, CHALLENGER = "champion", "challenger"
_log = logging.getLogger("thorax.publisher")


class Publisher:
    """A thread that resolves the aliases, fetches their bundles and replaces the pointer.

    It lives in the process that starts the service, so that no worker ever imports MLflow. While the registry cannot
    be reached, the last bundle goes on being served, and the pointer's note says so.

    Args:
        settings: where the registry is.
        runtime: of the service.
    """

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self._settings = settings
        self._path = runtime.pointer
        self._audit = AuditLog(runtime.audit)
        self._poll = runtime.poll_seconds
        self._wants_challenger = runtime.wants_challenger
        self._canary = runtime.canary_share > 0
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="publisher", daemon=True)
        self._published: tuple[tuple[str, str] | None, ...] = ()
        self.settled = False
        self.problem: ThoraxError | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def wake(self) -> None:
        """Look at once instead of at the next poll; returns immediately."""
        self._wake.set()

    def look(self) -> None:
        """Look at the registry once, and replace the pointer where it says something new."""
        try:
            self._publish()
            self.problem = None
        except ThoraxError as error:
            self._keep(error)
        except Exception as error:  # a registry may fail in ways of its own; the old model goes on
            _log.exception("The registry could not be asked")
            self._keep(RegistryError(f"The registry could not be asked: {type(error).__name__}: {error}"))

    def _publish(self) -> None:
        from thorax.registry import bundles, versions

        version = versions.resolve(self._settings, ALIAS)
        challenger = self._challenger()
        found = tuple((one.version, one.bundle_digest) if one else None for one in (version, challenger))
        if found == self._published and self.problem is None:
            return
        if not version.servable:
            raise GateError(
                f"Version {version.version} is the champion, but its gates did not all pass and nobody forced it "
                "with a reason; it is not served.",
                "Promote a version that passed, with `thorax models promote`.",
            )
        folder = bundles.fetch_version(self._settings, version)
        pointer = Pointer(bundle=folder, version=version.version, alias=ALIAS)
        if challenger is not None and challenger.version != version.version:
            try:
                place = bundles.fetch_version(self._settings, challenger)
                pointer = pointer.model_copy(update={"challenger": place, "challenger_version": challenger.version})
            except ThoraxError as error:  # the champion does not wait for it
                _log.warning("The challenger cannot be fetched: %s", error)
        old = read_pointer(self._path)
        if old != pointer:
            write_pointer(self._path, pointer)
            _log.info("Version %s is published", version.version)
            if old is None or (old.bundle, old.version) != (pointer.bundle, pointer.version):
                self._audit.write("champion", version=pointer.version, instead_of=old.version if old else None)
        self._published = found

    def _challenger(self) -> "Version | None":
        """Return the challenger, where it is wanted; one that answers callers must have passed its gates too."""
        from thorax.registry import versions

        if not self._wants_challenger or CHALLENGER not in versions.aliases(self._settings):
            return None
        version = versions.resolve(self._settings, CHALLENGER)
        if self._canary and not version.servable:
            _log.warning("Version %s is the challenger, but did not pass its gates; it answers nobody", version.version)
            return None
        return version

    def _keep(self, error: ThoraxError) -> None:
        """Leave the bundle that was published last, and note why it may not be the newest."""
        self.problem = error
        old = read_pointer(self._path)
        if old is None or old.bundle is None or not old.bundle.is_dir():
            pointer = Pointer(bundle=None, note=str(error))
        else:
            pointer = old.model_copy(update={"note": f"This may not be the newest model: {error}"})
        if pointer != old:
            write_pointer(self._path, pointer)
            _log.warning("%s", error)

    def _follow(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self.look()
            self.settled = True
            self._wake.wait(self._poll)
