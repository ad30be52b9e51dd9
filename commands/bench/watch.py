"""Look at processes from outside: which are a service's workers, what they hold, what they spent."""

import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil

_WORKER = "_bentoml_impl.worker.service"


class Peak:
    """The largest of what is measured again and again while a block runs, and once behind it."""

    def __init__(self, measure: Callable[[], float], every: float) -> None:
        self.value = 0.0
        self._measure, self._every = measure, every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._done.set()
        self._thread.join()
        self.value = max(self.value, self._measure())

    def _run(self) -> None:
        while not self._done.wait(self._every):
            self.value = max(self.value, self._measure())


def own_bytes() -> float:
    """Return the bytes that this process and its children hold to themselves, without shared pages."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().uss
    return total


def peak_mib() -> float:
    """Return the most MiB that this process has held resident since it began its program.

    Not `ru_maxrss`: on Linux that begins with what the process that started this one held.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def workers(supervisor: int) -> list[psutil.Process]:
    """Return the processes that answer, found by what they run."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(supervisor).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if _WORKER in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
    return found


def memory_mib(processes: list[psutil.Process]) -> float:
    """Return the resident MiB of the largest of some processes."""
    sizes = [0.0]
    for process in processes:
        with contextlib.suppress(psutil.Error):
            sizes.append(process.memory_info().rss / 2**20)
    return max(sizes)


def processor_seconds(supervisor: int) -> float:
    """Return the processor seconds that a service's workers have taken so far."""
    times = [child.cpu_times() for child in workers(supervisor)]
    return sum(one.user + one.system for one in times)


def kill(processes: list[psutil.Process]) -> None:
    """End processes with a signal that leaves them no word."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def kill_all(supervisor: int) -> None:
    """End a whole service so: the supervisor first, so that it replaces nobody."""
    parent = psutil.Process(supervisor)
    kill([parent, *parent.children(recursive=True)])
