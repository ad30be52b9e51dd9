"""What looks wrong with a picture is told; what is right is left alone. And look-alikes are found by an index."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from thorax.imaging import read_image
from thorax.imaging.checks import inspect
from thorax.imaging.neighbours import MAX_RADIUS, near_pairs
from thorax.imaging.pose import pose
from thorax.imaging.preparation import thumbnail


def found(pixels: np.ndarray, colour: float = 0.0) -> set[str]:
    picture = pixels.astype(np.float32)
    return set(inspect(picture, thumbnail(picture), colour))


def test_a_chest_is_left_alone_and_its_negative_and_turns_are_told(chest: np.ndarray) -> None:
    picture = chest.clip(0, 1)
    assert found(picture) == set()
    assert found(1 - picture) == {"inverted"}
    for quarter in (1, 2, 3):
        assert found(np.ascontiguousarray(np.rot90(picture, quarter))) == {"rotated"}
    assert found(np.ascontiguousarray(picture[:, ::-1])) == set(), (
        "a mirrored chest is not told; the heart may lie right"
    )


def test_noise_ramps_and_stripes_are_no_chests() -> None:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 200, dtype=np.float32)[None].repeat(200, axis=0)
    for picture in (rng.random((200, 200)), np.sin(40 * ramp) / 2 + 0.5):
        assert "chest" in found(picture)
    assert {"chest", "inverted"} & found(ramp)


def test_flat_burnt_posterised_tiny_and_coloured_pictures_are_told(chest: np.ndarray) -> None:
    picture = chest.clip(0, 1)
    assert found(np.full((90, 90), 0.4)) == {"blank"}
    assert "saturated" in found(np.where(picture > 0.4, 1.0, 0.0))
    assert "levels" in found(np.floor(picture * 12) / 12)
    assert "size" in found(picture[60:90, 60:90])
    assert "colour" in found(picture, colour=0.2)


@pytest.mark.real_data
def test_real_radiographs_are_seldom_suspected_and_their_negatives_mostly_told(real_data: Path) -> None:
    files = (
        sorted((real_data / "nih256" / "images").iterdir())[::15] + sorted((real_data / "hannover").glob("*.png"))[::4]
    )
    verdicts = {"as is": [], "negative": [], "quarter": [], "half": []}
    for file in files:
        small = thumbnail(read_image(file).pixels)
        verdicts["as is"].append(pose(small).verdict == "upright")
        verdicts["negative"].append(pose(1 - small).verdict == "inverted")
        verdicts["quarter"].append(pose(np.rot90(small)).verdict == "rotated")
        verdicts["half"].append(pose(np.rot90(small, 2)).verdict == "rotated")
    shares = {name: float(np.mean(values)) for name, values in verdicts.items()}
    assert shares["as is"] >= 0.98, shares
    assert min(shares.values()) >= 0.95, shares


@pytest.mark.real_data
def test_photographs_are_suspected_by_colour_and_mostly_by_shape_alone(real_data: Path) -> None:
    files = sorted((real_data / "natural").iterdir())
    found = [read_image(file).checks for file in files]
    assert all("colour" in checks for checks in found)
    assert np.mean(["chest" in checks for checks in found]) >= 0.9


def brute(hashes: np.ndarray, radius: int) -> set[tuple[int, int, int]]:
    bits = np.unpackbits(hashes, axis=1).astype(int)
    distance = (bits[:, None] != bits[None]).sum(axis=2)
    first, second = np.nonzero(np.triu(distance <= radius, 1))
    return {(int(a), int(b), int(distance[a, b])) for a, b in zip(first, second, strict=True)}


def near(base: np.ndarray, flips: int, rng: np.random.Generator) -> np.ndarray:
    bits = np.unpackbits(base)
    bits[rng.choice(256, flips, replace=False)] ^= 1
    return np.packbits(bits)


@pytest.mark.parametrize("radius", [0, 1, 5, 16, 24, MAX_RADIUS])
def test_the_index_finds_exactly_the_pairs_that_comparing_all_finds(radius: int) -> None:
    rng = np.random.default_rng(radius)
    base = rng.integers(0, 256, (150, 32), dtype=np.uint8)
    close = np.array([near(base[k], int(rng.integers(1, 36)), rng) for k in range(150)])
    hashes = np.concatenate([base, close])
    pairs = near_pairs(hashes, radius)
    ours = set(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.distance.tolist(), strict=True))
    assert ours == brute(hashes, radius)


def test_copies_are_each_paired_with_the_first_of_them() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (3, 32), dtype=np.uint8)
    hashes = base[[0, 1, 0, 2, 0, 1]]
    pairs = near_pairs(hashes, 8)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 2), (0, 4), (1, 5)]


def test_a_radius_that_the_index_cannot_promise_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 31"):
        near_pairs(np.zeros((2, 32), np.uint8), 32)


@pytest.mark.slow
def test_a_hundred_thousand_hashes_take_seconds() -> None:
    # Correlated bits, as those of radiographs are: a few latent factors decide most of them.
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(100_000, 60)).astype(np.float32) @ rng.normal(size=(60, 256)).astype(np.float32)
    hashes = np.packbits(latent + rng.normal(0, 2, latent.shape).astype(np.float32) > 0, axis=1)
    for k in range(200):
        hashes[-1 - k] = near(hashes[k], int(rng.integers(0, 25)), rng)
    began = time.process_time()
    pairs = near_pairs(hashes, 24)
    assert time.process_time() - began < 10
    assert {(k, 99_999 - k) for k in range(200)} <= set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def test_a_thumbnail_is_the_area_mean() -> None:
    pixels = np.random.default_rng(0).random((256, 512), dtype=np.float32)
    np.testing.assert_allclose(thumbnail(pixels), cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA), atol=1e-5)
