"""The lungs are found where phantoms have them, and a crop keeps them whole; what is drawn moves with the picture."""

from pathlib import Path

import numpy as np
import pytest

from thorax.datasets.phantom.render import Phantom, render
from thorax.datasets.phantom.sheet import subjects
from thorax.imaging import WHOLE, Frame, frame_of, place, read_image, to_network_input
from thorax.imaging.lungs import lung_box, lung_frame


def overlap(one: Frame, other: Frame) -> float:
    """Intersection over union, worked out from the corners."""
    width = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    height = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    both = max(width, 0) * max(height, 0)
    return both / (one.w * one.h + other.w * other.h - both)


def truth(phantom: Phantom) -> Frame:
    rows, columns = np.flatnonzero(phantom.lungs.any(axis=1)), np.flatnonzero(phantom.lungs.any(axis=0))
    side = len(phantom.lungs)
    return Frame(
        columns[0] / side,
        rows[0] / side,
        (columns[-1] + 1 - columns[0]) / side,
        (rows[-1] + 1 - rows[0]) / side,
    )


def test_lungs_of_phantoms_are_found_and_kept() -> None:
    found = [render(subject, 128) for subject in subjects(24, seed=77)]
    scores, kept = [], []
    for phantom in found:
        pixels = phantom.image8.astype(np.float32) / 255
        scores.append(overlap(lung_box(pixels), truth(phantom)))
        frame = lung_frame(pixels)
        assert frame is not None
        left, top, right, bottom = frame.pixels(128, 128)
        kept.append(phantom.lungs[top:bottom, left:right].sum() / phantom.lungs.sum())
    assert np.mean(scores) > 0.85, np.round(scores, 2)
    assert min(kept) > 0.97, np.round(kept, 3)


def test_without_a_chest_nothing_is_cut() -> None:
    noise = np.random.default_rng(0).random((90, 90)).astype(np.float32)
    assert lung_frame(noise) is None
    assert frame_of(noise, "lungs") == WHOLE
    np.testing.assert_array_equal(to_network_input(noise, 32, crop="lungs"), to_network_input(noise, 32))


def test_a_crop_is_the_picture_of_its_frame(chest: np.ndarray) -> None:
    frame = frame_of(chest, "lungs")
    assert frame != WHOLE
    left, top, right, bottom = frame.pixels(128, 160)
    for resize in ("squash", "pad"):
        cropped = to_network_input(chest, 48, resize, crop="lungs")
        np.testing.assert_array_equal(cropped, to_network_input(chest[top:bottom, left:right], 48, resize))
        np.testing.assert_array_equal(cropped, to_network_input(chest, 48, resize, crop="lungs", frame=frame))


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_a_place_in_the_image_goes_where_its_pixels_go(resize: str) -> None:
    frame = Frame(0.25, 0.1, 0.5, 0.8)
    pixels = np.zeros((200, 160), np.float32)
    pixels[60:80, 80:100] = 1  # x 0.5 to 0.625, y 0.3 to 0.4
    square = to_network_input(pixels, 64, resize, frame=frame)
    spot = place(160, 200, 64, resize, frame)
    rows, columns = np.flatnonzero(square.max(axis=1) > 127), np.flatnonzero(square.max(axis=0) > 127)
    assert columns[0] == pytest.approx(spot.left + 0.5 * spot.width, abs=1)
    assert columns[-1] + 1 == pytest.approx(spot.left + 0.625 * spot.width, abs=1)
    assert rows[0] == pytest.approx(spot.top + 0.3 * spot.height, abs=1)
    assert rows[-1] + 1 == pytest.approx(spot.top + 0.4 * spot.height, abs=1)


@pytest.mark.parametrize(("frame", "expected"), [(Frame(0, 0, 0, 0), (0, 0, 1, 1)), (Frame(1, 1, 0, 0), (9, 4, 10, 5))])
def test_a_frame_is_never_empty(frame: Frame, expected: tuple[int, int, int, int]) -> None:
    assert frame.pixels(10, 5) == expected


@pytest.mark.real_data
def test_lungs_of_real_radiographs_lie_where_lungs_lie(real_data: Path) -> None:
    boxes = [lung_box(read_image(file).pixels) for file in sorted((real_data / "nih256" / "images").iterdir())[::40]]
    middle = np.median(boxes, axis=0)
    assert 0.03 < middle[0] < 0.2 and 0.05 < middle[1] < 0.25, middle
    assert 0.65 < middle[2] < 0.9 and 0.5 < middle[3] < 0.8, middle
