"""Data revisions by DVC: the one place that knows it.

The revision of a dataset is the digest that its `.dvc` file records (`data.dvc` for `data/`). Reading it costs a few
milliseconds; comparing it with the files on disk costs DVC about half a second for a few thousand files, and rereads
only those that changed.
"""

import hashlib
import logging
import os
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from thorax.errors import InputError, ThoraxError
from thorax.files import room_errors
from thorax.provenance import under_git

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc.repo import Repo

Condition = Literal["clean", "modified", "missing", "untracked"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """How a dataset folder stands to its recorded revision.

    Attributes:
        condition: "clean", "modified", "missing", or "untracked" where no `.dvc` file stands for the folder.
        revision: what the `.dvc` file records; for an untracked folder `files:` and a digest of its files' names, sizes
            and times; "" where there is neither.
        cached: DVC's cache holds the recorded revision, so that a checkout brings it back.
        pointer: the `.dvc` file, or "".
    """

    condition: Condition
    revision: str
    cached: bool = False
    pointer: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The state as JSON would have it."""
        return asdict(self)


def pointer(root: Path) -> Path | None:
    """Return the `.dvc` file that tracks a folder, or a folder above it, within the same repository."""
    folder = root.absolute()
    for place in (folder, *folder.parents):
        edge = (place / ".git").exists() or (place / ".dvc").is_dir()
        file = place.parent / f"{place.name}.dvc"
        if file.is_file() and (place == folder or not edge):
            return file
        if edge:
            return None
    return None


def revision(home: Path, root: Path, *, verify: bool = True) -> str:
    """Return the revision of a dataset folder.

    Args:
        home: the project's folder.
        root: the dataset's folder.
        verify: compare the files with the recorded revision first, so that no run is filed under data it did not see.

    Returns:
        DVC's digest of the folder, also of one that `thorax.datasets.revisions.checkout` made; or for a folder that DVC
        does not track `files:` and a digest of the names, sizes and times of its files; a warning is logged then.

    Raises:
        InputError: the folder differs from its recorded revision, or is missing.
    """
    from thorax.datasets.revisions import pinned

    if (held := pinned(root)) is not None:
        return held
    file = pointer(root)
    if file is None:
        _log.warning(
            "%s is not tracked by DVC: its revision is a digest of its files, which nothing can bring back. "
            "`thorax data add %s` versions it.",
            root,
            root,
        )
        return fingerprint(root)
    if verify:
        check(home, root)
    return recorded(file)


def check(home: Path, root: Path) -> State:
    """Refuse a dataset folder that is missing or differs from its recorded revision.

    Raises:
        InputError: says which, and how to record the change or bring the recorded files back.
    """
    now = state(home, root)
    if now.condition == "missing":
        raise InputError(
            f"The data of {now.pointer} (revision {now.revision[:8]}) is not in {root}.",
            "Run `dvc checkout`, or `dvc pull` to fetch it from the remote.",
        )
    if now.condition == "modified":
        back = "`dvc checkout --force`" if now.cached else "`dvc pull --force`"
        raise InputError(
            f"{root} differs from revision {now.revision[:8]} that {now.pointer} records.",
            f"Record the change with `dvc add {root.name}` and commit {Path(now.pointer).name}, "
            f"or go back with {back}.",
        )
    return now


def state(home: Path, root: Path) -> State:
    """Compare a dataset folder with its recorded revision.

    Raises:
        InputError: its `.dvc` file cannot be read, or there is no DVC repository.
    """
    from thorax.datasets.revisions import pinned

    if (held := pinned(root)) is not None:
        return State("clean", held)
    file = pointer(root)
    if file is None:
        return State("untracked" if root.is_dir() else "missing", fingerprint(root) if root.is_dir() else "")
    with dvc_errors(home), repository(file.parent) as repo:
        # Not `Repo.status`: it says "not in cache" before it looks at the files, and takes a lock that
        # `dvc repro` may hold around this very run.
        out = next(iter(repo.stage.collect(str(file)))).outs[0]
        cached = not out.changed_cache()
        found = out.workspace_status().get(str(out))
    condition: Condition = {None: "clean", "deleted": "missing"}.get(found, "modified")  # type: ignore[assignment]
    return State(condition, recorded(file), cached, str(file))


def recorded(file: Path) -> str:
    """Return the digest that a `.dvc` file records.

    Raises:
        InputError: the file is damaged or records none.
    """
    try:
        outs = yaml.safe_load(file.read_text(encoding="utf-8"))["outs"]
        return str(outs[0]["md5"])
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{file} records no revision.", f"Run `dvc add {file.stem}`.") from error


def fingerprint(root: Path) -> str:
    """Return `files:` and a digest over name, size and time of every file below a folder; no file is opened."""
    digest = hashlib.sha256()
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or not path.is_file():
                continue
            facts = path.stat()
            digest.update(f"{path.relative_to(root).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return f"files:{digest.hexdigest()[:32]}"


def track(home: Path, root: Path) -> State:
    """Record the folder as it is now: `dvc add`.

    Raises:
        InputError: there is no DVC repository, or DVC refuses.
        RoomError: the disk is full.
    """
    with dvc_errors(home), room_errors(root), repository(home) as repo:
        repo.scm_context.quiet = True  # Its advice would stand among what our commands print.
        repo.add([str(root)])
    return state(home, root)


def pull(home: Path, root: Path) -> State:
    """Fetch the recorded revision from the remote and check it out: `dvc pull`.

    Raises:
        InputError: the folder is not tracked, the remote does not have it, or changed files would be lost.
        RoomError: the disk is full.
    """
    file = pointer(root)
    if file is None:
        raise InputError(f"No .dvc file stands for {root}.", "Check out a revision of the project that has one.")
    with dvc_errors(home), room_errors(root), repository(file.parent) as repo:
        repo.pull([str(file)])
    return state(home, root)


def push(home: Path, root: Path) -> int:
    """Send the recorded revision to the remote and return how many files went: `dvc push`.

    Raises:
        InputError: the folder is not tracked, or the remote refuses.
    """
    file = pointer(root)
    if file is None:
        raise InputError(f"No .dvc file stands for {root}.", f"Run `thorax data add {root}` first.")
    with dvc_errors(home), repository(file.parent) as repo:
        return int(repo.push([str(file)]))


def require_repository(home: Path) -> None:
    """Refuse to go on where there is no DVC repository.

    Raises:
        InputError: with the command that makes one.
    """
    with dvc_errors(home), repository(home):
        pass


def repository(folder: Path) -> "Repo":
    """Open the DVC repository that holds a folder; on a terminal it draws its own progress."""
    from dvc.repo import Repo

    # Importing DVC sends its remarks to standard output, where machines read our JSON.
    logging.getLogger("dvc").setLevel(logging.WARNING)
    root = Path(Repo.find_root(str(folder)))
    return Repo(str(root), config=scm_config(root))


def scm_config(root: Path) -> dict[str, Any]:
    """Return the part of DVC's configuration that says whether there is Git, and note it for the `dvc` command.

    The project may have been downloaded without its repository, or lie in another project's: DVC versions the data
    all the same, and looks for no commits.

    Args:
        root: the top of the DVC repository.
    """
    from dvc.config import Config

    config = Config(str(root / ".dvc"))
    without = not under_git(root)
    noted = config.load_one("local").get("core", {}).get("no_scm", False)
    if not without and not noted:
        return {}  # what the project itself configures holds
    if without != noted:
        with suppress(OSError), config.edit("local") as local:
            local.setdefault("core", {})["no_scm"] = without
    return {"core": {"no_scm": without}}


@contextmanager
def dvc_errors(home: Path) -> "Iterator[None]":
    """Turn DVC's refusals into ours."""
    from dvc.exceptions import NotDvcRepoError

    try:
        yield
    except ThoraxError:
        raise
    except NotDvcRepoError as error:
        raise InputError(
            f"There is no DVC repository at {home} or above.",
            "Run `git init` and `dvc init` there, or without Git `dvc init --no-scm`.",
        ) from error
    # Remotes raise what their own libraries raise: whatever it is, a person reads it in one line.
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"DVC failed: {words}", "Mend that and run it again: DVC keeps what is done.") from error
