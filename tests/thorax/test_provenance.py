"""Provenance: what a cache key covers, and what it leaves alone."""

import subprocess
from pathlib import Path

import pytest

from thorax import provenance
from thorax.errors import InputError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project: training reaches loss and data, serving stands apart."""
    files = {
        "thorax/__init__.py": "",
        "thorax/training/__init__.py": "from thorax.training.loop import fit\n",
        "thorax/training/loop.py": "from thorax import files\ndef fit():\n    from thorax.losses import focal\n",
        "thorax/losses.py": "import numpy\nfocal = 2\n",
        "thorax/files.py": "import importlib\nlazy = importlib.import_module('thorax.lazily')\n",
        "thorax/lazily.py": "",
        "thorax/page.html": "<p>",
        "thorax/training/pages/table.html": "<table>",
        "thorax/types.py": "",
        "thorax/unrelated.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import thorax.types\n",
        "serving/__init__.py": "",
        "serving/service.py": "import thorax.training\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(tree: Path, *entries: str) -> set[str]:
    return {path.relative_to(tree).as_posix() for path in provenance.reachable(entries, tree)}


def test_it_follows_imports_at_the_top_inside_functions_and_through_packages(tree: Path) -> None:
    assert names(tree, "thorax.training.loop") == {
        "thorax/__init__.py",
        "thorax/page.html",
        "thorax/training/__init__.py",
        "thorax/training/pages/table.html",
        "thorax/training/loop.py",
        "thorax/losses.py",
        "thorax/files.py",
        "thorax/lazily.py",
    }


@pytest.mark.parametrize(
    ("file", "retrains"),
    [
        ("thorax/losses.py", True),
        ("thorax/lazily.py", True),
        ("thorax/training/pages/table.html", True),
        ("thorax/training/__init__.py", True),
        ("serving/service.py", False),
        ("thorax/unrelated.py", False),
    ],
)
def test_only_a_change_in_reached_code_changes_the_digest(tree: Path, file: str, retrains: bool) -> None:
    before = provenance.code_digest(["thorax.training"], tree)
    path = tree / file
    path.write_text(path.read_text() + "\n# changed\n")
    assert (provenance.code_digest(["thorax.training"], tree) != before) is retrains


def test_imports_for_type_checkers_do_not_count(tree: Path) -> None:
    assert "thorax/types.py" not in names(tree, "thorax.unrelated")


def test_an_unknown_entry_module_is_named(tree: Path) -> None:
    with pytest.raises(InputError, match=r"thorax\.trainning"):
        provenance.code_digest(["thorax.trainning"], tree)


def test_a_source_that_cannot_be_parsed_is_named(tree: Path) -> None:
    (tree / "thorax/losses.py").write_text("def broken(:\n")
    with pytest.raises(InputError, match=r"losses\.py"):
        provenance.code_digest(["thorax.training"], tree)


def test_the_project_itself_has_a_digest_that_does_not_depend_on_the_order_of_entries() -> None:
    entries = ["thorax.settings", "thorax.files"]
    assert provenance.code_digest(entries) == provenance.code_digest(entries[::-1])


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_a_commit_is_clean_with_untracked_files_and_dirty_with_changed_ones(tmp_path: Path) -> None:
    assert provenance.commit(tmp_path) == provenance.Commit("", clean=False)
    git(tmp_path, "init")
    (tmp_path / "a.txt").write_text("a")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "note.txt").write_text("mine")
    found = provenance.commit(tmp_path)
    assert len(found.hash) == 40
    assert found.clean
    (tmp_path / "a.txt").write_text("b")
    assert not provenance.commit(tmp_path).clean


def test_versions_and_hardware_are_filled_in() -> None:
    versions = provenance.versions()
    assert versions["numpy"][0].isdigit()
    assert {"python", "torch", "mlflow"} <= versions.keys()
    assert provenance.versions(["no-such-package"]).keys() == {"python"}
    hardware = provenance.hardware()
    assert int(hardware["cores"]) >= 1
    assert hardware["gpu"]


def test_another_projects_commit_is_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "thorax"
    folder.mkdir()
    (folder / "params.yaml").write_text("")

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@y.z"]
        return subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True).stdout

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "theirs")
    assert not provenance.under_git(folder)
    assert provenance.commit(folder) == provenance.Commit("", clean=False)
    assert provenance.code_lineage(folder, ["thorax.errors"])["git_commit"] == "unknown"
    (folder / ".git").write_text("gitdir: /nowhere")  # as a copied work tree has
    assert not provenance.under_git(folder)
    (folder / ".git").unlink()
    git("add", "-A")
    git("commit", "-q", "-m", "a part of a larger repository")
    assert provenance.under_git(folder)
    assert provenance.commit(folder).clean
