"""The paired comparison, against scikit-learn and against what must follow by symmetry."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from thorax.errors import InputError
from thorax.registry import paired


def scored(seed: int, n: int = 300, gain: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (n, 1), scores (n, 1) that carry it by `gain`, and patients of two images each."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 1)) < 0.4).astype(float)
    return truth, truth * gain + rng.normal(0, 1, (n, 1)), np.repeat(np.arange(n // 2), 2)


@pytest.mark.parametrize("decimals", [6, 1, 0])
def test_auroc_equals_sklearns_with_ties_and_weights(decimals: int) -> None:
    truth, scores, _ = scored(0)
    rounded = scores[:, 0].round(decimals)
    weights = np.random.default_rng(1).integers(0, 4, len(truth))
    expected = roc_auc_score(truth[:, 0], rounded, sample_weight=weights)
    assert paired.auroc(truth[:, 0], rounded, weights) == pytest.approx(expected, abs=1e-12)


def test_the_difference_is_that_of_the_two_aurocs_on_known_labels_only() -> None:
    truth, good, patients = scored(0, gain=2)
    _, poor, _ = scored(1, gain=0)
    truth[::7] = np.nan
    known = ~np.isnan(truth[:, 0])
    found = paired.compare(truth, good, poor, patients, ["Edema"], replicates=200)
    expected = roc_auc_score(truth[known], good[known]) - roc_auc_score(truth[known], poor[known])
    assert found.mean.value == pytest.approx(expected, abs=1e-12)
    assert found.mean.low < expected < found.mean.high
    assert found.patients == 150


def test_a_model_compared_with_itself_differs_by_exactly_nothing() -> None:
    truth, scores, patients = scored(0)
    found = paired.compare(truth, scores, scores, patients, ["Edema"], replicates=100)
    assert (found.mean.value, found.mean.low, found.mean.high) == (0, 0, 0)


def test_exchanging_the_models_turns_the_interval_around() -> None:
    truth, one, patients = scored(0, gain=1.5)
    _, two, _ = scored(3)
    there = paired.compare(truth, one, two, patients, ["Edema"], replicates=300, seed=5).mean
    back = paired.compare(truth, two, one, patients, ["Edema"], replicates=300, seed=5).mean
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_it_draws_patients_and_not_images() -> None:
    """Copies of every image, as the same patient's, add no information and must not narrow the interval."""
    truth, one, patients = scored(0, n=120, gain=1.5)
    _, two, _ = scored(3, n=120)
    single = paired.compare(truth, one, two, patients, ["Edema"], replicates=800, seed=1).mean
    five = [np.repeat(array, 5, axis=0) for array in (truth, one, two, patients)]
    copied = paired.compare(*five, ["Edema"], replicates=800, seed=1).mean
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=1e-9)


def test_a_finding_with_too_few_of_a_class_is_left_out_and_named() -> None:
    truth, scores, patients = scored(0)
    rare = np.zeros_like(truth)
    rare[:4] = 1
    both = paired.compare(
        np.hstack([truth, rare]), np.hstack([scores] * 2), np.hstack([scores] * 2), patients, ["A", "B"]
    )
    assert both.left_out == ("B",)
    with pytest.raises(InputError, match="5 images of either class"):
        paired.compare(rare, scores, scores, patients, ["B"])


@pytest.mark.slow
def test_equal_models_are_told_apart_no_more_often_than_stated() -> None:
    """300 pairs of equal models: the one-sided 95% bound excludes 0 about once in twenty, on either side."""
    low = high = 0
    for seed in range(300):
        truth, one, patients = scored(3 * seed, n=200)
        two = truth + np.random.default_rng(3 * seed + 1).normal(0, 1, truth.shape)
        found = paired.compare(truth, one, two, patients, ["Edema"], replicates=200, seed=seed).mean
        low += found.low > 0
        high += found.high < 0
    assert 300 * 0.02 <= low <= 300 * 0.085
    assert 300 * 0.02 <= high <= 300 * 0.085
