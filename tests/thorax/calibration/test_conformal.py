"""Conformal answers keep their promise."""

import numpy as np
import pytest

from thorax.calibration.conformal import Cutoffs, answers, conformal_quantile, fit_cutoffs, sets


def test_the_quantile_is_the_textbook_one() -> None:
    strangeness = np.arange(1, 20) / 20  # n = 19, α = 0.1: rank ⌈20 · 0.9⌉ = 18
    assert conformal_quantile(strangeness, 0.1) == pytest.approx(18 / 20)
    assert conformal_quantile(np.array([0.2] * 8), 0.1) == 1.0  # ⌈9 · 0.9⌉ = 9 > 8: nothing can be promised
    assert conformal_quantile(np.array([]), 0.1) == 1.0


def test_the_quantile_agrees_with_mapie() -> None:
    mapie = pytest.importorskip("mapie.classification")
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """A "classifier" whose input is the probability itself."""

        def fit(self, X, y):
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, X):
            return np.column_stack([1 - X[:, 0], X[:, 0]])

        def predict(self, X):
            return (X[:, 0] > 0.5).astype(int)

        def __sklearn_is_fitted__(self):
            return True

    random = np.random.default_rng(0)
    p = random.beta(2, 2, 300)
    for label, alpha in ((1, 0.1), (0, 0.2)):
        given = Given().fit(None, None)
        theirs = mapie.SplitConformalClassifier(given, confidence_level=1 - alpha, conformity_score="lac", prefit=True)
        theirs.conformalize(p[:, None], np.full(300, label))  # Mondrian: the images of one kind alone
        grid = np.linspace(0.01, 0.99, 197)
        inside = theirs.predict_set(grid[:, None])[1][:, label, 0]
        quantile = conformal_quantile(1 - p if label else p, alpha)
        np.testing.assert_array_equal(inside, (1 - grid if label else grid) <= quantile)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_each_kind_is_answered_wrongly_no_more_than_promised(alpha: float) -> None:
    random = np.random.default_rng(1)
    missed, false = [], []
    for _ in range(300):
        truth = (random.random(600) < 0.3).astype(float)
        p = 1 / (1 + np.exp(-random.normal(1.2 * truth - 1, 1.0)))
        cutoffs = fit_cutoffs(p[:300], truth[:300], alpha)
        said = answers(p[300:], cutoffs)
        missed.append((said[truth[300:] == 1] == "absent").mean())
        false.append((said[truth[300:] == 0] == "present").mean())
    assert np.mean(missed) == pytest.approx(alpha, abs=0.015)
    assert np.mean(false) == pytest.approx(alpha, abs=0.015)


def test_kinds_that_lie_far_apart_leave_nobody_unsure() -> None:
    random = np.random.default_rng(2)
    truth = np.repeat([1.0, 0.0], 200)
    p = np.where(truth == 1, random.uniform(0.6, 1, 400), random.uniform(0, 0.4, 400))
    cutoffs = fit_cutoffs(p, truth, 0.1)
    said = answers(p, cutoffs)
    assert "uncertain" not in said
    assert (said[truth == 1] == "absent").mean() <= 0.1
    assert (said[truth == 0] == "present").mean() <= 0.1


def test_without_positives_nothing_is_called_absent() -> None:
    cutoffs = fit_cutoffs(np.linspace(0.01, 0.4, 50), np.zeros(50), 0.1)
    assert cutoffs.present == 1.0
    assert "absent" not in answers(np.linspace(0, 1, 11), cutoffs)


def test_the_image_that_set_a_cutoff_is_inside() -> None:
    p = np.array([0.3, 0.7000000000000001, 0.1, 0.9])
    for value in p:
        present, absent = sets(p, Cutoffs(1.0 - value, value))
        assert present[p == value].all()
        assert absent[p == value].all()
