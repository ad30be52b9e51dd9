"""A dataset folder that DVC versions, with a remote: small, and quick to make."""

import subprocess
from pathlib import Path

from thorax.datasets import versioning


def versioned_data(home: Path, remote: str | None, *, push: bool = True, options: str = "") -> str:
    """Version `home/data`, which is made where it is missing, and push it; return its revision.

    Args:
        home: the project's folder.
        remote: a folder's or a bucket's address; None leaves the repository without a remote.
        push: whether the remote gets the revision.
        options: further lines of the remote's section.
    """
    from dvc.repo import Repo

    if not (home / "data").is_dir():
        (home / "data" / "images").mkdir(parents=True)
        for name in ("Data_Entry_2017.csv", "images/1.png", "images/2.png"):
            (home / "data" / name).write_text(f"the contents of {name}")
    subprocess.run(["git", "init", "-q", str(home)], check=True)
    Repo.init(str(home), force=True).close()
    core = "[core]\n    analytics = false\n"
    if remote is not None:
        core += f"    remote = origin\n['remote \"origin\"']\n    url = {remote}\n{options}"
    (home / ".dvc" / "config").write_text(core)
    revision = versioning.track(home, home / "data").revision
    if push and remote is not None:
        versioning.push(home, home / "data")
    return revision
