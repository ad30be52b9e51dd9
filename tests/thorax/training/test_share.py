"""Several processes that share each batch train as one does, and lose no image."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from trainable_store import quick_recipe, write_store

from thorax.errors import InputError
from thorax.preprocessing.store import ImageStore
from thorax.training import TrainingError, launch, share, train
from thorax.training.launch import _raise_refusal, processes_of

#: Batches of 15 divide neither by two nor by four: the processes' parts differ in size.
SHARED = {
    "dropout": 0.0,
    "batch_size": 15,
    "epochs": 3,
    "ema": 0.5,
    "augment": {"rotate": 5.0, "shift": 0.03, "scale": 0.0, "noise": 0.02},
}


def test_alone_everything_is_as_it_was_given():
    rows = np.arange(5)
    assert (share.rank(), share.world()) == (0, 1)
    assert np.array_equal(share.part(rows), rows)
    assert np.array_equal(share.together(rows, 5), rows)
    assert share.anywhere(True)
    assert not share.anywhere(False)


def test_parts_hold_every_image_once(monkeypatch):
    monkeypatch.setattr(share, "world", lambda: 3)
    parts = []
    for number in range(3):
        monkeypatch.setattr(share, "rank", lambda number=number: number)
        parts.append(share.part(np.arange(17)))
    assert sorted(np.concatenate(parts)) == list(range(17))


def test_more_processes_than_images_a_batch_are_refused():
    with pytest.raises(ValueError, match="processes: 4 cannot share batches of batch_size 3"):
        quick_recipe(processes=4, batch_size=3)


@pytest.mark.parametrize(
    ("asked", "gpus", "device", "found"),
    [(1, 4, "auto", 1), (0, 4, "auto", 4), (0, 0, "auto", 1), (0, 4, "cpu", 1), (3, 0, "auto", 3), (0, 64, "auto", 16)],
)
def test_zero_processes_are_one_a_gpu(monkeypatch, asked, gpus, device, found):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert processes_of(quick_recipe(processes=asked, device=device, batch_size=16)) == found


def test_what_a_process_refused_is_raised_here_and_a_death_is_told(tmp_path):
    with pytest.raises(TrainingError, match=r"(?s)ended with exit code 9.*out of luck"):
        _raise_refusal(tmp_path, "custom_cnn", 9, "out of luck")
    told = {"message": "No positives of Mass.", "mend": "Leave it out.", "kind": "InputError"}
    (tmp_path / "error-1.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"No positives of Mass. Leave it out."):
        _raise_refusal(tmp_path, "custom_cnn", 2, "")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A store, and what one process made of it; every training image fills a place of a batch of 15."""
    folder = tmp_path_factory.mktemp("alone")
    store = write_store(folder / "store", count=150)
    recipe = quick_recipe(**SHARED, processes=1)
    reports = []
    train(store, "custom_cnn", recipe, folder / "out", report=reports.append)
    return folder, store, steps_of(reports)


def steps_of(reports):
    return [(one["epoch"], one["step"]) for one in reports if one["stage"] == "train"]


@pytest.mark.slow
@pytest.mark.timeout(300)  # torchrun and its processes import PyTorch anew
def test_two_processes_train_as_one_does_and_lose_no_image(tmp_path, monkeypatch, alone):
    folder, store, steps = alone
    processes = 2
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setattr(launch, "WORKER", [str(Path(__file__).parents[2] / "support" / "seen_worker.py")])
    recipe, reports = quick_recipe(**SHARED, processes=processes), []
    facts = train(store, "custom_cnn", recipe, tmp_path / "out", report=reports.append, checkpoints=notes)
    assert facts["processes"] == processes
    assert steps_of(reports) == steps

    one, several = (json.loads((place / "out" / "curves.json").read_text()) for place in (folder, tmp_path))
    for name in ("train_loss", "validation_loss", "gradient_norm"):
        assert [epoch[name] for epoch in several] == pytest.approx([epoch[name] for epoch in one], abs=1e-4), name
    ours, theirs = (load_file(place / "out" / "weights.safetensors") for place in (folder, tmp_path))
    assert max(np.abs(theirs[name] - tensor).max() for name, tensor in ours.items()) < 2e-3

    training = sorted(ImageStore.open(store).indices("train"))
    assert len(training) == 75
    seen = [(notes / f"seen-{rank}.txt").read_text().splitlines() for rank in range(processes)]
    for epoch in range(3):
        rows = [int(row) for lines in seen for line in lines[5 * epoch : 5 * epoch + 5] for row in line.split()]
        assert sorted(rows) == training
    sizes = {len(lines[0].split()) for lines in seen}
    assert sizes == {15 // processes, 15 // processes + 1}  # parts of a batch differ by one image
