"""The plane, its random fields, its curves and its boxes, against SciPy and cases worked by hand."""

import numpy as np
import pytest
from scipy import ndimage

from thorax.datasets.phantom.boxes import box_of
from thorax.datasets.phantom.curves import around, through
from thorax.datasets.phantom.grid import Grid, blur, fractal, step, stream


def test_a_point_halfway_between_pixels_is_shared_evenly():
    grid = Grid(8)
    u, v = grid.u[0], grid.v[:, 0]
    mass = grid.splat(np.array([(u[2] + u[3]) / 2]), np.array([v[5]]), np.array([1.0])) * grid.px**2
    assert mass[5, 2] == pytest.approx(0.5) and mass[5, 3] == pytest.approx(0.5)
    assert mass.sum() == pytest.approx(1.0)


def test_splatting_keeps_mass_and_centre_and_drops_what_lies_outside():
    rng = np.random.default_rng(0)
    grid = Grid(64, zoom=1.3, centre=0.45, top=0.1)
    u, v = rng.uniform(-0.2, 0.2, 500), rng.uniform(0.1, 0.5, 500)
    weight = rng.uniform(0, 1, 500)
    mass = grid.splat(u, v, weight).astype(float) * grid.px**2
    assert mass.sum() == pytest.approx(weight.sum(), rel=1e-5)
    assert (mass.sum(axis=0) @ grid.u[0]) / mass.sum() == pytest.approx((u @ weight) / weight.sum(), abs=1e-5)
    assert (mass.sum(axis=1) @ grid.v[:, 0]) / mass.sum() == pytest.approx((v @ weight) / weight.sum(), abs=1e-5)
    assert not grid.splat(np.array([5.0]), np.array([5.0]), np.array([1.0])).any()


@pytest.mark.parametrize("sigma", [1.0, 3.0, 9.0, 20.0])
def test_blur_agrees_with_scipy(sigma):
    image = np.random.default_rng(1).standard_normal((160, 160)).astype(np.float32)
    image = ndimage.gaussian_filter(image, 3)
    expected = ndimage.gaussian_filter(image, sigma, mode="nearest")
    inside = (slice(50, 110), slice(50, 110))
    assert np.abs(blur(image, sigma) - expected)[inside].max() < 0.12 * np.abs(image).max() / sigma**0.5


def test_a_random_field_is_standard_and_does_not_depend_on_the_size_of_the_image():
    fields = [fractal(stream(3, "x"), size, 8, 64, 0.7) for size in (128, 256)]
    assert abs(fields[1].mean()) < 0.4
    assert 0.7 < fields[1].std() < 1.3
    reduced = fields[1].reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.corrcoef(fields[0].ravel(), reduced.ravel())[0, 1] > 0.99


def test_what_is_drawn_after_a_field_is_the_same_at_every_size():
    rests = []
    for size in (32, 512):
        rng = stream(5, "y")
        fractal(rng, size, 4, 256, 0.6)
        rests.append(rng.random())
    assert rests[0] == rests[1]


def test_streams_of_one_seed_differ_by_name():
    assert stream(1, "ribs").random() == stream(1, "ribs").random()
    assert stream(1, "ribs").random() != stream(1, "spine").random()
    assert stream(1, "ribs").random() != stream(2, "ribs").random()


def test_a_step_is_flat_at_both_ends():
    assert step(np.array([-1.0, 0.0, 0.5, 1.0, 7.0])).tolist() == [0, 0, 0.5, 1, 1]


def test_curves_pass_through_their_points():
    points = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0], [4.0, 4.0]])
    assert through(points, 31)[[0, 10, 20, 30]] == pytest.approx(points)
    loop = around(points, 41)
    assert loop[0] == pytest.approx(loop[-1])
    assert loop[[0, 10, 20, 30]] == pytest.approx(points)


def test_a_box_is_tight():
    mask = np.zeros((10, 20), bool)
    mask[2:5, 4:6] = True
    assert box_of(mask) == (0.2, 0.2, 0.1, 0.3)
    with pytest.raises(ValueError, match="empty"):
        box_of(np.zeros((4, 4), bool))
