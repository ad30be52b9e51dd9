"""Where a result comes from: the commit, the code that made it, the packages and the machine."""

import ast
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from thorax.errors import InputError

#: The project's own packages; imports of anything else are covered by `versions`.
PACKAGES = ("thorax", "components", "pipelines", "serving", "commands", "vocabularies")

#: The packages whose versions can change a model or its figures.
TRACKED = (
    "thorax",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "torch",
    "torchvision",
    "onnxruntime",
    "openvino",
    "safetensors",
    "pillow",
    "pydicom",
    "opencv-python-headless",
    "mlflow",
    "kfp",
    "dvc",
    "evidently",
    "great-expectations",
    "bentoml",
)

#: What lineage says of the commit where no repository tells.
UNKNOWN = "unknown"

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Commit:
    """A git commit; `hash` is "" outside a repository, and `clean` says that no tracked file differs from it."""

    hash: str
    clean: bool


def under_git(folder: Path | str) -> bool:
    """Whether a folder is under version control by Git: the top of a repository, or a part that a repository tracks.

    A folder that only lies somewhere in another project's repository is not.
    """
    prefix = _git(folder, "rev-parse", "--show-prefix")
    if prefix is None:
        # Without the program DVC reads a repository all the same; a link to one that is not here is none.
        return shutil.which("git") is None and (Path(folder) / ".git" / "HEAD").is_file()
    return not prefix.strip() or bool(_git(folder, "ls-files", "--", "."))


def code_lineage(folder: Path | str, entry_modules: Sequence[str]) -> dict[str, Any]:
    """Return what a model's lineage says of its code: `git_commit`, `git_clean`, and `code_digest`.

    The first two are "unknown" where the project is not under Git, or Git is not installed.

    Args:
        folder: the project's folder.
        entry_modules: as for `code_digest`.
    """
    head = commit(folder)
    return {
        "git_commit": head.hash or UNKNOWN,
        "git_clean": head.clean if head.hash else UNKNOWN,
        "code_digest": code_digest(entry_modules),
    }


def commit(folder: Path | str) -> Commit:
    """Return the commit checked out in `folder`, and whether tracked files are as committed.

    Untracked files are ignored: they are not part of the code that ran from the repository. A container image carries
    no repository; there the variable `THORAX_COMMIT`, set when it was built, tells.
    """
    head = _git(folder, "rev-parse", "HEAD") if under_git(folder) else None
    if not head:
        built = os.environ.get("THORAX_COMMIT", "")
        return Commit(built, clean=True) if re.fullmatch("[0-9a-f]{40}", built) else Commit("", clean=False)
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Commit(head.strip(), clean=changes is not None and not changes.strip())


def versions(packages: Sequence[str] = TRACKED) -> dict[str, str]:
    """Return `{package: version}` of those that are installed, and of Python; nothing is imported."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def _hardware() -> tuple[tuple[str, str], ...]:
    facts = {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1),
        "memory_gib": _memory(),
        "gpu": _gpu(),
    }
    return tuple(facts.items())


def hardware() -> dict[str, str]:
    """Return what the machine is: processor, usable cores, memory in GiB, and the GPU's name or "none"."""
    return dict(_hardware())


def code_digest(entry_modules: Sequence[str], root: Path | str = _ROOT) -> str:
    """Return the SHA-256 (hex) of the project's own sources that the entry modules can reach by static imports.

    A step's cache is keyed on it: a change in serving code does not retrain, a change in the loss does.
    What lies outside the project's packages counts by its version, not here.

    Args:
        entry_modules: dotted names, such as `"thorax.training"`.
        root: the folder that holds the project's packages.

    Raises:
        InputError: an entry module does not exist, or a source cannot be parsed.
    """
    base = Path(root)
    digest = hashlib.sha256()
    for file in reachable(entry_modules, base):
        digest.update(file.relative_to(base).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def reachable(entry_modules: Sequence[str], root: Path | str = _ROOT) -> list[Path]:
    """Return the sorted files that `code_digest` covers.

    They are the modules themselves, the `__init__` of every package above them (Python runs it), imports inside
    functions too, and files that lie in a reached package and are no modules, such as page templates.

    Raises:
        InputError: as `code_digest`.
    """
    base = Path(root)
    seen: dict[str, Path] = {}
    queue = list(entry_modules)
    for name in entry_modules:
        if _source(base, name) is None:
            raise InputError(f"There is no module {name} below {base}.", "Name an importable module of the project.")
    while queue:
        name = queue.pop()
        file = _source(base, name)
        if file is None or name in seen:
            continue
        seen[name] = file
        queue.extend(_parents(name))
        facts = file.stat()
        queue.extend(_imports(file, name, (facts.st_mtime_ns, facts.st_size)))
    packages = {file.parent for file in seen.values() if file.name == "__init__.py"}
    assets = {asset for package in packages for asset in _assets(package)}
    return sorted({*seen.values(), *assets})


def _source(base: Path, name: str) -> Path | None:
    """The file of a dotted name, if it is one of the project's own modules."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return None
    stem = base.joinpath(*parts)
    for file in (stem / "__init__.py", stem.with_suffix(".py")):
        if file.is_file():
            return file
    return None


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts)):
        yield ".".join(parts[:length])


@cache
def _imports(file: Path, name: str, stamp: tuple[int, int]) -> tuple[str, ...]:
    """Every module that a source may import, at its top or inside a function; those for type checkers alone are not.

    `stamp` is the file's time and size: eight steps share most of their sources, and each is parsed once.
    """
    return tuple(_find_imports(file, name))


def _find_imports(file: Path, name: str) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be parsed: {error}.", "Correct the file and run again.") from error
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            # A name taken from a package may be a module below it.
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _is_import_module(node.func) and node.args:
            target = node.args[0]
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                yield target.value
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            stack.extend(node.orelse)
        else:
            stack.extend(ast.iter_child_nodes(node))


def _is_import_module(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name == "import_module"


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _assets(package: Path) -> Iterator[Path]:
    """Files of a package that are no Python modules, and of folders below it that are no packages."""
    for entry in package.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__" and not (entry / "__init__.py").exists():
                yield from _assets(entry)
        elif entry.suffix not in {".py", ".pyc"} and not entry.name.startswith("."):
            yield entry


def _git(folder: Path | str, *arguments: str) -> str | None:
    """Standard output of a git command, or None where git or the repository is missing."""
    try:
        # Optional locks would make a status in the background disturb a commit in the foreground.
        result = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return "unknown"
    return f"{total / 2**30:.1f}"


def _gpu() -> str:
    """The GPUs' names by the driver's own tool: importing PyTorch for it would take seconds."""
    if shutil.which("nvidia-smi") is None:
        return "none"
    try:
        result = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return "none"
    names = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    return ", ".join(names) if result.returncode == 0 and names else "none"
