"""Fits against scikit-learn, SciPy and statsmodels."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from statsmodels.stats.meta_analysis import combine_effects

from thorax.calibration.calibrators import sigmoid
from thorax.calibration.fitting import (
    Shared,
    fit_one,
    fit_pooled,
    fit_shared,
    logistic_regression,
    negative_log_likelihood,
    smoothed,
)

LOOSE = Shared(slope=1.0, variance=1e6, temperature=1.0)


def test_logistic_regression_agrees_with_scikit_learn(sample) -> None:
    z, y, _ = sample()
    theirs = LogisticRegression(C=np.inf, tol=1e-8).fit(z, y[:, 0])
    ours = logistic_regression(np.column_stack([z[:, 0], np.ones(len(z))]), y[:, 0])
    np.testing.assert_allclose(ours.weights, [theirs.coef_[0, 0], theirs.intercept_[0]], atol=1e-4)


def test_its_standard_errors_agree_with_statsmodels(sample) -> None:
    import statsmodels.api as sm

    z, y, _ = sample(n=800)
    design = np.column_stack([z[:, 0], np.ones(len(z))])
    theirs = sm.Logit(y[:, 0], design).fit(disp=0)
    ours = logistic_regression(design, y[:, 0])
    np.testing.assert_allclose(np.sqrt(np.diag(ours.covariance)), theirs.bse, rtol=1e-3)


def test_separable_cases_stay_finite() -> None:
    z = np.array([-2.0, -1.0, 1.0, 2.0])
    fit = logistic_regression(np.column_stack([z, np.ones(4)]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite(fit.weights).all()


def test_platt_finds_the_line_that_made_the_truth(sample) -> None:
    z, y, _ = sample(n=20000)
    calibrator = fit_one("platt", z[:, 0], y[:, 0], LOOSE)
    assert calibrator.slope == pytest.approx(2.0, abs=0.08)
    assert calibrator.intercept == pytest.approx(-1.0, abs=0.06)


def test_platts_targets_are_the_published_ones() -> None:
    np.testing.assert_allclose(smoothed(np.array([1.0, 0.0, 0.0])), [2 / 3, 1 / 4, 1 / 4])


def test_temperature_agrees_with_a_search_by_scipy(sample) -> None:
    z, y, _ = sample(intercept=0.0)
    ours = fit_one("temperature_each", z[:, 0], y[:, 0], LOOSE)
    theirs = minimize_scalar(lambda s: log_loss(y[:, 0], sigmoid(s * z[:, 0])), bounds=(0.1, 10), method="bounded")
    assert ours.slope == pytest.approx(theirs.x, abs=1e-3)
    assert ours.intercept == 0


def test_beta_agrees_with_logistic_regression_on_its_two_logarithms(sample) -> None:
    z, y, _ = sample()
    p = sigmoid(z[:, 0])
    theirs = LogisticRegression(C=np.inf, tol=1e-8).fit(np.column_stack([np.log(p), -np.log(1 - p)]), y[:, 0])
    ours = fit_one("beta", z[:, 0], y[:, 0], LOOSE)
    np.testing.assert_allclose(ours.beta, [*theirs.coef_[0], theirs.intercept_[0]], atol=0.03)


def test_beta_never_falls_even_where_the_scores_are_upside_down(sample) -> None:
    z, y, _ = sample(slope=-2.0)
    calibrator = fit_one("beta", z[:, 0], y[:, 0], LOOSE)
    assert (np.diff(calibrator.probabilities(np.linspace(-4, 4, 50))) >= 0).all()


def test_isotonic_agrees_with_scikit_learn_between_its_ends(sample) -> None:
    z, y, _ = sample(n=1500)
    z = np.round(z, 2)  # with ties
    theirs = IsotonicRegression(out_of_bounds="clip").fit(z[:, 0], y[:, 0])
    ours = fit_one("isotonic", z[:, 0], y[:, 0], LOOSE)
    grid = np.quantile(z, np.linspace(0.05, 0.95, 200))
    np.testing.assert_allclose(ours.probabilities(grid), theirs.predict(grid), atol=2e-3)
    assert 0 < ours.probabilities(np.array([-9.0]))[0] < ours.probabilities(np.array([9.0]))[0] < 1


def test_the_shared_slope_is_the_random_effects_mean(sample) -> None:
    parts = [sample(n=1500, slope=slope, seed=seed) for seed, slope in enumerate((1.0, 1.6, 2.4))]
    logits = np.concatenate([part[0] for part in parts], axis=1)
    truth = np.concatenate([part[1] for part in parts], axis=1)
    ours = fit_shared(logits, truth, 8)
    fits = [
        logistic_regression(np.column_stack([z, np.ones_like(z)]), smoothed(y))
        for z, y in zip(logits.T, truth.T, strict=True)
    ]
    theirs = combine_effects(
        np.array([fit.weights[0] for fit in fits]), np.array([fit.covariance[0, 0] for fit in fits]), method_re="dl"
    )
    assert ours.slope == pytest.approx(theirs.mean_effect_re, rel=1e-4)
    assert ours.variance == pytest.approx(theirs.tau2, rel=1e-3)


def test_a_rare_finding_is_pulled_to_the_shared_slope_and_a_common_one_is_not(sample) -> None:
    shared = Shared(slope=1.0, variance=0.01, temperature=1.0)
    few = sample(n=60, slope=3.0)
    many = sample(n=20000, slope=3.0)
    pulled = fit_one("platt", few[0][:, 0], few[1][:, 0], shared).slope
    own = fit_one("platt", many[0][:, 0], many[1][:, 0], shared).slope
    assert abs(pulled - 1.0) < 0.3
    assert own == pytest.approx(3.0, abs=0.4)


def test_without_a_positive_the_chance_is_laplaces() -> None:
    z = np.random.default_rng(0).normal(size=98)
    calibrator = fit_pooled(z, np.zeros(98), Shared(1.0, 0.1, 1.0))
    assert calibrator.probabilities(z).mean() == pytest.approx(1 / 100, rel=1e-3)


def test_likelihood_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(1)
    p, y = random.random(100), random.integers(0, 2, 100)
    assert negative_log_likelihood(p, y).mean() == pytest.approx(log_loss(y, p))
    assert np.isfinite(negative_log_likelihood(np.array([0.0, 1.0]), np.array([1.0, 0.0]))).all()
