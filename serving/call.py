"""What is known of the request that is being answered, in whatever thread works for it."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from thorax.prediction import new_request_id


def _free(cost: int) -> None:
    """Charge nothing."""


@dataclass
class Call:
    """One request. The guard makes it; whoever answers adds the version, and the guard writes it down."""

    request_id: str = field(default_factory=new_request_id)
    #: `key:ID` of an API key, or `address:HOST` where keys are off.
    caller: str = ""
    #: When its body had arrived, by `time.perf_counter`.
    arrived: float = 0.0
    #: Of the model that answered.
    version: str = ""
    #: Why the answer is not in the prediction log, where the settings allow that.
    unlogged: str = ""
    #: What is to be said of a form that could not be read; BentoML would drop half of it.
    refusal: dict[str, str] | None = None
    #: Counts what a request costs beyond itself against the caller's rate.
    charge: Callable[[int], None] = _free

    def record(self, **facts: Any) -> dict[str, Any]:
        """Return what the access log keeps."""
        told = {"request_id": self.request_id, "caller": self.caller, "version": self.version or None, **facts}
        return told | ({"unlogged": True} if self.unlogged else {})


#: Set by the guard for each request.
current: ContextVar[Call] = ContextVar("call")
