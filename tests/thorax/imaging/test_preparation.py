"""The one preprocessing, against Pillow and by hand; statistics against scikit-image's and SciPy's definitions."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from thorax.imaging import place, statistics, to_network_input


def test_an_integer_reduction_is_the_mean_of_each_block() -> None:
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    by_hand = pixels.reshape(16, 4, 16, 4).mean(axis=(1, 3)) * 255
    assert np.abs(to_network_input(pixels, 16) - by_hand).max() <= 0.502


def test_half_a_grey_level_goes_up_whatever_the_last_bit_of_the_float() -> None:
    levels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.float32)
    by_hand = np.floor(levels.reshape(32, 2, 32, 2).mean(axis=(1, 3)) + 0.5)
    for pixels in (levels / 255, levels * np.float32(1 / 255), np.nextafter(levels / 255, np.float32(0))):
        np.testing.assert_array_equal(to_network_input(pixels.astype(np.float32), 32), by_hand)


def test_any_reduction_agrees_with_pillows_box_filter(chest: np.ndarray) -> None:
    pixels = chest.clip(0, 1)
    pillow = np.asarray(Image.fromarray(pixels).resize((96, 96), Image.Resampling.BOX)) * 255
    assert np.abs(to_network_input(pixels, 96) - pillow).mean() < 3
    big = np.asarray(Image.fromarray(pixels).resize((1000, 1100), Image.Resampling.BICUBIC)).clip(0, 1)
    pillow = np.asarray(Image.fromarray(big).resize((96, 96), Image.Resampling.BOX)) * 255
    difference = np.abs(to_network_input(big, 96) - pillow)
    assert difference.mean() < 1
    assert difference.max() < 16, "where a sharp edge meets a halving"


def test_a_fine_pattern_is_averaged_and_not_aliased() -> None:
    stripes = np.zeros((512, 512), dtype=np.float32)
    stripes[:, ::2] = 1
    assert np.ptp(to_network_input(stripes, 96).astype(int)) <= 40
    assert abs(to_network_input(stripes, 96).mean() - 127.5) < 2


def test_pad_keeps_the_aspect_on_black_and_squash_fills() -> None:
    pixels = np.ones((100, 50), dtype=np.float32)
    padded = to_network_input(pixels, 64, "pad")
    assert padded.shape == (64, 64)
    assert place(50, 100, 64, "pad") == (16, 0, 32, 64)
    assert (padded[:, 16:48] == 255).all()
    assert padded[:, :16].max() == 0
    assert padded[:, 48:].max() == 0
    assert (to_network_input(pixels, 64) == 255).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (40, 30), (2000, 7)])
@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_every_shape_becomes_a_square(shape: tuple[int, int], resize: str) -> None:
    out = to_network_input(np.full(shape, 0.5, np.float32), 48, resize)  # type: ignore[arg-type]
    assert out.shape == (48, 48)
    assert out.dtype == np.uint8


def test_clahe_raises_local_contrast(chest: np.ndarray) -> None:
    dim = 0.4 + 0.2 * chest.clip(0, 1)
    assert to_network_input(dim, 96, clahe=True).std() > 1.3 * to_network_input(dim, 96).std()


def test_statistics_agree_with_their_definitions(chest: np.ndarray) -> None:
    levels = to_network_input(chest, 96)
    grey = levels / 255.0
    found = statistics(levels)
    assert found["brightness"] == pytest.approx(grey.mean(), abs=1e-5)
    assert found["contrast"] == pytest.approx(grey.std(), abs=1e-5)
    assert found["sharpness"] == pytest.approx(ndimage.laplace(grey, mode="mirror").std(), abs=1e-5)
    assert found["entropy"] == pytest.approx(stats.entropy(np.bincount(levels.ravel()), base=2), abs=1e-6)
    frame = np.ones((96, 96), bool)
    frame[4:-4, 4:-4] = False
    assert found["border"] == pytest.approx(grey[frame].mean(), abs=1e-5)


def test_noise_is_measured_in_grey_levels() -> None:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0.3, 0.7, 200, dtype=np.float32)[None].repeat(200, axis=0)
    for sigma in (0.01, 0.05):
        noisy = ramp + rng.normal(0, sigma, ramp.shape)
        assert statistics(noisy)["noise"] == pytest.approx(sigma, rel=0.08)


def test_statistics_of_bytes_and_floats_agree(chest: np.ndarray) -> None:
    levels = to_network_input(chest, 64)
    of_floats = statistics(levels.astype(np.float32) / 255)
    for name, value in statistics(levels).items():
        assert of_floats[name] == pytest.approx(value, abs=1e-6)
