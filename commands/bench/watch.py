"""Look at the processes of a started service from outside: which are workers, what they hold, what they spent."""

import contextlib
import os
import signal

import psutil

_WORKER = "_bentoml_impl.worker.service"


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
