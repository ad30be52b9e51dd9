"""Overlays: what a reader sees over the radiograph."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from thorax.errors import InputError
from thorax.explain import overlay, overlay_png

GREY = np.tile(np.linspace(0, 1, 128, dtype=np.float32), (128, 1))


@pytest.fixture
def map_() -> np.ndarray:
    values = np.zeros((8, 8))
    values[2, 5] = 1.0
    return values


def test_colour_lies_where_the_heat_is_and_the_rest_stays_grey(map_: np.ndarray) -> None:
    drawn = np.asarray(overlay(GREY, map_, colour_bar=False)).astype(int)
    assert drawn.shape == (128, 128, 3)
    hot, cold = drawn[40, 88], drawn[120, 20]
    assert hot.max() - hot.min() > 60
    assert cold.max() == cold.min() == pytest.approx(GREY[120, 20] * 255, abs=1)


def test_a_colour_bar_with_its_scale_stands_at_the_right(map_: np.ndarray) -> None:
    drawn = overlay(GREY, map_)
    assert drawn.size[1] == 128
    assert drawn.size[0] > 128 + 10
    bar = np.asarray(drawn)[:, 132].astype(int).sum(axis=1)
    assert bar[2] > bar[64] > bar[125], "the lightness grows with the heat, so it reads without colours too"


def test_the_box_of_the_model_and_of_a_reader_look_different(map_: np.ndarray) -> None:
    plain = np.asarray(overlay(GREY, map_, colour_bar=False))
    ours = np.asarray(overlay(GREY, map_, (0.25, 0.25, 0.5, 0.5), colour_bar=False))
    theirs = np.asarray(overlay(GREY, map_, truth=[(0.25, 0.25, 0.5, 0.5)], colour_bar=False))
    assert tuple(ours[32, 60]) == (0, 229, 255)
    assert (theirs != plain).any()
    assert not (theirs == (0, 229, 255)).all(axis=2).any()
    overlay(GREY, map_, (0.9, 0.9, 0.5, 0.5))  # a box over the edge


def test_without_a_map_the_radiograph_is_drawn_alone() -> None:
    drawn = np.asarray(overlay((GREY * 255).astype(np.uint8), None))
    assert drawn.shape == (128, 128, 3)
    assert (drawn[..., 0] == drawn[..., 2]).all()


def test_a_huge_image_is_shrunk_and_an_odd_one_refused(map_: np.ndarray) -> None:
    assert overlay(np.zeros((3000, 1500), dtype=np.uint8), map_, colour_bar=False).size == (512, 1024)
    with pytest.raises(InputError, match="two dimensions"):
        overlay(np.zeros((4, 4, 3)), map_)


def test_png_bytes_open_again(map_: np.ndarray) -> None:
    png = Image.open(io.BytesIO(overlay_png(GREY, map_, (0.1, 0.1, 0.2, 0.2))))
    assert png.format == "PNG"


def test_serving_imports_it_without_a_framework() -> None:
    heavy = {"torch", "matplotlib", "scipy", "sklearn", "pandas", "pytorch_grad_cam"}
    code = f"import sys, thorax.explain; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
