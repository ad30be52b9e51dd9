"""Calibrators against their published formulae."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.special import logit as scipy_logit

from thorax.calibration.calibrators import Calibrator, logit, sigmoid

CALIBRATORS = [
    Calibrator("platt", 1.7, -0.4),
    Calibrator("beta", None, None, beta=(1.3, 0.6, -0.2)),
    Calibrator("isotonic", None, None, knots=((-2.0, 0.0, 0.5, 3.0), (0.01, 0.2, 0.2, 0.9))),
]


def test_sigmoid_and_logit_agree_with_scipy_and_do_not_overflow() -> None:
    values = np.array([-1e4, -30.0, -1.0, 0.0, 0.3, 30.0, 1e4])
    np.testing.assert_allclose(sigmoid(values), expit(values), rtol=1e-12)
    p = np.array([1e-6, 0.1, 0.5, 0.99])
    np.testing.assert_allclose(logit(p), scipy_logit(p), rtol=1e-12)
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()


def test_beta_calibration_is_the_published_formula() -> None:
    p = np.array([0.02, 0.3, 0.5, 0.97])
    a, b, c = 1.3, 0.6, -0.2
    expected = 1 / (1 + 1 / (np.exp(c) * p**a / (1 - p) ** b))  # Kull et al. 2017, eq. 1
    calibrator = Calibrator("beta", None, None, beta=(a, b, c))
    np.testing.assert_allclose(calibrator.probabilities(logit(p)), expected, rtol=1e-9)


@pytest.mark.parametrize("calibrator", CALIBRATORS, ids=lambda one: one.method)
def test_a_calibrator_survives_its_file(calibrator: Calibrator) -> None:
    again = Calibrator.from_json(json.loads(json.dumps(calibrator.to_json())))
    assert again == calibrator


@pytest.mark.parametrize("calibrator", CALIBRATORS, ids=lambda one: one.method)
@given(values=st.lists(st.floats(-50, 50), min_size=2, max_size=30))
def test_a_more_suspicious_image_never_gets_a_lower_probability(calibrator: Calibrator, values: list[float]) -> None:
    p = calibrator.probabilities(np.sort(np.array(values)))
    assert (np.diff(p) >= -1e-12).all()
    assert ((p >= 0) & (p <= 1)).all()


@pytest.mark.parametrize(
    "value", [{"method": "magic", "slope": 1, "intercept": 0}, {"method": "platt", "slope": None, "intercept": 0}]
)
def test_what_is_no_calibrator_is_refused(value: dict) -> None:
    with pytest.raises(ValueError, match=r"magic|neither"):
        Calibrator.from_json(value)
