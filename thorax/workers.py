"""Processes that work beside this one, end with it, and are fed so that memory stays flat."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from thorax.errors import RoomError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def ordered_map(function: Callable[..., Any], calls: Iterable[tuple], workers: int) -> Iterator[Any]:
    """Yield `function(*call)` for every call, in order; with one worker, in this process.

    Args:
        function: importable by name, as another process must find it.
        calls: its arguments, read only a few ahead of what was yielded.
        workers: processes.

    Raises:
        RoomError: a process was killed, as happens where memory runs out.
    """
    if workers <= 1:
        for call in calls:
            yield function(*call)
        return
    with pool_of(workers) as pool:
        waiting: deque[Future[Any]] = deque()
        for call in calls:
            waiting.append(pool.submit(function, *call))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def pool_of(workers: int, threads: int = 1) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of spawned processes; an error or an interruption here ends them, and so does our own death.

    What they run is told by SIGTERM, and may still put its work in order; see `until_told`.

    Args:
        workers: processes.
        threads: of each, for what NumPy and PyTorch compute.

    Raises:
        RoomError: a process was killed, as happens where memory runs out.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))  # read by the children when they import NumPy
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
        pool.shutdown()
    except BaseException as error:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise RoomError(
                "A process was killed, probably because memory ran out.",
                "Give fewer with --workers and run the same command again: what was finished is kept.",
            ) from error
        raise
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def until_told(function: Callable[..., Any], *args: Any) -> Any:
    """Call the function in a pool's process; where a signal ends it, end the process too.

    A pool takes an exit for the call's result, and would give the process the next call.
    """
    try:
        return function(*args)
    except (KeyboardInterrupt, SystemExit):
        os._exit(1)


def end_with_parent() -> None:
    """Have this process told to stop, by SIGTERM, when the one that started it is gone.

    A pool's process waits for its next call on a pipe that it holds open itself, so it would wait for ever; and before
    that it would run the calls that are still in the pipe.
    """
    threading.Thread(target=_watch_parent, daemon=True).start()


def _begin() -> None:
    """Leave Ctrl-C to the parent, which ends its children in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
