"""What is frozen stays as it was."""

import pytest
import torch

from thorax.errors import InputError
from thorax.models import build
from thorax.models.freezing import train_mode, unfreeze, unfreeze_gradually


def train_a_step(network) -> dict[str, bool]:
    """Which entries of the state changed."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    train_mode(network)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=0.1)
    network(torch.rand(4, 1, 32, 32)).logits.square().sum().backward()
    optimizer.step()
    return {name: not torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items()}


def test_head_alone():
    network = build("custom_cnn", 2)
    assert unfreeze(network, "head") == ["head.weight", "head.bias"]
    changed = train_a_step(network)
    assert {name for name, moved in changed.items() if moved} == {"head.weight", "head.bias"}


def test_from_a_block_on_and_the_statistics_of_frozen_layers_stay():
    network = build("custom_cnn", 2)
    unfreeze(network, "stage2.1")
    changed = train_a_step(network)
    learning = ("head.", "backbone.stage2.1.", "backbone.stage3.", "backbone.top.")
    assert all(name.startswith(learning) for name, moved in changed.items() if moved)
    assert changed["backbone.stage2.1.first.1.running_mean"]
    assert not changed["backbone.stage2.0.first.1.running_mean"]


def test_all_sets_everything_free_again():
    network = build("custom_cnn", 2)
    unfreeze(network, "head")
    unfreeze(network, "all")
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_an_unknown_block_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"no block 'stage33'. Did you mean stage3"):
        unfreeze(build("custom_cnn", 2), "stage33")


@pytest.mark.slow
def test_the_last_dense_block_from_its_second_layer():
    """The CheXpert report's recipe."""
    learning = unfreeze(build("densenet121", 3), "denseblock4.denselayer2")
    assert learning[0] == "backbone.features.denseblock4.denselayer2.norm1.weight"
    assert learning[-1] == "head.bias"
    with pytest.raises(InputError, match="Did you mean denseblock4"):
        unfreeze(build("densenet121", 3), "denseblok4")


def test_gradual_unfreezing_adds_blocks_from_the_head_down_until_all_of_the_choice_learns():
    network = build("custom_cnn", 2)
    learning = [unfreeze_gradually(network, "all", epoch, 5) for epoch in range(7)]
    assert learning[0] == ["head.weight", "head.bias"]
    assert learning[1][0].startswith("backbone.top.")
    assert learning[2][0].startswith("backbone.stage3.")
    assert [len(names) for names in learning] == sorted(len(names) for names in learning)
    assert learning[5] == learning[6] == [name for name, _ in network.named_parameters()]
    assert unfreeze_gradually(network, "stage3", 9, 5)[0].startswith("backbone.stage3.")
    assert unfreeze_gradually(network, "stage3", 0, 5) == ["head.weight", "head.bias"]
    assert changed_of(network) == {"head.weight", "head.bias"}


def changed_of(network) -> set[str]:
    return {name for name, moved in train_a_step(network).items() if moved}
