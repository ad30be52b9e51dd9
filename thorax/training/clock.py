"""Time spent and left, and a stop that waits for the end of a step."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Clock:
    """Counts the seconds of a run over all its parts, and guesses what is left.

    Args:
        before: seconds of earlier parts.
        done: steps of earlier parts.
    """

    def __init__(self, before: float = 0.0, done: int = 0) -> None:
        self._before, self._done = before, done
        self._start = self._lap = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far, earlier parts included."""
        return self._before + time.perf_counter() - self._start

    def lap(self) -> float:
        """Return the seconds since the last call, or since the start."""
        last, self._lap = self._lap, time.perf_counter()
        return self._lap - last

    def remaining(self, done: int, total: int) -> float | None:
        """Return the seconds that the rest would take at this part's rate; None before its first step."""
        steps = done - self._done
        return (total - done) * (time.perf_counter() - self._start) / steps if steps else None


@contextmanager
def stop_signals() -> Iterator[list[BaseException]]:
    """Catch Ctrl-C and SIGTERM: yield a list that fills with what to raise once it is safe to stop.

    A second Ctrl-C stops at once. Outside the main thread, where Python allows no handlers, nothing is caught.
    """
    stopped: list[BaseException] = []

    def note(number: int, frame: FrameType | None) -> None:
        if stopped and number == signal.SIGINT:
            raise stopped[0]
        stopped.append(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number))

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
