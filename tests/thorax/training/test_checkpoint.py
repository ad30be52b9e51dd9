"""A checkpoint gives back exactly what was kept, and is refused where it does not belong."""

import pytest
import torch

from thorax import settings
from thorax.errors import InputError
from thorax.models import build
from thorax.training import checkpoint
from thorax.training.checkpoint import State
from thorax.training.optimise import make_optimizer

CONFIGURATION = {"architecture": "custom_cnn", "train": {"learning_rate": 0.001, "augment": {"rotate": 10.0}}}


def made(seed: int, steps: int):
    torch.manual_seed(seed)
    network = build("custom_cnn", 2).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(network, settings.Train())
    for _ in range(steps):
        step(network, optimizer)
    return network, optimizer


def step(network, optimizer):
    optimizer.zero_grad()
    network(torch.rand((4, 1, 32, 32), generator=torch.Generator().manual_seed(1))).logits.square().sum().backward()
    optimizer.step()


def test_a_run_taken_up_goes_on_as_if_it_had_never_stopped(tmp_path):
    network, optimizer = made(0, steps=3)
    network.dropout.p = 0
    state = State(epoch=2, step=1, best_score=0.8, best_epoch=1, curves=[{"epoch": 1}], seconds=3.5)
    best = {name: tensor * 2 for name, tensor in network.state_dict().items()}
    checkpoint.save(tmp_path, CONFIGURATION, state, network, optimizer, best, {"average/a": torch.ones(2)})
    other, other_optimizer = made(1, steps=0)
    other.dropout.p = 0
    kept, kept_best, extra = checkpoint.load(tmp_path, CONFIGURATION, other, other_optimizer)
    assert kept == state
    assert torch.equal(extra["average/a"], torch.ones(2))
    assert all(torch.equal(kept_best[name], tensor) for name, tensor in best.items())
    for one in ((network, optimizer), (other, other_optimizer)):
        step(*one)
    for name, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_nothing_kept_is_nothing_found(tmp_path):
    assert checkpoint.load(tmp_path, CONFIGURATION, *made(0, 0)) is None


def test_another_configuration_is_refused_and_the_difference_named(tmp_path):
    network, optimizer = made(0, steps=1)
    checkpoint.save(tmp_path, CONFIGURATION, State(), network, optimizer, None)
    asked = {"architecture": "custom_cnn", "train": {"learning_rate": 0.001, "augment": {"rotate": 5.0}}}
    with pytest.raises(InputError, match=r"another configuration: train.augment.rotate was 10.0 and is 5.0"):
        checkpoint.load(tmp_path, asked, network, optimizer)


def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path):
    network, optimizer = made(0, steps=1)
    checkpoint.save(tmp_path, CONFIGURATION, State(), network, optimizer, None)
    file = tmp_path / checkpoint.FILE
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cannot be read.*Remove .* to train from the start"):
        checkpoint.load(tmp_path, CONFIGURATION, network, optimizer)


def test_a_write_that_fails_leaves_the_last_checkpoint_and_nothing_else(tmp_path, monkeypatch):
    network, optimizer = made(0, steps=1)
    checkpoint.save(tmp_path, CONFIGURATION, State(epoch=1), network, optimizer, None)

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(Exception, match="No room left on the disk"):
        checkpoint.save(tmp_path, CONFIGURATION, State(epoch=2), network, optimizer, None)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FILE]
    assert checkpoint.load(tmp_path, CONFIGURATION, network, optimizer)[0].epoch == 1
