"""The `.dvc` file in Git: on a branch beside the work, in place, or nowhere; and never twice."""

import subprocess
from pathlib import Path

import pytest

from thorax.datasets.pointers import commit


def git(folder: Path, *arguments: str) -> str:
    name = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    return subprocess.run(
        ["git", *name, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def pointer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))  # a server's account has no name
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = tmp_path / "project" / "sub"
    folder.mkdir(parents=True)
    git(tmp_path / "project", "init", "-q", "-b", "main")
    (folder / "other.txt").write_text("as it was")
    (folder / "data.dvc").write_text("outs: 1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "begin")
    return folder / "data.dvc"


def test_a_branch_of_its_own_leaves_the_work_alone(pointer: Path) -> None:
    (pointer.parent / "other.txt").write_text("half done")
    git(pointer.parent, "add", "other.txt")
    head = git(pointer.parent, "rev-parse", "HEAD")
    pointer.write_text("outs: 2\n")
    made = commit(pointer, "Add cases", "branch", "thorax/cases")
    assert git(pointer.parent, "rev-parse", "thorax/cases") == made
    assert git(pointer.parent, "show", "thorax/cases:sub/data.dvc") == "outs: 2"
    assert git(pointer.parent, "show", "thorax/cases:sub/other.txt") == "as it was"
    assert git(pointer.parent, "rev-parse", "thorax/cases~1") == head == git(pointer.parent, "rev-parse", "HEAD")
    assert sorted(git(pointer.parent, "status", "--porcelain").split()) == ["M", "M", "sub/data.dvc", "sub/other.txt"]
    assert git(pointer.parent, "diff", "--cached", "--name-only") == "sub/other.txt"
    assert commit(pointer, "Add cases", "branch", "thorax/cases") == made, "it is there already"
    pointer.write_text("outs: 3\n")
    assert commit(pointer, "More", "branch", "thorax/cases") != made
    assert git(pointer.parent, "rev-parse", "thorax/cases~1") == made


def test_in_place_commits_this_file_alone_and_once(pointer: Path) -> None:
    (pointer.parent / "other.txt").write_text("half done")
    git(pointer.parent, "add", "other.txt")
    pointer.write_text("outs: 2\n")
    made = commit(pointer, "Add cases", "in_place", "")
    assert git(pointer.parent, "rev-parse", "HEAD") == made
    assert git(pointer.parent, "show", "--name-only", "--format=", "HEAD") == "sub/data.dvc"
    assert git(pointer.parent, "status", "--porcelain") == "M  sub/other.txt"
    assert commit(pointer, "Add cases", "in_place", "") == made


def test_nothing_is_committed_where_that_is_wished_or_there_is_no_repository(pointer: Path, tmp_path: Path) -> None:
    assert commit(pointer, "Add cases", "none", "") == ""
    (tmp_path / "alone.dvc").write_text("outs: 1\n")
    assert commit(tmp_path / "alone.dvc", "Add cases", "branch", "b") == ""
