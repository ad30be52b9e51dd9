"""How a process ended, in words, and what it printed last: the reason belongs on the screen, not in a log's path."""

import re
import signal
from collections.abc import Iterable
from pathlib import Path

#: How much of a log's end is read, in bytes: enough for a long traceback.
_END = 64 * 1024
#: Colours, rulers, the frames of a traceback, and what Kubeflow prints about its own work.
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NOISE = re.compile(
    r"^\W*$|^Traceback \(most recent call last\):|^  .*$|^\[KFP Executor .* INFO\]|^.*Task '.*' finished"
)


def last_lines(lines: Iterable[str], count: int = 4) -> str:
    """Return the last lines that say something, without the frames of tracebacks.

    >>> last_lines(["begin", "Traceback (most recent call last):", "  File 'a.py', line 1", "ValueError: 3", ""], 1)
    'ValueError: 3'
    """
    kept = [_COLOUR.sub("", line).rstrip() for line in lines]
    return "\n".join([line[:300] for line in kept if not _NOISE.match(line)][-count:])


def last_of(log: Path, begin: int = 0, count: int = 4) -> str:
    """Return the last lines of a log that say something; "" where there is none.

    Args:
        log: the file.
        begin: the byte at which the process of interest began to write.
        count: how many lines at most.
    """
    try:
        with log.open("rb") as stream:
            stream.seek(max(begin, log.stat().st_size - _END))
            return last_lines(stream.read().decode(errors="replace").splitlines(), count)
    except OSError:
        return ""


def ended(code: int) -> str:
    """Say how a process ended, by its exit code; one that a signal ended has its negative number, or 128 more.

    >>> ended(3), ended(-9), ended(143)
    ('ended with exit code 3', 'was killed (SIGKILL), probably because memory ran out', 'was ended by SIGTERM')
    """
    number = -code if code < 0 else code - 128 if 128 < code < 128 + signal.NSIG else 0
    if not number:
        return f"ended with exit code {code}"
    if number == signal.SIGKILL:
        return "was killed (SIGKILL), probably because memory ran out"
    try:
        return f"was ended by {signal.Signals(number).name}"
    except ValueError:
        return f"was ended by signal {number}"


def with_words(message: str, words: str) -> str:
    r"""Return a message with what was printed last below it; the message alone where nothing was.

    >>> with_words("It ended.", ""), with_words("It ended.", "no such file")
    ('It ended.', 'It ended. The last it printed:\n  no such file')
    """
    if not words:
        return message
    return f"{message} The last it printed:\n" + "\n".join(f"  {line}" for line in words.splitlines())
