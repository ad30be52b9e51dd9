"""A run that is broken off goes on where it was, and ends with the weights of one that was not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trainable_store
from safetensors.numpy import load_file
from trainable_store import quick_recipe, write_store

from thorax.errors import InputError
from thorax.training import train

_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
from trainable_store import quick_recipe
from thorax.training import train

def report(state):
    if state["stage"] == "train":
        print(state["epoch"], state["step"], flush=True)

here = Path(sys.argv[2])
train(here / "store", "custom_cnn", quick_recipe(), here / "out", checkpoints=here / "kept", report=report)
"""


class StopError(Exception):
    """Breaks a run off from within."""


def weights(out: Path) -> dict:
    return load_file(out / "weights.safetensors")


def assert_same_weights(first: Path, second: Path) -> None:
    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert (tensor == two[name]).all(), name


def breaking_at(epoch: int, step: int):
    def report(state):
        if state["stage"] == "train" and (state["epoch"], state["step"]) == (epoch, step):
            raise StopError

    return report


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a store and of a run that nothing broke off."""
    folder = tmp_path_factory.mktemp("whole")
    write_store(folder / "store")
    train(folder / "store", "custom_cnn", quick_recipe(), folder / "out")
    return folder


def test_the_same_seed_gives_the_same_weights(whole, tmp_path):
    train(whole / "store", "custom_cnn", quick_recipe(), tmp_path / "out")
    assert_same_weights(whole / "out", tmp_path / "out")


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_broken_off_in_mid_epoch(whole, tmp_path, schedule):
    recipe = quick_recipe(schedule=schedule, patience=3)
    with pytest.raises(StopError):
        train(
            whole / "store",
            "custom_cnn",
            recipe,
            tmp_path / "out",
            checkpoints=tmp_path / "k",
            report=breaking_at(3, 2),
        )
    assert not (tmp_path / "out").exists()
    train(whole / "store", "custom_cnn", recipe, tmp_path / "out", checkpoints=tmp_path / "k")
    train(whole / "store", "custom_cnn", recipe, tmp_path / "again")
    assert_same_weights(tmp_path / "again", tmp_path / "out")


def test_a_checkpoint_of_other_settings_is_refused(whole, tmp_path):
    with pytest.raises(StopError):
        train(
            whole / "store",
            "custom_cnn",
            quick_recipe(),
            tmp_path / "out",
            checkpoints=tmp_path / "k",
            report=breaking_at(2, 1),
        )
    with pytest.raises(InputError, match=r"another configuration: train.learning_rate was 0.003 and is 0.001"):
        train(
            whole / "store",
            "custom_cnn",
            quick_recipe(learning_rate=0.001),
            tmp_path / "out",
            checkpoints=tmp_path / "k",
        )


def test_a_finished_training_is_not_repeated(whole, tmp_path):
    trained = []
    for _ in range(2):
        reports: list[dict] = []
        train(
            whole / "store",
            "custom_cnn",
            quick_recipe(epochs=2),
            tmp_path / "out",
            checkpoints=tmp_path / "k",
            report=reports.append,
        )
        trained.append([report for report in reports if report["stage"] == "train"])
    assert trained[0]
    assert not trained[1]


@pytest.mark.slow
@pytest.mark.timeout(300)  # the child imports PyTorch anew, which takes its time on a busy machine
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 1)], ids=["KILL", "TERM", "INT"]
)
def test_a_killed_process_ends_with_the_very_same_weights(whole, tmp_path, number, code):
    write_store(tmp_path / "store")
    command = [sys.executable, "-c", _CHILD, trainable_store.__file__, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        for line in child.stdout:
            if line.split() == ["3", "2"]:
                child.send_signal(number)
                break
        child.stdout.read()
    assert child.returncode == code
    assert not (tmp_path / "out").exists()
    reports: list[dict] = []
    train(
        tmp_path / "store",
        "custom_cnn",
        quick_recipe(),
        tmp_path / "out",
        checkpoints=tmp_path / "kept",
        report=reports.append,
    )
    # What was kept: the last whole epoch or, where there was time for it, the very step.
    steps_left = sum(report["stage"] == "train" and report["epoch"] == 3 for report in reports)
    assert steps_left == 5 + 1 if number == signal.SIGKILL else steps_left < 5 + 1
    assert_same_weights(whole / "out", tmp_path / "out")
