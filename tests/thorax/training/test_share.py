"""Two processes that share each batch train as one does, and lose no image."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from trainable_store import quick_recipe, write_store

from thorax.errors import InputError
from thorax.training import TrainingError, share, train
from thorax.training.launch import _raise_refusal

#: Batches of 15 do not divide by two: the processes' parts differ in size.
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


def test_what_a_process_refused_is_raised_here_and_a_death_is_told(tmp_path):
    with pytest.raises(TrainingError, match=r"(?s)ended with code 9.*out of luck"):
        _raise_refusal(tmp_path, "custom_cnn", 9, "out of luck")
    told = {"message": "No positives of Mass.", "mend": "Leave it out.", "kind": "InputError"}
    (tmp_path / "error-1.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"No positives of Mass. Leave it out."):
        _raise_refusal(tmp_path, "custom_cnn", 2, "")


@pytest.mark.slow
@pytest.mark.timeout(300)  # torchrun and two processes import PyTorch anew
def test_two_processes_train_as_one_does(tmp_path):
    store = write_store(tmp_path / "store")
    curves, reports = {}, []
    for processes in (1, 2):
        out, recipe = tmp_path / f"out{processes}", quick_recipe(**SHARED, processes=processes)
        facts = train(store, "custom_cnn", recipe, out, report=reports.append, checkpoints=tmp_path / f"k{processes}")
        assert facts["processes"] == processes
        curves[processes] = json.loads((out / "curves.json").read_text())
    for name in ("train_loss", "validation_loss", "gradient_norm"):
        one, two = ([record[name] for record in curves[processes]] for processes in (1, 2))
        assert two == pytest.approx(one, abs=1e-4), name
    one, two = (load_file(tmp_path / f"out{processes}" / "weights.safetensors") for processes in (1, 2))
    assert max(np.abs(two[name] - tensor).max() for name, tensor in one.items()) < 2e-3
    halves = [report for report in reports if report["stage"] == "train"]
    assert len(halves) % 2 == 0
    assert [r["step"] for r in halves[: len(halves) // 2]] == [r["step"] for r in halves[len(halves) // 2 :]]
