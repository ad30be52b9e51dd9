"""Maps in closed form, heat, where it lies, and boxes; against cases worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from thorax.errors import InputError
from thorax.explain import box_from_map, class_activation_maps, heat, map_statistics, upsample


@pytest.fixture
def spot() -> np.ndarray:
    """A 10 by 10 map whose heat fills the cells of rows 6 and 7, columns 1 to 3."""
    map_ = np.full((10, 10), -1.0)
    map_[6:8, 1:4] = 2.0
    return map_


def test_the_mean_of_a_map_is_its_logit() -> None:
    random = np.random.default_rng(0)
    features, weight, bias = random.normal(size=(2, 5, 4, 6)), random.normal(size=(3, 5)), random.normal(size=3)
    maps = class_activation_maps(features, weight, bias)
    assert maps.shape == (2, 3, 4, 6)
    np.testing.assert_allclose(maps.mean(axis=(2, 3)), features.mean(axis=(2, 3)) @ weight.T + bias)


def test_heat_is_what_speaks_for_the_finding_more_than_the_image_does(spot: np.ndarray) -> None:
    warm = heat(spot)
    assert warm[6, 2] == 1.0
    assert warm[0, 0] == 0.0
    # A map's scale and the bias do not matter, so a finding that is believed absent is drawn as well.
    np.testing.assert_allclose(heat(3 * spot - 50), warm, atol=1e-6)


@given(arrays(np.float32, (5, 5), elements=st.floats(-1e3, 1e3, width=32)))
def test_heat_lies_between_zero_and_one(map_: np.ndarray) -> None:
    warm = heat(map_)
    assert ((warm >= 0) & (warm <= 1)).all()


def test_a_constant_map_has_no_heat_no_box_and_looks_at_the_centre() -> None:
    flat = np.full((7, 7), 4.2)
    assert not heat(flat).any()
    assert box_from_map(flat) is None
    found = map_statistics(flat)
    assert (found["x"], found["y"]) == pytest.approx((0.5, 0.5))
    assert found["spread"] == pytest.approx(np.sqrt(2 * (1 - 1 / 49) / 12), rel=1e-6)  # an even field


def test_what_is_no_number_is_no_evidence() -> None:
    map_ = np.array([[np.nan, 0.0], [0.0, 2.0]])
    assert heat(map_)[0, 0] == 0.0
    assert not heat(np.full((2, 2), np.nan)).any()
    with pytest.raises(InputError, match="two dimensions"):
        heat(np.zeros((2, 2, 2)))


def test_where_a_map_looked(spot: np.ndarray) -> None:
    found = map_statistics(spot)
    assert found["x"] == pytest.approx(0.25)
    assert found["y"] == pytest.approx(0.70)
    assert found["spread"] == pytest.approx(np.sqrt(2 / 3 * 0.1**2 + 0.05**2))
    one = np.zeros((10, 10))
    one[0, 9] = 1
    assert map_statistics(one) == pytest.approx({"x": 0.95, "y": 0.05, "spread": 0.0, "outside": 1.0})


def test_the_box_holds_the_heat(spot: np.ndarray) -> None:
    x, y, w, h = box_from_map(spot)
    assert (x, y) == pytest.approx((0.1, 0.6), abs=0.04)
    assert (w, h) == pytest.approx((0.3, 0.2), abs=0.06)


def test_the_box_holds_the_peak_and_not_another_spot(spot: np.ndarray) -> None:
    spot[0, 9] = 1.9
    x, y, w, _ = box_from_map(spot)
    assert x + w < 0.6
    assert y > 0.4


def test_an_improbable_finding_has_no_box(spot: np.ndarray) -> None:
    assert box_from_map(spot, probability=0.2, threshold=0.3) is None
    assert box_from_map(spot, probability=0.3, threshold=0.3) is not None


def test_upsampling_keeps_the_mean_and_the_shape() -> None:
    map_ = np.random.default_rng(0).normal(size=(7, 7))
    larger = upsample(map_, (70, 140))
    assert larger.shape == (70, 140)
    assert upsample(np.ones((3, 3)), (9, 9)) == pytest.approx(np.ones((9, 9)))
