"""How a step tells what it is doing, to whoever follows the run: a person's terminal, or a cluster's log.

A runner that wants to follow sets `THORAX_EVENTS` to a file; every step then appends one JSON object a line, whole
lines only, from any process. Where it is not set, the same is printed as plain lines.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thorax.errors import ThoraxError

FILE = "THORAX_EVENTS"


class Reporter:
    """Tells about one step: how far it is, and what it found worth saying."""

    #: Progress is told at most this often, in seconds; beginnings, ends and messages always.
    pause = 0.25

    def __init__(self, step: str, label: str = "") -> None:
        self.step = step
        self.label = label
        self._told = 0.0
        self._done = 0

    def emit(self, event: str, **facts: Any) -> None:
        """Append one event."""
        record = {"time": time.time(), "step": self.step, "label": self.label, "event": event, **facts}
        file = os.environ.get(FILE)
        if file:
            line = (json.dumps(record, default=str) + "\n").encode()
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, line)  # one write a line: lines of several processes never mix
            finally:
                os.close(descriptor)
        else:
            name = f"{self.step} {self.label}".strip()
            told = ", ".join(f"{key} {value}" for key, value in facts.items())
            sys.stdout.write(f"[{name}] {event}{': ' if told else ''}{told}\n")
            sys.stdout.flush()

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Tell that `done` of `total` are finished; `text` is what a person sees beside the bar."""
        now = time.monotonic()
        if now - self._told >= self.pause or done >= total:
            self._told = now
            self.emit("progress", done=done, total=total, text=text)

    def advancer(self, total: int, text: str = "") -> Any:
        """Return a function `advance(step=1)` that counts up to `total`."""
        self._done = 0

        def advance(step: int = 1) -> None:
            self._done += step
            self.progress(self._done, total, text)

        return advance

    def say(self, text: str) -> None:
        """Tell something that stays on the screen."""
        self.emit("message", text=text)

    def warn(self, text: str) -> None:
        """Tell something that a person should look at."""
        self.emit("warning", text=text)


@contextmanager
def reporting(step: str, label: str = "") -> Iterator[Reporter]:
    """Report the beginning, the end, the failure and the seconds of a step."""
    reporter = Reporter(step, label)
    began = time.time()
    reporter.emit("begin")
    try:
        yield reporter
    except ThoraxError as error:
        reporter.emit(
            "error", message=error.message, mend=error.mend, kind=type(error).__name__, exit_code=error.exit_code
        )
        raise
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
        reporter.emit("error", message=message, mend="", kind="unexpected", exit_code=1)
        raise
    reporter.emit("end", seconds=round(time.time() - began, 3))


def read_events(path: Path | str, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the events after byte `offset`, and the offset to go on from; an unfinished line is left for later."""
    try:
        with Path(path).open("rb") as stream:
            stream.seek(offset)
            data = stream.read()
    except FileNotFoundError:
        return [], offset
    whole = data.rfind(b"\n") + 1
    return [json.loads(line) for line in data[:whole].splitlines()], offset + whole
