"""The closed form against the library's Grad-CAM, and the gradient methods themselves."""

import numpy as np
import pytest

from thorax.errors import InputError
from thorax.explain.faithfulness import rank_correlation
from thorax.explain.maps import class_activation_maps

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module", params=["custom_cnn", "densenet121"])
def network(request: pytest.FixtureRequest):
    from thorax.models import build

    torch.manual_seed(0)
    made = build(request.param, 3, dropout=0.3).eval()
    with torch.no_grad():  # a fresh head is near zero: give the maps something to show
        made.head.weight.normal_(0, 0.3)
        made.head.bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
    return made


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).random((64, 64)).astype(np.float32)


def test_the_closed_form_equals_grad_cam_before_the_rectifier(network, image: np.ndarray) -> None:
    from thorax.explain.gradients import gradient_map

    with torch.no_grad():
        output = network(torch.from_numpy(image[None, None]))
    weight, bias = (part.detach().numpy() for part in (network.head.weight, network.head.bias))
    maps = class_activation_maps(output.feature_map.numpy(), weight, bias)
    np.testing.assert_allclose(maps, network.maps(output.feature_map).detach().numpy(), atol=1e-4)
    cells = maps.shape[2] * maps.shape[3]
    for finding in range(3):
        theirs = gradient_map(network, image, finding, "grad-cam")
        np.testing.assert_allclose((maps[0, finding] - bias[finding]) / cells, theirs, atol=1e-4)
        assert rank_correlation(maps[0, finding], theirs) > 0.999


@pytest.mark.parametrize("method", ["grad-cam++", "layercam"])
def test_other_methods_give_a_map_of_the_same_size(network, image: np.ndarray, method: str) -> None:
    from thorax.explain.gradients import gradient_map

    found = gradient_map(network, image, 1, method)
    assert found.shape == gradient_map(network, image, 1).shape
    assert np.isfinite(found).all()
    assert np.ptp(found) > 0


def test_guided_methods_work_at_the_pixels_or_say_why_not(network, image: np.ndarray) -> None:
    from thorax.explain.gradients import gradient_map

    before = {name: value.clone() for name, value in network.state_dict().items()}
    if any(isinstance(module, torch.nn.ReLU) for module in network.modules()):
        for method in ("guided-backprop", "guided-grad-cam"):
            found = gradient_map(network, image, 0, method)
            assert found.shape == image.shape
            assert np.ptp(found) > 0
    else:
        with pytest.raises(InputError, match="rectified linear units"):
            gradient_map(network, image, 0, "guided-backprop")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_map_changes_when_the_weights_are_drawn_anew(network, image: np.ndarray) -> None:
    from thorax.explain.gradients import gradient_map, randomised

    ours = gradient_map(network, image, 0)
    again = gradient_map(randomised(network, 1), image, 0)
    assert abs(rank_correlation(ours, again)) < 0.8


def test_unknown_methods_and_findings_are_named(network, image: np.ndarray) -> None:
    from thorax.explain.gradients import gradient_map

    with pytest.raises(InputError, match=r"Did you mean layercam"):
        gradient_map(network, image, 0, "layer-cam")
    with pytest.raises(InputError, match="no finding 9"):
        gradient_map(network, image, 9)
