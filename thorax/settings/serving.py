"""The prediction service, its limits, its keys, its log and its page."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from thorax.settings.base import Count, Positive, Section, Share

_RATE = re.compile(r"[1-9]\d{0,8}/(second|minute|hour|day)")


class Serve(Section):
    """The prediction service."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 3000
    workers: Positive = 1
    threads: Count = 0
    max_upload_mib: Positive = 32
    max_pixels: Positive = 50_000_000
    max_batch_files: Positive = 64
    max_batch_mib: Positive = 256
    upload_seconds: Annotated[float, Field(gt=0)] = 30.0
    poll_seconds: Annotated[float, Field(gt=0)] = 2.0
    require_keys: bool | None = None
    rate_limit: str | None = None
    open_metrics: bool = True
    cors_origins: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    log_url: str | None = None
    outside_scope: Literal["withhold", "mark"] = "mark"
    log_full: Literal["refuse", "answer"] = "refuse"
    log_rotate: Literal["day", "month"] = "month"
    log_rotate_days: Count = 90
    log_keep_days: Count = 0
    shadow: bool = False
    shadow_waiting: Positive = 8
    canary_share: Share = 0.0
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    trace_endpoint: str | None = None
    webhook_port: Annotated[int, Field(ge=0, le=65535)] | None = None

    @field_validator("rate_limit")
    @classmethod
    def _a_rate(cls, text: str | None) -> str | None:
        if text is not None and not _RATE.fullmatch(text):
            raise ValueError("must be a number a time, such as 600/minute (second, minute, hour, day)")
        return text

    @field_validator("log_url")
    @classmethod
    def _a_database(cls, text: str | None) -> str | None:
        if text is not None and not text.startswith(("postgresql://", "postgres://")):
            raise ValueError("must be postgresql://user@host:port/database, or null for SQLite under paths.var")
        return text

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: give both or neither")
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def keys_required(self) -> bool:
        """Whether callers need a key; where nothing is said, those from other machines do."""
        return not self.on_loopback if self.require_keys is None else self.require_keys
