"""A revision of a dataset where there is no clone of the project: on a cluster's volume, or fetched to it by DVC.

What is fetched lies in a folder of its own revision, so that a run never sees the data of another change under it;
revisions share on the disk the files that they have in common.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from thorax.datasets import versioning
from thorax.datasets.revisions import NOTE, pinned
from thorax.errors import InputError
from thorax.files import atomic_folder, require_room, write_json

if TYPE_CHECKING:
    from dvc.data_cloud import Remote
    from dvc.repo import Repo

#: Of a remote's configuration, what says where it is. Whatever else there is may be a secret, and is not handed on.
_PLACE = frozenset({"url", "endpointurl", "region", "use_ssl", "account_name", "projectname"})
_ORIGIN = "origin"


@dataclass(frozen=True)
class Consignment:
    """What somebody who is to fetch a revision has to know of it.

    Attributes:
        revision: DVC's digest of the folder.
        size: bytes of its files; 0 where nobody knows.
        files: how many there are; 0 where nobody knows.
        remote: where DVC's remote is, without any secret; empty where there is none.
    """

    revision: str
    size: int = 0
    files: int = 0
    remote: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The consignment as JSON would have it."""
        return asdict(self)


def consign(root: Path) -> Consignment:
    """Say what has to be known to fetch a dataset's recorded revision, and see that the remote has it.

    Args:
        root: the dataset's folder, tracked by DVC; the files themselves need not be there.

    Raises:
        InputError: it is not tracked, or the remote does not have the revision or cannot be asked.
    """
    file = versioning.pointer(root)
    if file is None:
        raise InputError(f"No .dvc file stands for {root}.", f"Run: thorax data add {root}, then dvc push.")
    revision = versioning.recorded(file)
    with versioning.dvc_errors(file.parent), versioning.repository(file.parent) as repo:
        remote = _remote(repo)
        if remote is None:
            place = {}
        else:
            place = {key: value for key, value in repo.config["remote"][remote.name].items() if key in _PLACE}
            _require(remote, revision, place["url"])
    return Consignment(revision, **extent(root), remote=place)


def extent(root: Path) -> dict[str, int]:
    """Return `size`, in bytes, and `files` of a dataset's recorded revision; empty where its `.dvc` file says neither.

    Raises:
        InputError: the `.dvc` file is damaged.
    """
    file = versioning.pointer(root)
    if file is None:
        return {}
    versioning.recorded(file)  # refuses a damaged one
    out = yaml.safe_load(file.read_text(encoding="utf-8"))["outs"][0]
    return {"size": int(out.get("size", 0)), "files": int(out.get("nfiles", 0))}


def here(root: Path, revision: str, var: Path) -> Path | None:
    """Return the folder that holds a revision: `root`, or the one that it was fetched to; None where neither does.

    A folder is taken at its `.dvc` file's word, or at the word of the note that stands beside one that was fetched;
    of any other every file is read once and compared. A revision that is not DVC's cannot be compared: `root` it is.
    """
    file = versioning.pointer(root)
    known = pinned(root) or (versioning.recorded(file) if file is not None else None)
    if root.is_dir() and (known == revision or not revision.endswith(".dir")):
        return root
    fetched = _place(root, revision, var)
    if pinned(fetched) == revision:
        return fetched
    return root if root.is_dir() and known is None and _digest(root, var) == revision else None


def require_fetchable(wanted: Consignment, root: Path, var: Path) -> None:
    """See that a revision that is not here can be fetched: a remote is known and has it, and there is room.

    Raises:
        InputError: it cannot; RoomError: the volume is too small.
    """
    if not wanted.revision.endswith(".dir"):
        raise InputError(
            f"The data root {root} is not a folder.", "Set data.root, run `dvc pull`, or `thorax data make-phantom`."
        )
    if not wanted.remote:
        raise InputError(
            f"{root} does not hold the data revision {wanted.revision}, and no DVC remote is known to fetch it from.",
            "Name one where you submit from (`dvc remote add --default NAME URL`), push to it with `dvc push`, and "
            "submit again; or set the data at that revision onto the volume.",
        )
    require_room(var, int(wanted.size * 1.02))
    var.mkdir(parents=True, exist_ok=True)
    with (
        versioning.dvc_errors(var),
        TemporaryDirectory(prefix="asking-", dir=var) as scratch,
        _borrowed(wanted, Path(scratch), var) as (_, remote),
    ):
        _require(remote, wanted.revision, wanted.remote["url"])


def bring(wanted: Consignment, root: Path, var: Path) -> Path:
    """Return the folder that holds a revision; it is fetched from the remote where it is not here.

    Args:
        wanted: what `consign` said.
        root: where the data may lie already.
        var: below it, in `revisions`, a fetched revision goes.

    Raises:
        InputError: the revision can be had from nowhere, or the remote refuses.
        RoomError: the volume is, or would be, full.
    """
    if (found := here(root, wanted.revision, var)) is not None:
        return found
    require_fetchable(wanted, root, var)
    goal = _place(root, wanted.revision, var)
    with versioning.dvc_errors(var), atomic_folder(goal.parent) as folder:
        pointer = folder / f"{root.name}.dvc"
        out = {"md5": wanted.revision, "hash": "md5", "path": root.name}
        pointer.write_text(yaml.safe_dump({"outs": [out]}), encoding="utf-8")
        with _borrowed(wanted, folder, var) as (repo, _):
            repo.pull([str(pointer)])
        pointer.unlink()
        write_json(folder / NOTE, {"revision": wanted.revision, "asked": wanted.revision, "folder": root.name})
    return goal


def _place(root: Path, revision: str, var: Path) -> Path:
    return var / "revisions" / revision.removesuffix(".dir") / root.name


def _remote(repo: "Repo") -> "Remote | None":
    from dvc.config import NoRemoteError

    try:
        return repo.cloud.get_remote()
    except NoRemoteError:
        return None


def _require(remote: "Remote", revision: str, url: str) -> None:
    """Ask for the list of a folder's files, which DVC sends last: where it is, they are."""
    if not remote.odb.exists(revision):
        raise InputError(
            f"The data revision {revision} is not on the remote {url}.",
            "Run `dvc push` where the data are, then submit again.",
        )


@contextmanager
def _borrowed(wanted: Consignment, folder: Path, var: Path) -> "Iterator[tuple[Repo, Remote]]":
    """Yield a DVC repository without Git, and its remote, for as long as it takes to fetch one revision."""
    from dvc.repo import Repo

    made = Repo.init(str(folder), no_scm=True)
    with made.config.edit("repo") as config:
        config["core"] |= {"analytics": False, "remote": _ORIGIN, "site_cache_dir": str(var / "dvc" / "site")}
        config["remote"] = {_ORIGIN: dict(wanted.remote)}
        # Linked, not copied: one file on the disk, however many revisions hold it.
        config["cache"] |= {"dir": str(var / "dvc" / "cache"), "type": ["hardlink", "copy"]}
    made.close()
    with Repo(str(folder)) as repo:
        yield repo, repo.cloud.get_remote()
    shutil.rmtree(folder / ".dvc")
    (folder / ".dvcignore").unlink(missing_ok=True)


def _digest(root: Path, var: Path) -> str:
    """Return DVC's digest of a folder that DVC does not track; every file is read."""
    from dvc.fs import LocalFileSystem
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB

    system = LocalFileSystem()
    with versioning.dvc_errors(root):
        _, _, found = build(HashFileDB(system, str(var / "dvc" / "none")), str(root), system, "md5", dry_run=True)
    return str(found.hash_info.value)
