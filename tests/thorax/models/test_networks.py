"""Every network answers with logits, features and a feature map that belong together."""

import pytest
import torch

from thorax import settings
from thorax.errors import InputError
from thorax.models import ARCHITECTURES, build

TORCHVISION = sorted(set(ARCHITECTURES) - {"custom_cnn"})


def random_images(size: int = 96, count: int = 2) -> torch.Tensor:
    return torch.rand((count, 1, size, size), generator=torch.Generator().manual_seed(0))


def check_contract(architecture: str, stride: int, size: int = 96) -> torch.Size:
    network = build(architecture, 3, size=size, stride=stride).eval()
    with torch.no_grad():
        logits, features, feature_map, boxes = network(random_images(size))
        maps = network.maps(feature_map)
    assert logits.shape == (2, 3)
    assert boxes is None
    assert features.shape == (2, network.feature_dim)
    assert feature_map.shape[:2] == (2, network.feature_dim)
    assert torch.allclose(features, feature_map.mean(dim=(2, 3)), atol=1e-5)
    # The maps are exact: their mean over space is the logit.
    assert torch.allclose(maps.mean(dim=(2, 3)), logits, atol=1e-4)
    return feature_map.shape[2:]


@pytest.mark.parametrize(("stride", "cells"), [(16, 6), (8, 12)])
def test_custom_cnn_keeps_the_contract_and_its_map_localises(stride, cells):
    assert check_contract("custom_cnn", stride) == (cells, cells)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", TORCHVISION)
def test_torchvision_networks_keep_the_contract(architecture):
    coarse, fine = (check_contract(architecture, stride)[0] for stride in ARCHITECTURES[architecture].strides)
    assert fine > coarse


def test_custom_cnn_is_small():
    assert 0.5e6 < sum(parameter.numel() for parameter in build("custom_cnn", 3).parameters()) < 1e6


def test_odd_sizes_are_taken():
    assert check_contract("custom_cnn", 16, size=101) == (7, 7)


@pytest.mark.slow
def test_grey_input_gives_what_the_published_network_gives_on_three_equal_channels():
    from torchvision.models import resnet50

    from thorax.models.pretrained import _fill

    torch.manual_seed(0)
    published = resnet50(weights=None).eval()
    network = build("resnet50", 3).eval()
    _fill(network, published.state_dict(), {}, None, "a published network")
    network.normalise_by(0.0, 1.0)
    image = random_images(64)
    with torch.no_grad():
        ours = network(image).features
        published.fc = torch.nn.Identity()
        theirs = published(image.repeat(1, 3, 1, 1))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_normalisation_is_part_of_the_network():
    network = build("custom_cnn", 2).eval()
    image = random_images(32)
    with torch.no_grad():
        network.normalise_by(0.0, 1.0)
        plain = network((image - 0.3) / 0.2).logits
        network.normalise_by(0.3, 0.2)
        assert torch.allclose(network(image).logits, plain, atol=1e-5)


def test_the_head_starts_at_the_base_rates():
    network = build("custom_cnn", 2)
    network.start_head_at(torch.tensor([0.1, 0.5]))
    assert torch.sigmoid(network.head.bias).detach().numpy() == pytest.approx([0.1, 0.5])


def test_every_architecture_of_the_settings_can_be_built_and_none_more():
    assert set(settings.ARCHITECTURES) == set(ARCHITECTURES)
    with pytest.raises(ValueError, match=r"unknown architecture 'resnet5'. Did you mean resnet50"):
        settings.Train(architectures=["resnet5"])


def test_an_unknown_architecture_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"Unknown architecture 'resnet5'.*Did you mean resnet50"):
        build("resnet5", 3)


def test_an_image_too_small_names_the_least_size():
    with pytest.raises(InputError, match=r"inception_v3 takes images of at least 75 px.*preprocess.size is 64"):
        build("inception_v3", 3, size=64)


def test_a_stride_that_is_not_offered_names_those_that_are():
    with pytest.raises(InputError, match=r"no output stride 4\. Set train.stride to 8 or 16"):
        build("custom_cnn", 3, stride=4)
