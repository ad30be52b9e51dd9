"""A data revision in Git: the `.dvc` file that records it, committed where the settings say."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from thorax.errors import InputError
from thorax.provenance import under_git

Where = Literal["branch", "in_place", "none"]
_NAME = "Thorax"


def commit(pointer: Path, message: str, where: Where, branch: str) -> str:
    """Commit a `.dvc` file as it is now; a file that stands there already is not committed again.

    `branch` leaves the checked-out branch, its index and every other file alone: the commit is made beside them, on top
    of the named branch, or of the present commit where that branch does not exist yet.

    Args:
        pointer: the `.dvc` file.
        message: of the commit.
        where: on a branch of its own, in place, or nowhere.
        branch: the name of that branch.

    Returns:
        The commit's hash; "" where there is none, as the project is not under Git.

    Raises:
        InputError: Git is missing, or it refuses.
    """
    if where == "none" or not under_git(pointer.parent):
        return ""
    if where == "in_place":
        _git(pointer, "add", "--", pointer.name)
        if _git(pointer, "status", "--porcelain", "--", pointer.name):
            _git(pointer, *_identity(pointer), "commit", "--quiet", "-m", message, "--", pointer.name)
        return _git(pointer, "log", "-1", "--format=%H", "--", pointer.name)
    reference = f"refs/heads/{branch}"
    parent = _maybe(pointer, "rev-parse", "--verify", "--quiet", reference) or _maybe(
        pointer, "rev-parse", "--verify", "--quiet", "HEAD"
    )
    place = _git(pointer, "rev-parse", "--show-prefix") + pointer.name
    blob = _git(pointer, "hash-object", "-w", "--", pointer.name)
    if parent and _maybe(pointer, "rev-parse", "--verify", "--quiet", f"{parent}:{place}") == blob:
        return parent
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        if parent:
            _git(pointer, "read-tree", parent, **index)
        _git(pointer, "update-index", "--add", "--cacheinfo", f"100644,{blob},{place}", **index)
        tree = _git(pointer, "write-tree", **index)
    above = ("-p", parent) if parent else ()
    made = _git(pointer, *_identity(pointer), "commit-tree", tree, *above, "-m", message)
    _git(pointer, "update-ref", "-m", message.splitlines()[0], reference, made)
    return made


def _identity(pointer: Path) -> tuple[str, ...]:
    """Name a committer where the machine names none, as a server's account may not."""
    if _maybe(pointer, "config", "user.email"):
        return ()
    return ("-c", f"user.name={_NAME}", "-c", "user.email=thorax@localhost")


def _maybe(pointer: Path, *arguments: str) -> str:
    """Ask Git something that it may not know; "" then."""
    try:
        return _git(pointer, *arguments)
    except InputError:
        return ""


def _git(pointer: Path, *arguments: str, **environment: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=pointer.parent,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"Git cannot be run: {error}.", "Install Git, or set monitor.retrain.commit to none."
        ) from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise InputError(
            f"Git refuses to commit {pointer.name}: {said}", "Mend that, or set monitor.retrain.commit to none."
        )
    return done.stdout.strip()
