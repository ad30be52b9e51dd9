"""PNG files that are packed quickly, read back by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from thorax.bundle.png import png


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (64, 33, 3), (20, 20, 4)])
def test_pillow_reads_back_every_pixel(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    opened = Image.open(io.BytesIO(png(pixels)))
    opened.load()
    np.testing.assert_array_equal(np.asarray(opened), pixels)


def test_a_view_of_a_picture_is_packed_as_it_looks() -> None:
    pixels = np.arange(600, dtype=np.uint32).reshape(10, 20, 3).astype(np.uint8)[::2, ::-1]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


def test_a_smooth_picture_is_smaller_than_its_pixels() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 256, axis=0)
    assert len(png(ramp)) < ramp.nbytes / 20
