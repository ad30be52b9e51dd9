"""Data revisions: recorded, compared with the files, refused when they do not match. The DVC here is the real one."""

import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from thorax.datasets import versioning
from thorax.errors import InputError


def run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git and DVC repository with a local remote and a tracked folder `data` of two files."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    run(home, "git", "init", "-q")
    Repo.init(str(home)).close()
    remote = (
        f"[core]\n    analytics = false\n    remote = local\n['remote \"local\"']\n    url = {tmp_path / 'remote'}\n"
    )
    (home / ".dvc" / "config").write_text(remote)
    (home / "data" / "a.txt").write_text("one")
    (home / "data" / "b.txt").write_text("two")
    return home


def test_the_revision_is_what_the_pointer_records(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 0123.dir\n  path: data\n")
    assert versioning.revision(tmp_path, tmp_path / "data", verify=False) == "0123.dir"
    # A folder inside the tracked one stands under the same revision.
    (tmp_path / "data" / "part").mkdir()
    assert versioning.pointer(tmp_path / "data" / "part") == tmp_path / "data.dvc"


@pytest.mark.parametrize("text", ["", "outs: []", "outs:\n- path: data\n", "[", "outs: 3"])
def test_a_damaged_pointer_is_named(tmp_path, text):
    (tmp_path / "data").mkdir()
    (tmp_path / "data.dvc").write_text(text)
    with pytest.raises(InputError, match=r"data\.dvc records no revision.*dvc add data"):
        versioning.revision(tmp_path, tmp_path / "data", verify=False)


def test_a_pointer_of_another_repository_is_not_taken(tmp_path):
    (tmp_path / "outer.dvc").write_text("outs:\n- md5: 0123.dir\n")
    (tmp_path / "outer" / "data").mkdir(parents=True)
    (tmp_path / "outer" / ".git").mkdir()
    assert versioning.pointer(tmp_path / "outer" / "data") is None


def test_an_untracked_folder_has_a_fingerprint_and_a_warning(tmp_path, caplog):
    root = tmp_path / "data"
    root.mkdir()
    (root / "a.txt").write_text("one")
    first = versioning.revision(tmp_path, root)
    assert first.startswith("files:")
    assert "not tracked by DVC" in caplog.text and "thorax data add" in caplog.text
    assert versioning.revision(tmp_path, root) == first
    (root / ".hidden").write_text("editors leave such files")
    assert versioning.revision(tmp_path, root) == first
    (root / "a.txt").write_text("other")
    assert versioning.revision(tmp_path, root) != first
    assert versioning.state(tmp_path, root).condition == "untracked"


def test_without_a_repository_it_says_how_to_make_one(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"no DVC repository at .*`git init` and `dvc init`"):
        versioning.track(tmp_path, tmp_path / "data")


@pytest.mark.slow
def test_a_tracked_folder_is_followed_through_every_condition(repository):
    root = repository / "data"
    recorded = versioning.track(repository, root)
    assert recorded.condition == "clean" and recorded.cached
    assert recorded.revision.endswith(".dir")
    assert versioning.revision(repository, root) == recorded.revision

    (root / "a.txt").write_text("changed")
    with pytest.raises(InputError, match=r"differs from revision .*`dvc add data`.*`dvc checkout --force`"):
        versioning.revision(repository, root)
    (root / "a.txt").write_text("one")
    assert versioning.check(repository, root).condition == "clean"

    (root / "c.txt").write_text("one more")
    assert versioning.state(repository, root).condition == "modified"
    (root / "c.txt").unlink()
    (root / "b.txt").unlink()
    assert versioning.state(repository, root).condition == "modified"

    (root / "a.txt").unlink()
    root.rmdir()
    with pytest.raises(InputError, match=r"is not in .*data.*`dvc pull`"):
        versioning.revision(repository, root)


@pytest.mark.slow
def test_push_and_pull_bring_the_recorded_files_back(repository):
    root = repository / "data"
    recorded = versioning.track(repository, root)
    versioning.push(repository, root)
    for folder in (root, repository / ".dvc" / "cache"):
        run(repository, "rm", "-rf", str(folder))
    back = versioning.pull(repository, root)
    assert back == recorded
    assert (root / "a.txt").read_text() == "one"


@pytest.mark.slow
def test_a_clone_that_made_the_same_files_again_is_clean_and_others_are_not(repository):
    # As after `git clone` and `make-phantom`: right files, empty cache. DVC's own status calls both "not in cache".
    root = repository / "data"
    recorded = versioning.track(repository, root)
    run(repository, "rm", "-rf", ".dvc/cache", ".dvc/tmp")
    same = versioning.state(repository, root)
    assert (same.condition, same.cached, same.revision) == ("clean", False, recorded.revision)
    (root / "a.txt").write_text("changed")
    with pytest.raises(InputError, match=r"`dvc pull --force`"):
        versioning.check(repository, root)


@pytest.mark.slow
def test_what_dvc_refuses_is_said_in_its_words(repository):
    root = repository / "data"
    with pytest.raises(InputError, match=r"No \.dvc file stands for .*data"):
        versioning.pull(repository, root)
    versioning.track(repository, root)
    for folder in (root, repository / ".dvc" / "cache"):
        run(repository, "rm", "-rf", str(folder))
    with pytest.raises(InputError, match=r"DVC failed: .*data"):
        versioning.pull(repository, root)
