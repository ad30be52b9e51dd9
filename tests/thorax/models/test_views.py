"""Test-time augmentation keeps what every answer promises: maps average to logits, logits follow from features."""

import pytest
import torch
from torch.nn import functional

from thorax.models import Views, build, explain


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("custom_cnn", 3).eval()


@pytest.fixture
def image():
    return torch.rand((2, 1, 48, 48), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_without_views_it_is_the_network_itself(network, image):
    found = explain(network, image)
    assert torch.equal(found.logits, network(image).logits)
    assert found.boxes is None


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 8])
def test_answers_are_the_mean_over_the_views_and_belong_together(network, image, count):
    views = Views(count, 48)
    found = explain(network, image, views)
    each = torch.stack([network(view).logits for view in (image, *views(image))])
    assert len(each) == count + 1
    assert torch.allclose(found.logits, each.mean(dim=0), atol=1e-5)
    assert torch.allclose(network.head(found.features), found.logits, atol=1e-5)
    assert torch.allclose(found.maps.mean(dim=(2, 3)), found.logits, atol=1e-5)


def test_the_first_view_is_a_shift_by_a_share_of_the_image():
    image = torch.zeros(1, 1, 50, 50)
    image[..., 20] = 1
    (moved,) = Views(1, 50)(image)
    # Four hundredths of 50 px are 2 px.
    assert torch.allclose(moved, functional.pad(image[..., 2:], (0, 2)), atol=1e-4)
