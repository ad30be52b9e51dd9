"""How often a caller may ask, counted by the `limits` library in a window that slides."""

import math
import time

from thorax.errors import ThoraxError


class RateError(ThoraxError):
    """The caller asked too often; `seconds` says when to come again."""

    def __init__(self, message: str, mend: str = "", seconds: int = 1) -> None:
        super().__init__(message, mend)
        self.seconds = seconds

    def __reduce__(self) -> tuple[type["RateError"], tuple[str, str, int]]:  # type: ignore[override]
        """Survive the trip between processes."""
        return type(self), (self.message, self.mend, self.seconds)


class Rates:
    """Counts requests of each caller in one worker.

    Args:
        default: such as `600/minute`; None: callers without a rate of their own are not counted.
        workers: among which a key's own rate is shared.
    """

    def __init__(self, default: str | None, workers: int = 1) -> None:
        self._default = default
        self._workers = workers
        self._limiter: object | None = None

    def charge(self, caller: str, rate: str | None = None, cost: int = 1) -> None:
        """Count `cost` requests of a caller.

        Raises:
            RateError: that is more than its rate.
        """
        from serving.runtime import share_of

        said = share_of(rate, self._workers) if rate is not None else self._default
        if said is None:
            return
        from limits import parse, storage, strategies

        if self._limiter is None:
            self._limiter = strategies.SlidingWindowCounterRateLimiter(storage.MemoryStorage())
        limiter = self._limiter
        assert isinstance(limiter, strategies.SlidingWindowCounterRateLimiter)
        item = parse(said)
        if not limiter.hit(item, caller, cost=cost):
            seconds = max(1, math.ceil(limiter.get_window_stats(item, caller).reset_time - time.time()))
            amount, _, span = (rate or said).partition("/")
            raise RateError(
                f"Too many requests: {amount} a {span} are allowed.", f"Send it again in {seconds} s.", seconds
            )
