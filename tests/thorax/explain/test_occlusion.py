"""Occlusion finds what a network looks at, without its inside."""

import numpy as np
import pytest

from thorax.explain.occlusion import CELLS, occlusion_maps


def looks_at(top: int, left: int, side: int = 16):
    """A network of one finding, whose logit is how much the picture varies in one square; another that sees nothing."""

    def run(images: np.ndarray) -> np.ndarray:
        square = images[:, top : top + side, left : left + side].astype(np.float64)
        return np.column_stack([square.std(axis=(1, 2)), np.zeros(len(images))])

    return run


@pytest.mark.parametrize(("top", "left"), [(8, 8), (72, 24), (40, 104)])
def test_the_hottest_cell_is_where_the_network_looks(top: int, left: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (128, 128), dtype=np.uint8)
    maps = occlusion_maps(looks_at(top, left), image)
    row, column = np.unravel_index(maps[0].argmax(), maps[0].shape)
    cell = 128 / CELLS
    assert abs((row + 0.5) * cell - (top + 8)) <= cell
    assert abs((column + 0.5) * cell - (left + 8)) <= cell
    assert maps.shape == (2, CELLS, CELLS)
    assert not maps[1].any()


def test_a_cell_is_the_fall_of_the_logit_when_its_patch_is_blurred() -> None:
    import scipy.ndimage

    image = np.random.default_rng(1).integers(0, 255, (64, 64), dtype=np.uint8)

    def run(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1).astype(np.float64) @ np.linspace(-1, 1, 64 * 64)[:, None]

    found = occlusion_maps(run, image)[0, 3, 5]
    blurred = scipy.ndimage.gaussian_filter(image.astype(float), 64 / 12, mode="mirror")
    hidden = image.astype(float).copy()
    hidden[20:36, 36:52] = blurred[20:36, 36:52]  # two cells of 8 px around the centre of cell (3, 5): 28, 44
    weights = np.linspace(-1, 1, 64 * 64).reshape(64, 64)
    expected = ((image - hidden) * weights).sum()
    assert found == pytest.approx(expected, abs=0.6 * np.abs(weights[20:36, 36:52]).sum())  # the blur is rounded
