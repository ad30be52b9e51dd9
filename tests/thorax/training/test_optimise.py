"""The optimiser decays weights alone, and the rate follows its schedule."""

import itertools
import math

import pytest
import torch

from thorax import settings
from thorax.models import build
from thorax.training.optimise import Schedule, make_optimizer


def recipe(**changes) -> settings.Train:
    return settings.Train(**({"learning_rate": 0.1, "epochs": 8, "warmup_epochs": 1} | changes))


def test_decay_spares_biases_and_normalisations():
    network = build("custom_cnn", 2)
    optimizer = make_optimizer(network, recipe(weight_decay=0.05))
    names = {parameter: name for name, parameter in network.named_parameters()}
    decayed = {names[p] for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    spared = {names[p] for group in optimizer.param_groups if not group["weight_decay"] for p in group["params"]}
    assert "head.weight" in decayed
    assert "head.bias" in spared
    assert decayed | spared == set(names.values())
    assert all(dict(network.named_parameters())[name].ndim == 1 for name in spared)


def test_only_what_learns_is_handed_to_the_optimiser():
    network = build("custom_cnn", 2)
    network.backbone.requires_grad_(False)
    optimizer = make_optimizer(network, recipe())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


def test_cosine_warms_up_reaches_its_peak_and_ends_near_zero():
    schedule = Schedule(recipe(), steps=10)
    rates = [schedule.rate(step) for step in range(80)]
    assert rates[0] == pytest.approx(0.1 / 11)
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == 10
    assert rates[45] == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi * 35 / 70)))
    assert rates[-1] < 0.001
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_cosine_is_what_pytorch_makes_of_it():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    witness = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=80)
    schedule = Schedule(recipe(warmup_epochs=0), steps=10)
    for step in range(80):
        assert schedule.rate(step) == pytest.approx(witness.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        witness.step()


def test_a_plateau_lowers_the_rate_after_three_epochs_without_gain():
    schedule = Schedule(recipe(schedule="plateau", warmup_epochs=0), steps=10)
    for score in (0.6, 0.7, 0.69, 0.70):
        schedule.observe(score)
    assert schedule.rate(40) == pytest.approx(0.1)
    schedule.observe(0.65)
    assert schedule.rate(50) == pytest.approx(0.03)


def test_a_short_run_is_not_all_warm_up():
    schedule = Schedule(recipe(epochs=1, warmup_epochs=5), steps=8)
    assert schedule.rate(2) == pytest.approx(0.1)
