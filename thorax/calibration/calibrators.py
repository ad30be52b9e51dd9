"""Calibrators: what turns a network's logit into a probability that may be believed. NumPy only; fitted elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Method = Literal["none", "temperature", "temperature_each", "platt", "beta", "isotonic"]
#: Methods that are a straight line on the logit, simplest first.
AFFINE: tuple[Method, ...] = ("none", "temperature", "temperature_each", "platt")
METHODS: tuple[Method, ...] = (*AFFINE, "beta", "isotonic")


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(−x)) without overflow, float64."""
    values = np.asarray(logits, dtype=np.float64)
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def logit(probabilities: np.ndarray, floor: float = 1e-7) -> np.ndarray:
    """Return log(p / (1 − p)); p is first kept within [floor, 1 − floor]."""
    clipped = np.clip(np.asarray(probabilities, dtype=np.float64), floor, 1.0 - floor)
    return np.log(clipped) - np.log1p(-clipped)


@dataclass(frozen=True)
class Calibrator:
    """The calibrator of one finding. All of them are monotone: they never change who is more suspicious than whom.

    Attributes:
        method: what it is; a straight line on the logit, or one of the last two of `METHODS`.
        slope, intercept: calibrated logit = slope · logit + intercept, for the methods in `AFFINE`.
        beta: (a, b, c) of beta calibration (Kull et al. 2017, AISTATS): a log p − b log(1 − p) + c, a and b ≥ 0.
        knots: of isotonic regression (Zadrozny & Elkan 2002, KDD): logits in rising order and their probabilities;
            linear between them, constant beyond.
    """

    method: Method = "none"
    slope: float | None = 1.0
    intercept: float | None = 0.0
    beta: tuple[float, float, float] | None = None
    knots: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated logits (N,) for raw logits (N,)."""
        values = np.asarray(logits, dtype=np.float64)
        if self.beta is not None:
            a, b, c = self.beta
            # log p = −log(1 + exp(−z)) and −log(1 − p) = log(1 + exp(z)).
            return -a * np.logaddexp(0.0, -values) + b * np.logaddexp(0.0, values) + c
        if self.knots is not None:
            return logit(np.interp(values, *self.knots))
        assert self.slope is not None and self.intercept is not None
        return self.slope * values + self.intercept

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (N,), float64 in (0, 1)."""
        return sigmoid(self.logits(logits))

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        value: dict[str, Any] = {"method": self.method, "slope": self.slope, "intercept": self.intercept}
        if self.beta is not None:
            value["beta"] = list(self.beta)
        if self.knots is not None:
            value["knots"] = [list(part) for part in self.knots]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Calibrator":
        """Read back `to_json`.

        Raises:
            KeyError, TypeError, ValueError: it is not a calibrator.
        """
        beta, knots = value.get("beta"), value.get("knots")
        if value["method"] not in METHODS:
            raise ValueError(f"unknown calibrator {value['method']!r}")
        if beta is None and knots is None and (value["slope"] is None or value["intercept"] is None):
            raise ValueError("neither slope and intercept, nor beta, nor knots")
        return cls(
            method=value["method"],
            slope=None if value["slope"] is None else float(value["slope"]),
            intercept=None if value["intercept"] is None else float(value["intercept"]),
            beta=None if beta is None else (float(beta[0]), float(beta[1]), float(beta[2])),
            knots=None if knots is None else (tuple(map(float, knots[0])), tuple(map(float, knots[1]))),
        )
