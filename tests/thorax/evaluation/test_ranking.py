"""Rank figures against scikit-learn, by the definition, and under every weighting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from thorax.evaluation.ranking import auroc, auroc_and_auprc, delong, precision_recall_points, roc_points


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = (random.random(400) < 0.15).astype(float)
    return np.round(random.normal(truth, 1.0), 1), truth  # rounded: many ties


def test_both_agree_with_scikit_learn_for_every_weighting(scored) -> None:
    scores, truth = scored
    weights = np.random.default_rng(1).integers(0, 4, size=(150, 400), dtype=np.uint8)
    areas, precisions = auroc_and_auprc(scores, truth, weights)
    for row in (0, 63, 64, 149):
        assert areas[row] == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights[row]))
        assert precisions[row] == pytest.approx(average_precision_score(truth, scores, sample_weight=weights[row]))


def test_auroc_is_mann_and_whitneys_u(scored) -> None:
    scores, truth = scored
    u = mannwhitneyu(scores[truth == 1], scores[truth == 0]).statistic
    assert auroc(scores, truth) == pytest.approx(u / (truth.sum() * (1 - truth).sum()))


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5]), st.booleans()), min_size=2, max_size=20))
@settings(deadline=None, max_examples=80)
def test_auroc_by_its_definition(cases: list[tuple[float, bool]]) -> None:
    scores, truth = np.array([score for score, _ in cases]), np.array([float(label) for _, label in cases])
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[truth == 1] for n in scores[truth == 0]]
    found = auroc(scores, truth)
    assert found == pytest.approx(np.mean(pairs)) if pairs else np.isnan(found)


def test_a_constant_score_is_chance(scored) -> None:
    _, truth = scored
    area, precision = auroc_and_auprc(np.zeros(400), truth, np.ones((1, 400), dtype=np.uint8))
    assert area[0] == 0.5
    assert precision[0] == pytest.approx(truth.mean())


@pytest.mark.parametrize("truth", [np.zeros(5), np.ones(5)])
def test_without_positives_or_negatives_there_is_no_figure(truth: np.ndarray) -> None:
    assert np.isnan(auroc(np.arange(5.0), truth))


def test_the_curves_pass_through_scikit_learns_points(scored) -> None:
    scores, truth = scored
    false_positive, sensitivity, thresholds = roc_points(scores, truth)
    theirs = roc_curve(truth, scores, drop_intermediate=False)
    for ours, expected in zip((false_positive, sensitivity, thresholds), theirs, strict=True):
        np.testing.assert_allclose(ours, expected)
    recall, precision = precision_recall_points(scores, truth)
    their_precision, their_recall, _ = precision_recall_curve(truth, scores)
    np.testing.assert_allclose(recall[::-1], their_recall[:-1])
    np.testing.assert_allclose(precision[::-1], their_precision[:-1])


def test_delong_by_its_structural_components() -> None:
    random = np.random.default_rng(3)
    truth = np.repeat([1.0, 0.0], [30, 50])
    first, second = np.round(random.normal(truth, 1), 1), np.round(random.normal(truth * 0.5, 1), 1)
    wins, areas = [], []
    for scores in (first, second):
        positive, negative = scores[truth == 1][:, None], scores[truth == 0][None, :]
        wins.append((positive > negative) + 0.5 * (positive == negative))
        areas.append(wins[-1].mean())
    by_positive = np.cov(np.stack([win.mean(axis=1) for win in wins]))  # DeLong et al. 1988, eq. 4 to 7
    by_negative = np.cov(np.stack([win.mean(axis=0) for win in wins]))
    contrast = np.array([1.0, -1.0])
    error = np.sqrt(contrast @ (by_positive / 30 + by_negative / 50) @ contrast)
    found = delong(first, second, truth)
    assert found.first == pytest.approx(areas[0])
    assert found.standard_error == pytest.approx(error)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(areas[0] - areas[1]) / error))


def test_delong_seldom_finds_a_difference_where_there_is_none() -> None:
    random = np.random.default_rng(4)
    found = []
    for _ in range(400):
        truth = (random.random(200) < 0.4).astype(float)
        found.append(delong(random.normal(truth, 1), random.normal(truth, 1), truth).p_value < 0.05)
    assert np.mean(found) == pytest.approx(0.05, abs=0.03)


def test_delong_where_it_cannot_tell() -> None:
    assert delong(np.arange(4.0), np.arange(4.0), np.array([0.0, 0, 1, 1])).p_value == 1.0
    assert np.isnan(delong(np.arange(3.0), np.arange(3.0), np.array([0.0, 0, 1])).p_value)
