"""The prediction service, its limits, its log and its page."""

from typing import Annotated

from pydantic import Field

from thorax.settings.base import Count, Positive, Section


class Serve(Section):
    """The prediction service."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 3000
    workers: Positive = 1
    threads: Count = 0
    max_upload_mib: Positive = 32
    max_pixels: Positive = 50_000_000
    poll_seconds: Annotated[float, Field(gt=0)] = 2.0
