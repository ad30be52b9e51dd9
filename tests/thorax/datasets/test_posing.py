"""What teaches the pose: the same seed gives the same weights, and few pictures already tell chests from the rest."""

import numpy as np
import pytest

from thorax.datasets.posing.chests import as_exported, chests
from thorax.datasets.posing.learning import box_around, learn, turned
from thorax.datasets.posing.others import no_chest
from thorax.imaging.pose import features, pose


def test_the_weights_that_are_kept_tell_pictures_that_nobody_learned_from() -> None:
    rng = np.random.default_rng(99)
    pool, lungs = chests(12, 64, seed=4321)
    verdicts = [pose(as_exported(pool[k % 12], lungs[k % 12], rng)[0]).verdict for k in range(60)]
    assert np.mean([verdict == "upright" for verdict in verdicts]) >= 0.9, verdicts
    others = [pose(no_chest(rng, pool)).verdict for _ in range(60)]
    assert np.mean([verdict != "upright" for verdict in others]) >= 0.85, others
    plain = pool.astype(np.float32) / 255
    assert {pose(turned(picture, 2)).verdict for picture in plain} == {"rotated"}
    assert {pose(turned(picture, 4)).verdict for picture in plain} == {"inverted"}


@pytest.mark.slow
def test_a_seed_gives_its_weights() -> None:
    first, second = learn(10, 40, seed=3), learn(10, 40, seed=3)
    assert first == second
    assert first[0]["weights"] != learn(10, 40, seed=4)[0]["weights"]
    rng, weights = np.random.default_rng(0), np.array(first[0]["weights"])
    pool, lungs = chests(6, 64, seed=9)
    up = [float(features(as_exported(pool[k], lungs[k], rng)[0]) @ weights) + first[0]["bias"] for k in range(6)]
    down = [float(features(no_chest(rng, pool)) @ weights) + first[0]["bias"] for _ in range(20)]
    assert np.median(up) > np.median(down)


def test_a_box_is_worked_out_by_hand() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 4:10] = True
    assert box_around(mask) == (0.2, 0.2, 0.5, 0.5)
