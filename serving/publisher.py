"""Follow the registry's champion, and tell the workers by the pointer."""

import logging
import threading

from serving.pointer import Pointer, read_pointer, write_pointer
from serving.runtime import Runtime
from thorax.errors import GateError, RegistryError, ThoraxError
from thorax.settings import Settings

ALIAS = "champion"
_log = logging.getLogger("thorax.publisher")


class Publisher:
    """A thread that resolves the alias, fetches its bundle and replaces the pointer.

    It lives in the process that starts the service, so that no worker ever imports MLflow. While the registry cannot
    be reached, the last bundle goes on being served, and the pointer's note says so.

    Args:
        settings: where the registry is.
        runtime: of the service.
    """

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self._settings = settings
        self._path = runtime.pointer
        self._poll = runtime.poll_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="publisher", daemon=True)
        self._published: tuple[str, str] | None = None
        self.settled = False
        self.problem: ThoraxError | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join(timeout=10)

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
        found = (version.version, version.bundle_digest)
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
        if read_pointer(self._path) != pointer:
            write_pointer(self._path, pointer)
            _log.info("Version %s is published", version.version)
        self._published = found

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
        while True:
            self.look()
            self.settled = True
            if self._stop.wait(self._poll):
                return
