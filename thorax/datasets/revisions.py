"""A dataset as it was at any revision of the project: its list of files, its tables, or all of it.

A revision is anything that git resolves (a commit, a tag, `HEAD~2`), or `workspace` for the `.dvc` file as it lies
there now. Tables are read without fetching a single image.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from thorax.datasets import pack
from thorax.datasets.dataset import IMAGE_SUFFIXES, Dataset
from thorax.datasets.versioning import dvc_errors, pointer, recorded, scm_config
from thorax.errors import InputError
from thorax.files import atomic_folder, read_json, write_json
from thorax.provenance import under_git
from thorax.settings import Data, Settings

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem

WORKSPACE = "workspace"
#: Beside the folder of a pinned revision, says which it is.
NOTE = "revision.json"


@dataclass(frozen=True)
class Revision:
    """A dataset at a revision.

    Attributes:
        name: as it was asked for.
        revision: DVC's digest of the folder.
        dataset: what its tables say; sizes and digests of files are not filled in.
        digests: relative path of each image → MD5 of its content.
    """

    name: str
    revision: str
    dataset: Dataset
    digests: dict[str, str]


def at(home: Path, data: Data, root: Path, name: str) -> Revision:
    """Read a dataset's tables at a revision.

    Args:
        home: the project's folder.
        data: which adapter reads it.
        root: the dataset's folder, tracked by DVC.
        name: the revision.

    Raises:
        InputError: there is no such revision, it does not hold the dataset, or neither cache nor remote has it.
    """
    from thorax.datasets.ingest import adapt

    with _opened(home, root, name) as (system, below, digest), TemporaryDirectory(prefix="thorax-revision-") as scratch:
        found = system.find(below, detail=True)
        listed = {str(Path(path).relative_to(below)): _md5(facts) for path, facts in found.items()}
        folder = Path(scratch)
        digests = {path: md5 for path, md5 in listed.items() if path.lower().endswith(IMAGE_SUFFIXES)}
        for path in listed:
            if path not in digests and not pack.is_shard(path):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                system.get_file(f"{below}/{path}", str(folder / path))
        if pack.is_packed(folder):
            digests |= pack.digests(folder)
        # Adapters look for the images' names alone; empty files stand in for them.
        for parent in {(folder / path).parent for path in digests}:
            parent.mkdir(parents=True, exist_ok=True)
        for path in digests:
            (folder / path).touch()
        return Revision(name, digest, adapt(data, folder), digests)


def checkout(
    home: Path, root: Path, name: str, var: Path, advance: Callable[[int], None] | None = None
) -> tuple[Path, str]:
    """Set a dataset as it was at a revision into a folder of its own, and leave the working one as it is.

    Args:
        home: the project's folder.
        root: the dataset's folder, tracked by DVC.
        name: the revision.
        var: below it, in `revisions`, the folder is made; one that is there whole is taken.
        advance: called with the number of files fetched since the last call.

    Returns:
        The folder and DVC's digest of it. `thorax.datasets.versioning.revision` knows the folder by its note.

    Raises:
        InputError: as `at`.
        RoomError: the disk is full.
    """
    with _opened(home, root, name) as (system, below, digest):
        place = var / "revisions" / digest.removesuffix(".dir")
        if not (place / NOTE).is_file():
            with atomic_folder(place) as made:
                for path in system.find(below):
                    target = made / root.name / Path(path).relative_to(below)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    system.get_file(path, str(target))
                    if advance:
                        advance(1)
                write_json(made / NOTE, {"revision": digest, "asked": name, "folder": root.name})
        return place / root.name, digest


def pin(settings: Settings, name: str) -> Settings:
    """Return settings whose data root is the dataset as it was at a revision; see `checkout`."""
    folder, _ = checkout(settings.home, settings.data_root, name, settings.var)
    return settings.model_copy(update={"data": settings.data.model_copy(update={"root": folder})})


def pinned(root: Path) -> str | None:
    """Return the revision of a folder that `checkout` made, else None."""
    note = root.absolute().parent / NOTE
    if not note.is_file():
        return None
    facts: dict[str, Any] = read_json(note)
    return str(facts["revision"]) if facts.get("folder") == root.name else None


def forget(var: Path) -> None:
    """Remove every folder that `checkout` made."""
    shutil.rmtree(var / "revisions", ignore_errors=True)


@contextmanager
def _opened(home: Path, root: Path, name: str) -> "Iterator[tuple[DVCFileSystem, str, str]]":
    """Yield DVC's file system at a revision, the dataset's path in it, and the dataset's digest."""
    from dvc.api import DVCFileSystem
    from dvc.repo import Repo

    file = pointer(root)
    top = Path(Repo.find_root(str(file.parent if file else home))) if file else home
    below = root.absolute().relative_to(top.absolute()).as_posix() if root.absolute().is_relative_to(top) else ""
    with dvc_errors(home):
        if not below:
            raise InputError(f"{root} lies outside the repository {top}.", "Version it with `thorax data add`.")
        try:
            if name != WORKSPACE and not under_git(top):
                raise InputError(
                    f"There is no revision {name!r}: {top} is not a Git repository, and holds the present data alone.",
                    "Run `git init`, `git add -A` and `git commit -m 'First revision'` there: each commit from then on "
                    "is a revision. `workspace` is the data as they are.",
                )
            config = scm_config(top)
            system = DVCFileSystem(str(top), rev=None if name == WORKSPACE else name, config=config)
            info = system.info(below)
        except FileNotFoundError as error:
            raise InputError(f"Revision {name} holds no dataset {below}.", "Choose another revision.") from error
        except Exception as error:
            if "unknown Git revision" not in str(error):
                raise
            raise InputError(f"There is no revision {name!r}.", "Give a commit, a tag, HEAD~1 or workspace.") from error
        digest = str((info.get("dvc_info") or {}).get("md5") or info.get("md5") or "")
        if name == WORKSPACE and file is not None:
            digest = recorded(file)
        if not digest:
            raise InputError(f"Revision {name} does not version {below} with DVC.", "Choose another revision.")
        try:
            yield system, below, digest
        except Exception as error:
            if type(error).__name__ != "DataIndexDirError":
                raise
            raise InputError(
                f"The data of revision {name} ({digest[:8]}) is neither in DVC's cache nor on the remote.",
                "Run `dvc fetch` where the remote can be reached, or choose another revision.",
            ) from error


def _md5(facts: dict[str, Any]) -> str:
    return str((facts.get("dvc_info") or {}).get("md5") or facts.get("md5") or "")
