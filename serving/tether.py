"""End a process when the one that started it is gone, so that a service which is killed leaves no orphans.

    python -m serving.tether PARENT MODULE [ARGUMENT ...]

runs a module as `python -m MODULE` would, tied to the process PARENT. A signal that cannot be caught (SIGKILL, or a
kernel that is out of memory) gives a parent no time to end its children; so each child looks at whose child it is.
"""

import os
import runpy
import signal
import sys
import threading
import time

#: Names the process to be tied to, for grandchildren that others start.
VARIABLE = "THORAX_TETHER"
_EVERY = 0.25
_PATIENCE = 15.0


def tie(parent: int | None = None) -> None:
    """End this process, first politely, soon after its parent has gone.

    Args:
        parent: the process to be tied to; that of the environment where none is given, and none where it names none.
    """
    expected = int(os.environ.get(VARIABLE, "0")) if parent is None else parent
    if expected:
        threading.Thread(target=_watch, args=(expected,), name="tether", daemon=True).start()


def tied() -> bool:
    """Say whether this process was started by a service that it is to end with."""
    return bool(os.environ.get(VARIABLE))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(1)


if __name__ == "__main__":
    tie(int(sys.argv[1]))
    os.environ[VARIABLE] = str(os.getpid())
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
