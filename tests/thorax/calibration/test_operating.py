"""Operating points against exhaustive search by scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, fbeta_score, recall_score, roc_curve

from thorax.calibration.operating import Rule, operating_point, threshold_interval


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    truth = (random.random(600) < 0.2).astype(float)
    return np.round(np.clip(random.normal(0.3 + 0.25 * truth, 0.15), 0.01, 0.99), 2), truth


@pytest.mark.parametrize("target", [0.5, 0.9, 0.99])
def test_the_target_sensitivity_is_reached_at_the_least_price(scored, target: float) -> None:
    p, truth = scored
    point = operating_point(p, truth, Rule("sensitivity", target, prior=0))
    false_positive, sensitivity, _ = roc_curve(truth, p, drop_intermediate=False)
    called = p >= point.threshold
    assert recall_score(truth, called) >= target
    assert called[truth == 0].mean() == pytest.approx(false_positive[sensitivity >= target].min())


def test_the_target_specificity_is_reached_at_the_least_price(scored) -> None:
    p, truth = scored
    point = operating_point(p, truth, Rule("specificity", 0.9, prior=0))
    false_positive, sensitivity, _ = roc_curve(truth, p, drop_intermediate=False)
    called = p >= point.threshold
    assert 1 - called[truth == 0].mean() >= 0.9
    assert called[truth == 1].mean() == pytest.approx(sensitivity[1 - false_positive >= 0.9].max())


def test_youden_is_the_best_of_the_roc_curve(scored) -> None:
    p, truth = scored
    point = operating_point(p, truth, Rule("youden", prior=0))
    false_positive, sensitivity, _ = roc_curve(truth, p, drop_intermediate=False)
    assert point.sensitivity + point.specificity - 1 == pytest.approx((sensitivity - false_positive).max())


@pytest.mark.parametrize(("kind", "beta"), [("f1", 1.0), ("fbeta", 2.0)])
def test_f_is_the_best_that_scikit_learn_finds(scored, kind: str, beta: float) -> None:
    p, truth = scored
    point = operating_point(p, truth, Rule(kind, beta=beta, prior=0))
    best = max(fbeta_score(truth, p >= t, beta=beta) for t in np.unique(p))
    assert fbeta_score(truth, p >= point.threshold, beta=beta) == pytest.approx(best)
    assert kind != "f1" or f1_score(truth, p >= point.threshold) == pytest.approx(best)


def test_the_cost_rule_finds_the_least_cost(scored) -> None:
    p, truth = scored
    point = operating_point(p, truth, Rule("cost", cost_ratio=7.0, prior=0))

    def cost(threshold: float) -> float:
        called = p >= threshold
        return 7.0 * (truth[~called]).sum() + (1 - truth[called]).sum()

    assert cost(point.threshold) == min(cost(t) for t in np.unique(p))


@pytest.mark.parametrize("kind", ["sensitivity", "specificity", "youden", "f1", "fbeta", "cost"])
@pytest.mark.parametrize("truth", [np.zeros(50), np.ones(50)])
def test_without_positives_or_negatives_a_note_says_so(kind: str, truth: np.ndarray) -> None:
    p = np.linspace(0.01, 0.9, 50)
    assert operating_point(p, truth, Rule(kind, prior=0)).threshold == 0.5
    point = operating_point(p, truth, Rule(kind))
    assert 0 < point.threshold < 1
    assert "to fit the operating point to" in point.note


def test_where_the_probabilities_are_right_few_positives_suffice() -> None:
    random = np.random.default_rng(0)
    errors: dict[float, list[float]] = {0.0: [], 100.0: []}
    everybody = 1 / (1 + np.exp(-random.normal(-2.5, 1.2, 200_000)))
    has_it = random.random(200_000) < everybody
    for _ in range(60):
        rows = random.integers(0, 200_000, 150)  # about 17 positives
        for prior, found in errors.items():
            threshold = operating_point(everybody[rows], has_it[rows].astype(float), Rule(prior=prior)).threshold
            found.append((everybody[has_it] >= threshold).mean() - 0.9)
    few, many = (np.sqrt(np.mean(np.square(found))) for found in errors.values())
    assert many < 0.6 * few
    assert abs(np.mean(errors[100.0])) < 0.02


@given(
    scores=st.lists(st.sampled_from([0.1, 0.2, 0.2, 0.5, 0.7]), min_size=4, max_size=40),
    seed=st.integers(0, 99),
    target=st.floats(0.05, 0.99),
)
@settings(deadline=None, max_examples=60)
def test_ties_are_called_alike_and_the_target_holds(scores: list[float], seed: int, target: float) -> None:
    p = np.array(scores)
    truth = np.random.default_rng(seed).integers(0, 2, len(p)).astype(float)
    truth[0], truth[1] = 1.0, 0.0
    assert (
        ((p >= operating_point(p, truth, Rule("sensitivity", target, prior=0)).threshold)[truth == 1]).mean()
        >= target - 1e-9
    )
    assert (
        ((p < operating_point(p, truth, Rule("specificity", target, prior=0)).threshold)[truth == 0]).mean()
        >= target - 1e-9
    )


def test_a_constant_score_calls_everybody_to_reach_the_sensitivity() -> None:
    point = operating_point(np.full(10, 0.3), np.array([1.0] * 3 + [0.0] * 7), Rule("sensitivity", 0.9))
    assert point.sensitivity == 1
    assert point.specificity == 0


def test_the_threshold_lies_in_its_interval(scored) -> None:
    p, truth = scored
    rule = Rule("sensitivity", 0.9)
    low, high = threshold_interval(p, truth, np.arange(len(p)) // 2, rule)
    assert low <= operating_point(p, truth, rule).threshold <= high
    assert np.isnan(threshold_interval(p, np.zeros(len(p)), np.arange(len(p)), rule)).all()
