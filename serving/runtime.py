"""What a service worker must know, handed over in one file by whoever starts it."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from thorax.errors import SettingsError
from thorax.files import read_json, write_text
from thorax.prediction_log import place_of
from thorax.settings import Dicom, Settings

#: Names the file for the processes that are started; the service is imported by BentoML, which passes no arguments.
VARIABLE = "THORAX_SERVING"


class Runtime(BaseModel):
    """Places and limits of one started service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    #: The prediction log: a SQLite file, or PostgreSQL's address.
    log: str
    threads: int
    workers: int
    max_upload_bytes: int
    max_pixels: int
    #: Which DICOM images are taken.
    dicom: Dicom = Dicom()
    poll_seconds: float
    #: Requests that may wait or be scored at once in one worker; more are told to come again.
    max_waiting: int = 64
    #: A body that takes longer than this to arrive is given up.
    upload_seconds: float = 30.0
    max_batch_bytes: int = 256 << 20
    max_batch_files: int = 64
    require_keys: bool = False
    #: Digest of the key that the page beside the service was given.
    inner_key: str = ""
    #: Of one worker; callers are spread evenly among them.
    rate_limit: str | None = None
    open_metrics: bool = True
    cors_origins: tuple[str, ...] = ()
    tls: bool = False
    log_full: Literal["refuse", "answer"] = "refuse"
    #: Whether images outside the model's training data get no findings.
    withhold: bool = False
    #: Whether the challenger scores what the champion answered for, and how many images may wait for it.
    shadow: bool = False
    shadow_waiting: int = 8
    #: Share of the images that the challenger answers for.
    canary_share: float = 0.0
    #: ONNX Runtime's execution providers, the most wanted first.
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    #: In which precision the network runs; see `thorax.bundle.precision`.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Where spans go, by OTLP over HTTP; None: nowhere.
    trace_endpoint: str | None = None

    @property
    def pointer(self) -> Path:
        """The file that says which bundle to serve."""
        return self.folder / "pointer.json"

    @property
    def keys(self) -> Path:
        """The file of the API keys."""
        return self.folder / "keys.json"

    @property
    def access(self) -> Path:
        """The folder of the access log."""
        return self.folder / "access"

    @property
    def audit(self) -> Path:
        """The file of the audit log."""
        return self.folder / "audit.jsonl"

    @property
    def wants_challenger(self) -> bool:
        """Whether a challenger has any work here; it costs a worker the memory of a second model."""
        return self.shadow or self.canary_share > 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Derive from the settings."""
        serve = settings.serve
        return cls(
            folder=settings.var / "serving",
            log=str(place_of(settings)),
            # One a core, and one more: while a request waits for the log to be on the disk, another has its core.
            threads=serve.threads or (os.cpu_count() or 1) + 1,
            workers=serve.workers,
            max_upload_bytes=serve.max_upload_mib << 20,
            max_pixels=serve.max_pixels,
            dicom=settings.preprocess.dicom,
            poll_seconds=serve.poll_seconds,
            upload_seconds=serve.upload_seconds,
            max_batch_bytes=serve.max_batch_mib << 20,
            max_batch_files=serve.max_batch_files,
            require_keys=serve.keys_required,
            rate_limit=share_of(serve.rate_limit, serve.workers),
            open_metrics=serve.open_metrics,
            cors_origins=serve.cors_origins,
            tls=serve.tls_certificate is not None,
            log_full=serve.log_full,
            withhold=serve.outside_scope == "withhold",
            shadow=serve.shadow,
            shadow_waiting=serve.shadow_waiting,
            canary_share=serve.canary_share,
            providers=serve.providers,
            precision=serve.precision,
            trace_endpoint=serve.trace_endpoint,
        )

    def write(self, path: Path) -> None:
        """Write the file that workers read."""
        write_text(path, self.model_dump_json(indent=2))
        path.chmod(0o600)  # PostgreSQL's address may hold a password

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


def share_of(rate: str | None, workers: int) -> str | None:
    """Return one worker's share of a rate such as `600/minute`, rounded up."""
    if rate is None:
        return None
    amount, _, span = rate.partition("/")
    return f"{-(-int(amount) // workers)}/{span}"
