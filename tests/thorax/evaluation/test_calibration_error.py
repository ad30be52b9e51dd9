"""Calibration errors against netcal, scikit-learn, and cases worked by hand."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from thorax.evaluation.calibration_error import (
    adaptive_error,
    brier_parts,
    equal_mass_bins,
    equal_width_error,
    expected_calibration_error,
)


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    p = random.beta(1, 4, 3000)
    return p, (random.random(3000) < p**1.3).astype(float)


def test_ece_over_equal_masses_agrees_with_scikit_learns_curve(scored) -> None:
    p, y = scored
    observed, predicted = calibration_curve(y, p, n_bins=15, strategy="quantile")
    assert expected_calibration_error(p, y) == pytest.approx(np.abs(observed - predicted).mean(), abs=1e-6)


@pytest.mark.slow
def test_ece_over_equal_widths_agrees_with_netcal(scored) -> None:
    metrics = pytest.importorskip("netcal.metrics")
    p, y = scored
    assert equal_width_error(p, y, 15) == pytest.approx(float(metrics.ECE(15).measure(p, y)), abs=1e-6)


def test_by_hand() -> None:
    p, y = np.array([0.1, 0.3, 0.6, 0.8]), np.array([0.0, 1.0, 1.0, 1.0])
    # Two bins: |0.4 − 1| / 2 and |1.4 − 2| / 2, each for half of the cases.
    assert expected_calibration_error(p, y, bins=2) == pytest.approx(0.5 * 0.3 + 0.5 * 0.3)


def test_bins_hold_as_many_each_even_with_ties() -> None:
    assert np.bincount(equal_mass_bins(np.full(150, 0.2), 15)).tolist() == [10] * 15


def test_the_adaptive_error_of_a_calibrated_score_is_less_biased_for_few_cases() -> None:
    random = np.random.default_rng(1)
    fixed, adaptive = [], []
    for _ in range(200):
        p = random.random(150)
        y = (random.random(150) < p).astype(float)
        fixed.append(expected_calibration_error(p, y))
        adaptive.append(adaptive_error(p, y))
    assert np.mean(adaptive) < np.mean(fixed)


def test_the_adaptive_error_by_hand() -> None:
    # Two bins rise (0, then 1); three bins of 2, 1, 1 give 0, 1, 1 and four give 0, 0, 1, 1: all rise.
    p, y = np.array([0.2, 0.3, 0.6, 0.9]), np.array([0.0, 0.0, 1.0, 1.0])
    assert adaptive_error(p, y) == pytest.approx((0.2 + 0.3 + 0.4 + 0.1) / 4)


def test_briers_parts_add_up_and_agree_with_scikit_learn(scored) -> None:
    p, y = scored
    parts = brier_parts(p, y)
    assert parts.score == pytest.approx(brier_score_loss(y, p))
    assert parts.score == pytest.approx(parts.reliability - parts.resolution + parts.uncertainty + parts.within)
    assert parts.uncertainty == pytest.approx(y.var())


def test_briers_parts_are_murphys_for_a_score_of_few_values() -> None:
    p, y = np.repeat([0.2, 0.8], 10), np.array([1] * 3 + [0] * 7 + [1] * 6 + [0] * 4, dtype=float)
    parts = brier_parts(p, y, bins=2)
    assert parts.reliability == pytest.approx(0.5 * 0.1**2 + 0.5 * 0.2**2)
    assert parts.resolution == pytest.approx(0.5 * 0.15**2 + 0.5 * 0.15**2)
    assert parts.within == pytest.approx(0.0, abs=1e-12)


def test_nothing_to_measure_is_not_a_number() -> None:
    empty = np.zeros(0)
    assert np.isnan(expected_calibration_error(empty, empty))
    assert np.isnan(equal_width_error(empty, empty))
    assert np.isnan(adaptive_error(empty, empty))
    assert np.isnan(brier_parts(empty, empty).score)
