"""A dataset has the same bytes from any number of workers, continues after any interruption, or is refused at once."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thorax.datasets.phantom import generate, truth, worker
from thorax.datasets.phantom.generate import make_phantom
from thorax.datasets.phantom.render import Phantom, render
from thorax.datasets.phantom.subject import Subject
from thorax.errors import InputError, RoomError
from thorax.files import digest_folder

COUNT = 40  # more than a block
ARGUMENTS = {"count": COUNT, "size": 32, "seed": 3, "findings": "Effusion,Mass", "workers": 1}


def draw(subject: Subject, size: int) -> Phantom:
    """Stand in for the renderer: noise of the subject's seed, and a square for each finding."""
    image = np.random.default_rng(subject.seed).integers(0, 4096, (size, size), dtype=np.uint16)
    square = np.zeros((size, size), dtype=bool)
    square[4:8, 4:8] = True
    masks = dict.fromkeys(subject.findings, square)
    boxes = dict.fromkeys(subject.findings, (4 / size, 4 / size, 4 / size, 4 / size))
    return Phantom(image, (image >> 4).astype(np.uint8), masks, boxes, dict(subject.findings), 0.45, square)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "render", draw)
        make_phantom(folder, **ARGUMENTS)
    return folder


@pytest.fixture(autouse=True)
def quick_renderer(monkeypatch):
    """What is tested here is all but the rendering; processes of their own still render."""
    monkeypatch.setattr(worker, "render", draw)


def test_a_finished_dataset_holds_its_parts_and_nothing_of_its_making(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "BBox_List_2017.csv",
        "Data_Entry_2017_v2020.csv",
        "images",
        "phantom.json",
        "test_list.txt",
        "train_val_list.txt",
        "truth.parquet",
    }
    about = json.loads((finished / "phantom.json").read_text())
    assert about["synthetic"] is True and about["complete"] is True and about["seed"] == 3
    assert about["arguments"]["size"] == 32 and about["arguments"]["rates"] == {"Effusion": 0.3, "Mass": 0.3}
    rows = pd.read_parquet(finished / "truth.parquet")
    assert len(rows) == COUNT * 3  # Effusion, Mass, Support_Devices
    assert rows["cardiothoracic_ratio"].between(0.2, 0.9).all()


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_a_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "render", render)
    folders = {}
    for workers in (1, 2):
        steps: list[int] = []
        make_phantom(tmp_path / str(workers), **ARGUMENTS | {"workers": workers}, advance=steps.append)
        folders[workers] = digest_folder(tmp_path / str(workers))
        assert sum(steps) == COUNT
    assert folders[1] == folders[2]


def test_another_seed_gives_other_images(finished, tmp_path):
    make_phantom(tmp_path / "data", **ARGUMENTS | {"seed": 4, "count": 4})
    ours, theirs = (sorted((folder / "images").iterdir())[0] for folder in (tmp_path / "data", finished))
    assert ours.read_bytes() != theirs.read_bytes()


def interrupt_after(monkeypatch, images: int) -> None:
    """Raise Ctrl-C in the middle of writing an image."""
    write, left = worker._write_image, [images]

    def failing(layout, path, case, phantom):
        if left[0] == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f".{path.name}.1.tmp").write_bytes(b"half")
            raise KeyboardInterrupt
        left[0] -= 1
        write(layout, path, case, phantom)

    monkeypatch.setattr(worker, "_write_image", failing)


@pytest.mark.parametrize("images", [0, 5, 35])
def test_an_interrupted_run_is_continued_and_makes_only_what_lacks(finished, tmp_path, monkeypatch, images):
    folder = tmp_path / "data"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, images)
        make_phantom(folder, **ARGUMENTS)
    written = {path: path.stat().st_mtime_ns for path in (folder / "images").glob("0*.png")}
    assert len(written) == images
    assert not (folder / "Data_Entry_2017_v2020.csv").exists(), "an unfinished dataset cannot be read as a whole one"
    assert json.loads((folder / "phantom.json").read_text())["complete"] is False
    assert make_phantom(folder, **ARGUMENTS)["made"] == COUNT - images
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert digest_folder(folder) == digest_folder(finished)


def test_a_journal_line_cut_short_is_made_again(finished, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 5)
        make_phantom(folder, **ARGUMENTS)
    journal = next((folder / worker.JOURNALS).iterdir())
    journal.write_bytes(journal.read_bytes()[:-20])
    make_phantom(folder, **ARGUMENTS)
    assert digest_folder(folder) == digest_folder(finished)


def test_a_finished_dataset_is_left_alone_and_lost_files_are_made_again(finished, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(finished, folder)
    assert make_phantom(folder, **ARGUMENTS)["made"] == 0
    lost = sorted((folder / "images").iterdir())[13]
    lost.unlink()
    assert make_phantom(folder, **ARGUMENTS)["made"] == 1
    assert digest_folder(folder) == digest_folder(finished)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "seed was 3, not 4"),
        ({"count": 71}, f"count was {COUNT}, not 71"),
        ({"shift": {"noise": 2}}, "shift was"),
        ({"masks": True}, "masks was False, not True"),
    ],
)
def test_other_arguments_are_refused_before_anything_is_written(finished, change, named):
    before = digest_folder(finished)
    with pytest.raises(InputError, match="was begun otherwise") as refusal:
        make_phantom(finished, **ARGUMENTS | change)
    assert named in str(refusal.value)
    assert digest_folder(finished) == before


def test_another_generator_s_images_are_not_mixed(finished, monkeypatch):
    monkeypatch.setattr(generate, "GENERATOR", "99")
    with pytest.raises(InputError, match="generator's version was"):
        make_phantom(finished, **ARGUMENTS)


@pytest.mark.parametrize("name", ["thesis.doc", ".git", "images"])
def test_a_folder_that_holds_something_else_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="holds something else") as refusal:
        make_phantom(tmp_path, **ARGUMENTS)
    assert name in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        make_phantom(tmp_path / "data", **ARGUMENTS)


def test_a_foreign_phantom_json_is_refused(tmp_path):
    (tmp_path / "phantom.json").write_text("[]")
    with pytest.raises(InputError, match=r"was not written by"):
        make_phantom(tmp_path, **ARGUMENTS)


def test_a_full_disk_is_refused_before_it_is_filled(tmp_path):
    with pytest.raises(RoomError, match="MiB free"):
        make_phantom(tmp_path / "data", count=9_000_000, size=4096)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_midway_is_named_and_the_run_continues(finished, tmp_path, monkeypatch):
    folder = tmp_path / "data"

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(RoomError, match="No room left"):
        patch.setattr(worker, "_write_image", full)
        make_phantom(folder, **ARGUMENTS)
    assert make_phantom(folder, **ARGUMENTS)["made"] == COUNT
    assert digest_folder(folder) == digest_folder(finished)


@pytest.mark.slow
def test_a_killed_worker_is_named_and_the_run_continues(tmp_path, monkeypatch, finished):
    with monkeypatch.context() as patch, pytest.raises(RoomError, match="was killed"):
        patch.setattr(generate, "make_block", die)
        make_phantom(tmp_path / "data", **ARGUMENTS | {"workers": 2})
    make_phantom(tmp_path / "data", **ARGUMENTS)
    assert digest_folder(tmp_path / "data") == digest_folder(finished)


def die(*_):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_memory_stays_flat_in_the_number_of_images(tmp_path, monkeypatch):
    import tracemalloc

    monkeypatch.setattr(truth, "_ROWS", 100)
    peaks = []
    for count in (100, 800):
        tracemalloc.start()
        make_phantom(tmp_path / str(count), **ARGUMENTS | {"count": count})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
