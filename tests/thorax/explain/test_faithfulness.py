"""Measures of a map's worth, by hand and against a random map."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from thorax.explain.faithfulness import deletion_insertion, order_of, random_map, rank_correlation
from thorax.explain.localization import agreement, box_mask


def test_agreement_by_hand() -> None:
    map_ = np.full((128, 128), 0.0)
    map_[32:64, 32:96] = 1.0  # heat in columns 32 to 96, rows 32 to 64
    found = agreement(map_, [(0.25, 0.25, 0.25, 0.25)])  # a box of columns 32 to 64, rows 32 to 64
    assert found["chance"] == pytest.approx(1 / 16)
    assert found["iou"] == pytest.approx(0.5)
    assert found["iobb"] == pytest.approx(0.5)
    assert found["mass"] == pytest.approx(0.5)
    assert found["pointing_game"] == 1.0


def test_looking_elsewhere_is_a_miss_and_two_boxes_are_one_region() -> None:
    map_ = np.zeros((8, 8))
    map_[7, 7] = 1
    assert agreement(map_, [(0, 0, 0.3, 0.3)])["pointing_game"] == 0.0
    assert agreement(map_, [(0, 0, 0.3, 0.3), (0.8, 0.8, 0.2, 0.2)])["pointing_game"] == 1.0
    np.testing.assert_allclose(box_mask([(0, 0, 0.5, 0.5), (0, 0, 0.5, 0.5)]).mean(), 0.25)


def test_a_constant_map_agrees_with_nothing() -> None:
    found = agreement(np.ones((4, 4)), [(0, 0, 0.5, 1.0)])
    assert found == {"pointing_game": 0.0, "iou": 0.0, "iobb": 0.0, "mass": 0.0, "chance": 0.5}


def test_a_random_maps_pointing_game_is_the_boxs_share_of_the_image() -> None:
    box = [(0.2, 0.3, 0.4, 0.5)]
    hits = [agreement(random_map(16, seed), box)["pointing_game"] for seed in range(600)]
    assert np.mean(hits) == pytest.approx(0.2, abs=0.05)


def test_a_faithful_map_falls_faster_and_rises_faster_than_a_random_one() -> None:
    image = np.random.default_rng(0).random((32, 32)).astype(np.float32) * 0.2
    image[8:16, 8:16] += 0.7

    def score(images: np.ndarray) -> np.ndarray:  # a "network" that looks at one place
        return images[:, 8:16, 8:16].mean(axis=(1, 2)).clip(0, 1)

    true = np.zeros((8, 8))
    true[2:4, 2:4] = 1
    faithful = deletion_insertion(score, image, true)
    random = [deletion_insertion(score, image, random_map(8, seed)) for seed in range(10)]
    assert faithful["deletion"] < min(one["deletion"] for one in random)
    assert faithful["insertion"] > max(one["insertion"] for one in random)


def test_the_curves_begin_and_end_where_they_must() -> None:
    seen = []

    def score(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return np.linspace(1, 0, len(images))

    image = np.random.default_rng(1).random((16, 16)).astype(np.float32)
    deletion_insertion(score, image, random_map(4, 0), steps=4)
    np.testing.assert_array_equal(seen[0][0], image)  # nothing deleted
    np.testing.assert_array_equal(seen[0][9], image)  # everything inserted
    np.testing.assert_allclose(seen[0][4], seen[0][5])  # everything deleted, nothing inserted


def test_the_hottest_pixels_come_first() -> None:
    map_ = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert order_of(map_, (2, 2)).tolist() == [3, 2, 1, 0]


def test_rank_correlation_is_scipys() -> None:
    first, second = random_map(6, 0), random_map(6, 1)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)
    assert rank_correlation(first, np.zeros((6, 6))) == 0.0
