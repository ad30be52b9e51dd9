"""A version made again: its data revision, its code and its parameters in a scratch project, and every figure compared.

In deterministic mode on the same kind of processor all figures are equal to the last digit; anything else that differs
(code, packages, machine) is named beside them.
"""

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from thorax.bundle.verify import CLOCKED
from thorax.endings import ended, last_lines, with_words
from thorax.errors import InputError, RegistryError, ThoraxError
from thorax.files import read_json
from thorax.provenance import UNKNOWN, hardware, under_git, versions
from thorax.registry.bundles import download, fetch_version
from thorax.registry.register import SETTINGS
from thorax.registry.versions import Version, resolve
from thorax.settings import Settings

Say = Callable[[str], None]
_SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "ece", "brier")


@dataclass(frozen=True)
class Compared:
    """One thing as it was recorded and as it is now."""

    what: str
    recorded: str
    again: str
    equal: bool


@dataclass(frozen=True)
class Reproduction:
    """What came of it: where both come from, and every figure of the test split by its path in `evaluation.json`."""

    version: str
    origin: tuple[Compared, ...]
    figures: tuple[Compared, ...]

    @property
    def differing(self) -> int:
        """How many figures differ."""
        return sum(not item.equal for item in self.figures)

    @property
    def equal(self) -> bool:
        """Whether every figure is equal to the last digit."""
        return bool(self.figures) and not self.differing

    def shown(self) -> list[Compared]:
        """The means over findings, and whatever differs, at most twenty of them."""
        means = [f for f in self.figures if f.what in {f"metrics.mean.{name}.value" for name in _SHOWN}]
        return means + [f for f in self.figures if not f.equal and f not in means][:20]

    def words(self) -> str:
        """Say in a sentence what came of it."""
        if self.equal:
            return f"Reproduced: all {len(self.figures):,} figures are equal to the last digit."
        return f"{self.differing:,} of {len(self.figures):,} figures differ."

    def as_dict(self) -> dict[str, Any]:
        """Return it for a machine."""
        return asdict(self) | {"equal": self.equal, "differing": self.differing}


def reproduce(
    settings: Settings, which: str, *, keep: Path | None = None, say: Say = lambda text: None
) -> Reproduction:
    """Run the pipeline that made a version again, in a scratch project, and compare every figure.

    Nothing reaches the registry: the scratch project has one of its own. Only the version's own architecture is
    trained; what was trained beside it does not bear on its figures.

    Args:
        settings: where the registry is, and the project whose git and DVC hold the code and the data.
        which: the version.
        keep: a new folder for the scratch project, which then stays.
        say: told what is under way.

    Raises:
        InputError: the code or data revision is not to be had here, or `keep` exists.
        RegistryError: the version is gone, is an ensemble, or was registered without its parameters.
        ThoraxError: the run itself failed.
    """
    version = resolve(settings, which)
    if "members" in version.lineage:
        names = ", ".join(item["version"] for item in json.loads(version.lineage["members"]))
        raise RegistryError(
            f"Version {version.version} is an ensemble of versions {names}: it has no training of its own.",
            "Reproduce its members, then make it again with `thorax models ensemble`.",
        )
    with tempfile.TemporaryDirectory() as folder:
        recorded = read_json(download(settings, version, SETTINGS, Path(folder)))
    bundle = fetch_version(settings, version)
    if keep is not None and keep.exists():
        raise InputError(f"{keep} exists already.", "Name a new folder.")
    place = keep or Path(tempfile.mkdtemp(prefix="thorax-reproduce-"))
    try:
        say(f"checking out the code {version.lineage.get('git_commit') or UNKNOWN:.10}")
        _check_out_code(settings, version, place)
        say(f"checking out the data {version.lineage.get('data_revision', '')[:10]}")
        data = _check_out_data(settings, version, recorded, place)
        _write_params(recorded, version, data, place)
        say(f"training {version.facts['architecture']} again")
        folder_of_run = _run(place)
        again = folder_of_run / "bundle"
        return Reproduction(version.version, tuple(_origin(version, bundle, again)), tuple(_figures(bundle, again)))
    finally:
        if keep is None:
            shutil.rmtree(place, ignore_errors=True)


def _check_out_code(settings: Settings, version: Version, place: Path) -> None:
    """Clone the project at the version's commit, without copying its history; where none is known, leave it empty.

    The code that is installed runs then, and its digest is compared with the recorded one.
    """
    commit = version.lineage.get("git_commit") or UNKNOWN
    place.mkdir(parents=True, exist_ok=True)
    if commit == UNKNOWN:
        return
    if not under_git(settings.home):
        raise InputError(
            f"Version {version.version} was made from commit {commit[:10]}; {settings.home} is not a Git repository.",
            "Clone the repository with `git clone`, and run the command there with THORAX_HOME naming the clone, "
            f"and -S paths.var={settings.var}.",
        )
    if not (settings.home / ".git").exists():  # a part of a larger repository, which would be cloned whole
        return
    _git(settings.home, "clone", "--quiet", "--shared", "--no-checkout", str(settings.home.absolute()), str(place))
    try:
        _git(place, "checkout", "--quiet", "--detach", commit)
    except InputError as error:
        raise InputError(
            f"Version {version.version} was made from commit {commit[:10]}, which this repository does not have.",
            "Fetch it: git fetch --all.",
        ) from error


def _git(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"git {arguments[0]} failed: {done.stderr.strip() or done.returncode}")


def _check_out_data(settings: Settings, version: Version, recorded: Mapping[str, Any], place: Path) -> Path:
    """Bring the data revision into the scratch project, out of the project's own DVC cache; return the folder.

    Data that DVC does not hold cannot be brought back: they are taken where they lie, if their revision is the one.
    """
    from thorax.datasets import versioning

    wanted = version.lineage.get("data_revision", "")
    root = settings.data_root
    pointer = versioning.pointer(root)
    if not wanted.endswith(".dir") or pointer is None:
        now = versioning.revision(settings.home, root)
        if now != wanted:
            raise InputError(
                f"Version {version.version} was made from data {wanted}, and {root} now holds {now}.",
                "Bring those data back; only what DVC tracks can be checked out by itself.",
            )
        return root
    if versioning.recorded(pointer) == wanted and versioning.state(settings.home, root).condition == "clean":
        return root
    target = place / root.name
    file = place / pointer.name
    tree = yaml.safe_load(pointer.read_text(encoding="utf-8"))
    if not file.is_file() or versioning.recorded(file) != wanted:
        outs = [{"md5": wanted, "hash": "md5", "path": root.name}]
        file.write_text(yaml.safe_dump(tree | {"outs": outs}), encoding="utf-8")
    if not (place / ".dvc").is_dir():
        shutil.copytree(settings.home / ".dvc", place / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    cache = pointer.parent / ".dvc" / "cache"
    shared = [sys.executable, "-m", "dvc"]
    for arguments in (
        ["config", "--local", "cache.dir", str(cache.absolute())],
        ["config", "--local", "cache.type", "reflink,hardlink,symlink,copy"],
    ):
        subprocess.run([*shared, *arguments], cwd=place, check=False, capture_output=True)
    done = subprocess.run([*shared, "checkout", "--quiet", file.name], cwd=place, capture_output=True, text=True)
    if done.returncode:
        done = subprocess.run([*shared, "pull", "--quiet", file.name], cwd=place, capture_output=True, text=True)
    if done.returncode or not target.is_dir():
        raise InputError(
            f"Data revision {wanted} is neither in DVC's cache nor in its remote: {done.stderr.strip()[-300:]}",
            "Fetch it with `dvc pull` from where it was pushed to.",
        )
    return target


def _write_params(recorded: Mapping[str, Any], version: Version, data: Path, place: Path) -> None:
    """Write the recorded parameters as the scratch project's own, with a registry and a working folder of its own."""
    tree = json.loads(json.dumps(recorded))
    tree["paths"]["var"] = "var"
    tree["data"]["root"] = str(data)
    tree["train"]["architectures"] = [version.facts["architecture"]]
    tree["registry"]["tracking_uri"] = None
    (place / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


def _run(place: Path) -> Path:
    """Run the pipeline in the scratch project with its own code, where it has some; return what register left."""
    environment = {**os.environ, "THORAX_HOME": str(place)}
    if (place / "thorax" / "__init__.py").is_file():
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH", "")]))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "commands.main", "pipeline", "run", "--reason", "reproduction", "--json"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ThoraxError(
            with_words(f"The pipeline {ended(done.returncode)}.", last_lines(done.stderr.splitlines(), 6)),
            "Keep the scratch project with --keep FOLDER and look at var/runs there.",
        )
    summary = json.loads(done.stdout[done.stdout.index("{") :])
    return Path(read_json(Path(summary["folder"]) / "outputs.json")["registered"])


def _origin(version: Version, before: Path, after: Path) -> Iterator[Compared]:
    """Compare where both come from: data, split, code, packages, machine, and the weights themselves."""
    now = read_json(after / "bundle.json")
    then, lineage = version.lineage, now["lineage"]
    for name in ("data_revision", "manifest_digest", "split_digest", "git_commit", "code_digest"):
        yield _compared(name, then.get(name, ""), str(lineage.get(name, "")))
    if then.get("git_clean") == "false":
        yield Compared("git_clean", "no: the tree held changes", "", equal=False)
    for name, present in (("versions", versions()), ("hardware", hardware())):
        recorded = json.loads(then.get(name) or "{}")
        other = [key for key in sorted(recorded) if str(recorded[key]) != str(present.get(key, ""))]
        theirs, ours = (", ".join(f"{key} {part.get(key, '–')}" for key in other) for part in (recorded, present))
        yield Compared(name, theirs or "the same", ours or "the same", equal=not other)
    yield _compared("weights", *(_tensors(folder / "weights.safetensors") for folder in (before, after)))


def _tensors(file: Path) -> str:
    """SHA-256 (hex) over the tensors themselves: the file's own header may list the same things in another order."""
    from safetensors.numpy import load_file

    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(file).items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode() + tensor.tobytes())
    return digest.hexdigest()


def _compared(what: str, recorded: str, again: str) -> Compared:
    return Compared(what, recorded[:16] or "–", again[:16] or "–", recorded == again)


def _figures(before: Path, after: Path) -> Iterator[Compared]:
    """Compare every number of the two evaluations."""
    trees = [dict(_numbers(read_json(folder / "evaluation.json"))) for folder in (before, after)]
    for name in dict.fromkeys((*trees[0], *trees[1])):
        one, two = (tree.get(name, math.nan) for tree in trees)
        yield Compared(name, f"{one:.6g}", f"{two:.6g}", one == two or (math.isnan(one) and math.isnan(two)))


def _numbers(tree: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key not in CLOCKED:
                yield from _numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _numbers(value, f"{path}[{number}]")
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield path, float(tree)
