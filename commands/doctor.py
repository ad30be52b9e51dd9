"""What `thorax doctor` looks at: everything that a run needs, and the mend for what is missing."""

import os
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from thorax.errors import ThoraxError
from thorax.provenance import under_git

#: Free space, in GiB, under which runs are likely to fail.
ROOM_GIB = 5
#: Memory, in GiB, that three architectures at the default size need.
MEMORY_GIB = 6


class Check(NamedTuple):
    """One thing looked at; `mend` says what to do where it is not well."""

    name: str
    well: bool
    found: str
    mend: str = ""
    needed: bool = True


def examine(home: Path) -> list[Check]:
    """Look at this machine and this project."""
    checks: list[Callable[[Path], Check]] = [
        _python,
        _packages,
        _git,
        _settings,
        _data,
        _room,
        _memory,
        _cores,
        _accelerator,
        _browser,
    ]
    return [check(home) for check in checks]


def _python(_: Path) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", (3, 11) <= sys.version_info[:2] <= (3, 12), version, "Use Python 3.11 or 3.12.")


def _packages(home: Path) -> Check:
    lock = home / "requirements.lock"
    if not lock.is_file():
        return Check("Packages", False, "no requirements.lock", "Run the command inside a clone of the project.")
    pinned = dict(
        line.split(" ")[0].split("==") for line in lock.read_text(encoding="utf-8").splitlines() if _applies(line)
    )
    wrong = []
    for name, version in pinned.items():
        try:
            if metadata.version(name) != version:
                wrong.append(name)
        except metadata.PackageNotFoundError:
            wrong.append(name)
    found = f"{len(pinned)} as locked" if not wrong else f"{len(wrong)} differ: {', '.join(wrong[:5])}"
    return Check("Packages", not wrong, found, "Run: make setup")


def _applies(line: str) -> bool:
    """Whether a line of the lock pins a package on this platform."""
    from packaging.markers import Marker

    if "==" not in line or line.startswith((" ", "#")):
        return False
    marker = line.rstrip(" \\").partition(" ; ")[2]
    return not marker or Marker(marker).evaluate()


def _git(home: Path) -> Check:
    if shutil.which("git") is None:
        mend = "Everything runs without it, but models do not know the commit of their code. Install git."
        return Check("git", False, "missing", mend, needed=False)
    mend = "Models do not know the commit of their code: clone the project, or run git init, git add -A and git commit."
    return Check("git", under_git(home), "found" if under_git(home) else "not a repository", mend, needed=False)


def _settings(home: Path) -> Check:
    from thorax.settings import load

    try:
        load(home)
    except ThoraxError as error:
        return Check("params.yaml", False, error.message, error.mend)
    return Check("params.yaml", True, "valid")


def _data(home: Path) -> Check:
    from thorax.settings import load

    try:
        root = load(home).data_root
    except ThoraxError:
        return Check("Data", False, "unknown", "Mend params.yaml first.", needed=False)
    if not root.is_dir() or not any(root.iterdir()):
        return Check("Data", False, f"{root} is empty", "make demo, or thorax data add PATH, or dvc pull", needed=False)
    tracked = (home / "data.dvc").is_file()
    return Check("Data", tracked, str(root), "Not versioned: thorax data add", needed=False)


def _room(home: Path) -> Check:
    free = shutil.disk_usage(home).free / 2**30
    return Check("Disk", free >= ROOM_GIB, f"{free:.0f} GiB free", f"Free some space: runs want {ROOM_GIB} GiB.")


def _memory(_: Path) -> Check:
    import psutil

    total = psutil.virtual_memory().total / 2**30
    mend = "Train fewer side by side: pipeline.parallel=1 in params.yaml."
    return Check("Memory", total >= MEMORY_GIB, f"{total:.0f} GiB", mend, needed=False)


def _cores(_: Path) -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("Cores", cores >= 2, str(cores), "It works with one, slowly.", needed=False)


def _accelerator(_: Path) -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("GPU", True, torch.cuda.get_device_name(0), needed=False)
    return Check("GPU", True, "none: training runs on the CPU", needed=False)


def _browser(_: Path) -> Check:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    mend = "Only the tests of pages need it; they skip without (on Debian: apt-get install chromium)."
    return Check("Browser", found is not None, found or "no chromium", mend, needed=False)
