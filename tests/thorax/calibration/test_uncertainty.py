"""Uncertainty against SciPy, PyTorch and cases worked by hand."""

import numpy as np
import pytest
from scipy.stats import entropy

from thorax.calibration.calibrators import sigmoid
from thorax.calibration.uncertainty import (
    aurc,
    binary_entropy,
    disagreement,
    dropout_logits,
    dropout_variance,
    mutual_information,
    risk_coverage,
)


def test_entropy_is_scipys_in_bits() -> None:
    p = np.array([0.01, 0.2, 0.5, 0.97])
    np.testing.assert_allclose(binary_entropy(p), entropy(np.stack([p, 1 - p]), base=2), rtol=1e-9)
    assert binary_entropy(np.array([0.0, 1.0])).max() < 1e-9


@pytest.mark.slow
def test_dropout_on_the_head_is_pytorchs_dropout_before_the_last_layer() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    features, weight, bias = random.normal(size=(2, 40)), random.normal(size=(3, 40)), random.normal(size=3)
    ours = dropout_logits(features, weight, bias, 0.3, passes=6000)
    torch.manual_seed(0)
    dropped = torch.nn.functional.dropout(torch.tensor(features).repeat(6000, 1, 1), 0.3, training=True)
    theirs = (dropped @ torch.tensor(weight).T + torch.tensor(bias)).numpy()
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.25)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.06)


def test_the_exact_variance_is_what_many_passes_come_to() -> None:
    random = np.random.default_rng(1)
    features, weight = random.normal(size=(4, 30)), random.normal(size=(2, 30))
    drawn = dropout_logits(features, weight, np.zeros(2), 0.4, passes=20000).var(axis=0)
    np.testing.assert_allclose(dropout_variance(features, weight, 0.4), drawn, rtol=0.06)
    assert dropout_variance(features, weight, 0.0).max() == 0


def test_networks_that_agree_do_not_disagree() -> None:
    logits = np.array([[[0.3, -2.0]], [[0.3, 2.0]]])
    np.testing.assert_allclose(disagreement(logits)[0], [0.0, (sigmoid(np.array(2.0)) - sigmoid(np.array(-2.0))) / 2])
    information = mutual_information(sigmoid(logits))
    assert information[0, 0] == pytest.approx(0.0)
    assert information[0, 1] > 0.4


def test_risk_and_coverage_by_hand() -> None:
    uncertainty, wrong = np.array([0.1, 0.4, 0.2, 0.9]), np.array([0, 1, 0, 1])
    coverage, risk = risk_coverage(uncertainty, wrong)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 2])
    assert aurc(uncertainty, wrong) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_equal_uncertainty_tells_nothing_whatever_the_order() -> None:
    wrong = np.array([1, 1, 0, 0])
    assert aurc(np.zeros(4), wrong) == aurc(np.zeros(4), wrong[::-1]) == pytest.approx(0.5)
    assert np.isnan(aurc(np.zeros(0), np.zeros(0)))
