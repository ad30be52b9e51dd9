"""Performance without truth, against cases worked by hand, NannyML's published steps, and the truth itself."""

import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score

from thorax.monitoring.estimate import estimate, expected_auroc, expected_counts


def test_expected_counts_of_a_hand_worked_case() -> None:
    """Called present: .9 and .6, so 1.5 true and .5 false are expected; not called: .2 and .1."""
    found = expected_counts(np.array([0.9, 0.6, 0.2, 0.1]), np.array([True, True, False, False]))
    assert found == pytest.approx({"tp": 1.5, "fp": 0.5, "fn": 0.3, "tn": 1.7})


def test_expected_auroc_of_a_hand_worked_case() -> None:
    """Scores .8 and .3: the curve passes (.2/.9, .8/1.1), and the area by trapezoids is this."""
    tpr, fpr = 0.8 / 1.1, 0.2 / 0.9
    by_hand = fpr * tpr / 2 + (1 - fpr) * (tpr + 1) / 2
    assert expected_auroc(np.array([0.3, 0.8])) == pytest.approx(by_hand)
    assert expected_auroc(np.array([0.5, 0.5])) == pytest.approx(0.5)
    assert np.isnan(expected_auroc(np.array([])))
    assert np.isnan(expected_auroc(np.array([1.0, 1.0])))


def nannyml(p: np.ndarray) -> float:
    """The estimate as NannyML's documentation describes it: expected rates at every threshold, then the area."""
    rates = []
    for threshold in [np.inf, *sorted(set(p.tolist()), reverse=True)]:
        called = p >= threshold
        tp, fp = p[called].sum(), (1 - p[called]).sum()
        fn, tn = p[~called].sum(), (1 - p[~called]).sum()
        rates.append((fp / (fp + tn), tp / (tp + fn)))
    return float(auc(*zip(*rates, strict=True)))


def test_expected_auroc_equals_the_published_steps() -> None:
    p = np.random.default_rng(0).beta(1, 3, 300).round(2)
    assert expected_auroc(p) == pytest.approx(nannyml(p), abs=1e-12)


def test_the_estimate_is_right_where_probabilities_are_and_its_interval_holds_the_truth() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(40):
        p = rng.beta(0.6, 1.8, 800)
        truth = rng.random(800) < p
        found = estimate(p, p > 0.3)
        auroc, sensitivity = found["auroc"], found["sensitivity"]
        inside += auroc["low"] <= roc_auc_score(truth, p) <= auroc["high"]  # type: ignore[operator]
        assert sensitivity["low"] <= float((p > 0.3)[truth].mean()) + 0.05  # type: ignore[operator]
    assert 33 <= inside <= 40


def test_probabilities_that_are_not_there_are_left_out() -> None:
    p = np.array([0.2, np.nan, 0.9, 0.4])
    assert estimate(p, p > 0.5)["prevalence"]["value"] == pytest.approx(0.5)
    assert estimate(np.full(3, np.nan), np.zeros(3, bool))["auroc"]["value"] is None
