"""One answer a finding keeps both promises."""

from pathlib import Path

import numpy as np
import pytest

from thorax.calibration import Calibration
from thorax.calibration.conformal import Cutoffs, answers, fit_cutoffs
from thorax.calibration.operating import Rule, operating_point
from thorax.calibration.referral import ReferRule


def test_the_cutoffs_are_the_textbook_order_statistics() -> None:
    p, truth = np.arange(1, 20) / 20, np.ones(19)  # n = 19, α = 0.1: the second lowest positive
    assert fit_cutoffs(p, truth, 0.1, 0.1) == Cutoffs(0.1, 1.0)
    assert fit_cutoffs(p, 1 - truth, 0.1, 0.1) == Cutoffs(0.0, 0.9)
    assert fit_cutoffs(p[:8], truth[:8], 0.1, 0.1) == Cutoffs(0.0, 1.0), "eight cases cannot promise 10%"


def test_the_cutoffs_agree_with_mapie() -> None:
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
        cutoffs = fit_cutoffs(p, np.full(300, label), alpha, alpha)
        np.testing.assert_array_equal(inside, grid >= cutoffs.lower if label else grid <= cutoffs.upper)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_each_kind_is_answered_wrongly_no_more_than_promised(alpha: float) -> None:
    random = np.random.default_rng(1)
    missed, false = [], []
    for _ in range(300):
        truth = (random.random(600) < 0.3).astype(float)
        p = 1 / (1 + np.exp(-random.normal(1.2 * truth - 1, 1.0)))
        cutoffs = fit_cutoffs(p[:300], truth[:300], alpha, alpha)
        said = answers(p[300:], cutoffs)
        missed.append((said[truth[300:] == 1] == "absent").mean())
        false.append((said[truth[300:] == 0] == "present").mean())
    assert np.mean(missed) == pytest.approx(alpha, abs=0.015)
    assert np.mean(false) == pytest.approx(alpha, abs=0.015)


def test_kinds_that_lie_far_apart_leave_nobody_unsure() -> None:
    random = np.random.default_rng(2)
    truth = np.repeat([1.0, 0.0], 200)
    p = np.where(truth == 1, random.uniform(0.6, 1, 400), random.uniform(0, 0.4, 400))
    cutoffs = fit_cutoffs(p, truth, 0.1, 0.1)
    said = answers(p, cutoffs)
    assert "uncertain" not in said
    assert (said[truth == 1] == "absent").mean() <= 0.1
    assert (said[truth == 0] == "present").mean() <= 0.1


def test_without_positives_nothing_is_called_absent() -> None:
    cutoffs = fit_cutoffs(np.linspace(0.01, 0.4, 50), np.zeros(50), 0.1, 0.1)
    assert cutoffs.lower == 0.0
    assert "absent" not in answers(np.linspace(0, 1, 11), cutoffs)


@pytest.mark.parametrize("shift", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("target", [0.8, 0.95])
def test_both_promises_hold_whatever_the_threshold_and_never_contradict_it(shift: float, target: float) -> None:
    random = np.random.default_rng(4)
    missed, false = [], []
    for _ in range(300):
        truth = (random.random(400) < 0.3).astype(float)
        p = 1 / (1 + np.exp(-random.normal(shift * truth - 1, 1.0)))
        threshold = operating_point(p[:200], truth[:200], Rule(target=target)).threshold
        cutoffs = fit_cutoffs(p[:200], truth[:200], min(0.1, 1 - target), 0.1, threshold)
        said = answers(p[200:], cutoffs)
        assert not ((said == "present") & (p[200:] < threshold)).any()
        assert not ((said == "absent") & (p[200:] >= threshold)).any()
        missed.append((said[truth[200:] == 1] == "absent").mean())
        false.append((said[truth[200:] == 0] == "present").mean())
    assert np.mean(missed) <= min(0.1, 1 - target) + 0.005
    assert np.mean(false) <= 0.1 + 0.005


def test_the_image_that_set_a_cutoff_is_uncertain() -> None:
    for value in (0.3, 0.7000000000000001, 0.1, 0.9):
        assert answers(np.array([value]), Cutoffs(value, value)).tolist() == ["uncertain"]


def test_a_calibration_of_the_release_before_gives_one_answer() -> None:
    """`before/` was written by that release: at .69 and .85 it answered effusion "present", below its mark of .93."""
    calibration = Calibration.load(Path(__file__).parent / "before")
    assert calibration.thresholds.round(3).tolist() == [0.933, 0.132]
    p = np.array([0.48, 0.69, 0.85, 0.94])
    pairs = np.stack([p, [0.11, 0.2, 0.47, 0.9]], axis=1)
    assert calibration.answers(pairs).T.tolist() == [
        ["absent", "uncertain", "uncertain", "present"],
        ["absent", "uncertain", "uncertain", "present"],
    ]
    assert calibration.refer_rule == ReferRule(("ood", "entropy"), 0.95)
    assert calibration.decisions(pairs).T.tolist() == [[False, False, False, True], [False, True, True, True]]
