"""A dataset's files are set in place whole or not at all, and nothing else is lost."""

import pytest

from thorax.datasets import bring
from thorax.errors import InputError, RoomError
from thorax.settings import Data


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(b"a")
    (folder / "train.csv").write_text("Path\n")
    (folder / ".DS_Store").write_text("junk")
    return folder


@pytest.mark.parametrize("how", ["copy", "move", "link"])
def test_files_are_set_in_place(source, tmp_path, how):
    target = tmp_path / "home" / "data"
    inode = (source / "train.csv").stat().st_ino
    seen = []
    assert bring.bring(source, target, how, seen.append) == 2
    assert sum(seen) == 2
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()) == [
        "images/a.png",
        "train.csv",
    ]
    assert ((target / "train.csv").stat().st_ino == inode) is (how != "copy")
    # What was not brought stays where it was.
    assert (source / ".DS_Store").exists()
    assert (source / "train.csv").exists() is (how != "move")


def test_a_dataset_is_replaced_whole(source, tmp_path):
    target = tmp_path / "data"
    (target / "images").mkdir(parents=True)
    (target / "images" / "old.png").write_bytes(b"old")
    bring.bring(source, target)
    assert not (target / "images" / "old.png").exists()


def test_a_failure_leaves_the_old_dataset_as_it_was(source, tmp_path, monkeypatch):
    target = tmp_path / "data"
    target.mkdir()
    (target / "old.csv").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(RoomError, match="No room left"):
        bring.bring(source, target)
    assert [path.name for path in target.iterdir()] == ["old.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "source"]


def test_too_little_room_is_said_before_anything_is_written(source, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1})())
    with pytest.raises(RoomError, match="MiB free"):
        bring.bring(source, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_folders_that_make_no_sense_are_refused(source, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, message in (
        (tmp_path / "nowhere", "is not a folder"),
        (tmp_path / "empty", "is empty"),
        (tmp_path, "lie in each other"),
    ):
        with pytest.raises(InputError, match=message):
            bring.bring(folder, tmp_path / "data")
    with pytest.raises(InputError, match="lie in each other"):
        bring.bring(source / "images", source)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["phantom.json", "Data_Entry_2017_v2020.csv"], "phantom"),
        (["Data_Entry_2017.csv"], "nih"),
        (["train.csv"], "chexpert"),
        (["CheXpert-v1.0-small/train.csv"], "chexpert"),
        (["table.csv"], "table"),
        (["notes.txt"], None),
    ],
)
def test_the_adapter_is_told_by_the_files(tmp_path, files, expected):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert bring.detect(tmp_path, Data()) == expected
