"""The bootstrap draws patients, and its intervals hold what they say."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from thorax.evaluation.resampling import interval, patient_weights


def test_patients_are_drawn_with_all_their_images() -> None:
    patients = np.array(["a", "a", "b", "c", "a"])
    weights = patient_weights(patients, 500, 0)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 0] == weights[:, 4]).all()
    drawn = weights[:, [0, 2, 3]].sum(axis=1)
    assert (drawn == 3).all()
    assert weights[:, 2].mean() == pytest.approx(1.0, abs=0.15)


def test_the_same_seed_draws_the_same() -> None:
    patients = np.arange(50)
    np.testing.assert_array_equal(patient_weights(patients, 20, 7), patient_weights(patients, 20, 7))


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = np.random.default_rng(0).exponential(size=300)
    weights = patient_weights(np.arange(300), 4000, 1)
    ours = interval(values.mean(), weights @ values / 300, 0.95)
    theirs = bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    assert ours["low"] == pytest.approx(theirs.low, abs=0.01)
    assert ours["high"] == pytest.approx(theirs.high, abs=0.01)


def test_several_images_a_patient_widen_the_interval() -> None:
    random = np.random.default_rng(2)
    values = np.repeat(random.normal(size=60), 5)
    by_patient = patient_weights(np.repeat(np.arange(60), 5), 2000, 0) @ values / 300
    by_image = patient_weights(np.arange(300), 2000, 0) @ values / 300
    assert by_patient.std() > 1.8 * by_image.std()


def test_what_cannot_be_told_is_null_not_a_number() -> None:
    assert interval(float("nan"), np.ones(5), 0.95) == {"value": None, "low": None, "high": None}
    assert interval(0.5, np.full(5, np.nan), 0.95) == {"value": 0.5, "low": None, "high": None}


def test_a_recentred_interval_holds_its_value_and_is_not_negative() -> None:
    found = interval(0.02, np.random.default_rng(0).normal(0.06, 0.01, 500), 0.95, recentre=True)
    assert 0 <= found["low"] <= 0.02 <= found["high"] < 0.06
