"""What a service worker must know, handed over in one file by whoever starts it."""

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from thorax.errors import SettingsError
from thorax.files import read_json, write_text
from thorax.prediction_log import log_path
from thorax.settings import Settings

#: Names the file for the processes that are started; the service is imported by BentoML, which passes no arguments.
VARIABLE = "THORAX_SERVING"


class Runtime(BaseModel):
    """Places and limits of one started service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    log: Path
    threads: int
    workers: int
    max_upload_bytes: int
    max_pixels: int
    poll_seconds: float
    #: Requests that may wait or be scored at once in one worker; more are told to come again.
    max_waiting: int = 64
    #: A body that takes longer than this to arrive is given up.
    upload_seconds: float = 30.0

    @property
    def pointer(self) -> Path:
        """The file that says which bundle to serve."""
        return self.folder / "pointer.json"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Derive from the settings."""
        serve = settings.serve
        return cls(
            folder=settings.var / "serving",
            log=log_path(settings.var),
            threads=serve.threads or os.cpu_count() or 1,
            workers=serve.workers,
            max_upload_bytes=serve.max_upload_mib << 20,
            max_pixels=serve.max_pixels,
            poll_seconds=serve.poll_seconds,
        )

    def write(self, path: Path) -> None:
        """Write the file that workers read."""
        write_text(path, self.model_dump_json(indent=2))

    @classmethod
    def read(cls) -> Self:
        """Read the file that the environment names.

        Raises:
            SettingsError: the environment names none; the service was started by something else than Thorax.
        """
        named = os.environ.get(VARIABLE)
        if not named:
            raise SettingsError(f"{VARIABLE} is not set.", "Start the service with `thorax serve`.")
        return cls.model_validate(read_json(named))
