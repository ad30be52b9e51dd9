"""Fit calibrators by maximum likelihood: small logistic regressions by Newton's method, and isotonic regression.

Each is checked in the tests against scikit-learn, SciPy or a published implementation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thorax.calibration.calibrators import Calibrator, Method, logit, sigmoid

_SLOPES = (0.02, 20.0)


@dataclass(frozen=True)
class Fit:
    """Coefficients (K,) of a logistic regression, and the covariance (K, K) of their estimate."""

    weights: np.ndarray
    covariance: np.ndarray


def logistic_regression(
    design: np.ndarray,
    targets: np.ndarray,
    offset: np.ndarray | float = 0.0,
    centre: np.ndarray | None = None,
    precision: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> Fit:
    """Maximise the (penalised) likelihood by Newton's method with step halving.

    Args:
        design: (N, K).
        targets: (N,), in [0, 1]; need not be 0 or 1.
        offset: added to every linear predictor.
        centre: (K,), the mean of an independent normal prior.
        precision: (K,), its inverse variance; a tiny one keeps separable data finite.
        start: (K,), where to begin.
    """
    columns = design.shape[1]
    centre = np.zeros(columns) if centre is None else centre
    precision = np.full(columns, 1e-6) if precision is None else np.maximum(precision, 1e-6)
    weights = np.zeros(columns) if start is None else start.astype(np.float64).copy()

    def loss(candidate: np.ndarray) -> float:
        linear = design @ candidate + offset
        return float(np.sum(np.logaddexp(0.0, linear) - targets * linear)) + 0.5 * float(
            precision @ (candidate - centre) ** 2
        )

    best = loss(weights)
    curvature = np.diag(precision)
    for _ in range(100):
        chance = sigmoid(design @ weights + offset)
        gradient = design.T @ (chance - targets) + precision * (weights - centre)
        curvature = (design * (chance * (1.0 - chance))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        for _ in range(40):
            found = loss(weights - step)
            if found <= best + 1e-12 * abs(best):
                break
            step = step / 2
        gained, best = best - found, min(best, found)
        weights = weights - step
        if gained < 1e-9 * max(1.0, abs(best)):
            break
    return Fit(weights, np.linalg.pinv(curvature))


def smoothed(targets: np.ndarray) -> np.ndarray:
    """Return Platt's targets (Platt 1999): (n₊+1)/(n₊+2) and 1/(n₋+2), which keep few labels from certainty."""
    positives = float(targets.sum())
    negatives = len(targets) - positives
    return np.where(targets > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def known(logits: np.ndarray, truth: np.ndarray, finding: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits and the truth of one finding where its truth is known."""
    rows = ~np.isnan(truth[:, finding])
    return logits[rows, finding], truth[rows, finding]


@dataclass(frozen=True)
class Shared:
    """What all findings together say of a slope: its mean, and how much it varies from finding to finding."""

    slope: float
    variance: float
    temperature: float


def fit_shared(logits: np.ndarray, truth: np.ndarray, min_positives: int) -> Shared:
    """Estimate the slope that findings share, and its spread among them (DerSimonian & Laird 1986).

    Findings with fewer than `min_positives` positives, or negatives, do not speak; where none may, the slope is 1.
    """
    slopes, variances, stacked_z, stacked_y = [], [], [], []
    for finding in range(logits.shape[1]):
        z, y = known(logits, truth, finding)
        if len(y):
            stacked_z.append(z)
            stacked_y.append(y)
        if y.sum() < min_positives or (1 - y).sum() < min_positives or np.ptp(z) < 1e-9:
            continue
        fit = _line(z, y)
        if _SLOPES[0] < fit.weights[0] < _SLOPES[1]:
            slopes.append(fit.weights[0])
            variances.append(max(fit.covariance[0, 0], 1e-8))
    temperature = 1.0
    if stacked_z and slopes:
        temperature = _scale(np.concatenate(stacked_z), np.concatenate(stacked_y))
    if not slopes:
        return Shared(1.0, 0.0, temperature)
    s, w = np.asarray(slopes), 1.0 / np.asarray(variances)
    fixed = float(w @ s / w.sum())
    excess = float(w @ (s - fixed) ** 2) - (len(s) - 1)
    between = max(0.0, excess / max(w.sum() - (w @ w) / w.sum(), 1e-12)) if len(s) > 1 else 0.25 * fixed**2
    weights = 1.0 / (np.asarray(variances) + between)
    return Shared(float(weights @ s / weights.sum()), max(between, 1e-4), temperature)


def fit_one(method: Method, z: np.ndarray, y: np.ndarray, shared: Shared) -> Calibrator:
    """Fit one finding's calibrator to its logits (N,) and truth (N,) of 0 and 1.

    Platt's slope has a normal prior around the findings' shared slope, with their spread: where positives are many it
    does not matter, where they are rare it decides.
    """
    if method == "none":
        return Calibrator()
    if method == "temperature":
        return Calibrator("temperature", shared.temperature, 0.0)
    if method == "temperature_each":
        return Calibrator("temperature_each", _scale(z, y), 0.0)
    if method == "platt":
        fit = _line(z, y, shared)
        if not _SLOPES[0] <= fit.weights[0] <= _SLOPES[1]:
            return fit_pooled(z, y, shared)
        return Calibrator("platt", float(fit.weights[0]), float(fit.weights[1]))
    if method == "beta":
        return _beta(z, y)
    return _isotonic(z, y)


def fit_pooled(z: np.ndarray, y: np.ndarray, shared: Shared) -> Calibrator:
    """Fit a line with the shared slope: only the intercept is the finding's own, from Platt's smoothed targets."""
    targets = smoothed(y) if len(y) else np.zeros(0)
    if not len(y):
        return Calibrator("platt", shared.slope, 0.0)
    fit = logistic_regression(np.ones((len(z), 1)), targets, offset=shared.slope * z)
    return Calibrator("platt", shared.slope, float(fit.weights[0]))


def rises(z: np.ndarray, y: np.ndarray) -> bool:
    """Say whether the chance of the finding rises with its logit at all."""
    return bool(_line(z, y).weights[0] > 0)


def negative_log_likelihood(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return −log of the probability given to what was true, a case; p is kept within [1e−7, 1 − 1e−7]."""
    p = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return -(truth * np.log(p) + (1 - truth) * np.log1p(-p))


def _line(z: np.ndarray, y: np.ndarray, shared: Shared | None = None) -> Fit:
    design = np.column_stack([z, np.ones_like(z)])
    if shared is None:
        return logistic_regression(design, smoothed(y), start=np.array([1.0, 0.0]))
    return logistic_regression(
        design,
        smoothed(y),
        centre=np.array([shared.slope, 0.0]),
        precision=np.array([1.0 / shared.variance if shared.variance > 0 else 1e6, 0.0]),
        start=np.array([shared.slope, 0.0]),
    )


def _scale(z: np.ndarray, y: np.ndarray) -> float:
    """Return the slope through the origin (1 / temperature; Guo et al. 2017, ICML)."""
    if np.ptp(y) == 0 or not np.any(z):
        return 1.0
    slope = logistic_regression(z[:, None], y, start=np.array([1.0])).weights[0]
    return float(np.clip(slope, *_SLOPES))


def _beta(z: np.ndarray, y: np.ndarray) -> Calibrator:
    """Fit beta calibration; where a coefficient would be negative it is left out, as its authors do."""
    columns: Sequence[np.ndarray] = (-np.logaddexp(0.0, -z), np.logaddexp(0.0, z))
    targets, one = smoothed(y), np.ones_like(z)
    used = [0, 1]
    while used:
        design = np.column_stack([*(columns[index] for index in used), one])
        # A weak pull of both towards 1 keeps a finding whose logits all lie on one side of zero from running away.
        weights = logistic_regression(
            design,
            targets,
            centre=np.array([1.0] * len(used) + [0.0]),
            precision=np.array([0.01] * len(used) + [0.0]),
            start=np.array([1.0] * len(used) + [0.0]),
        ).weights
        negative = [index for index, value in zip(used, weights[:-1], strict=True) if value < 0]
        if not negative:
            break
        used.remove(min(negative, key=lambda index: weights[used.index(index)]))
    coefficients = dict(zip(used, weights[:-1], strict=True)) if used else {}
    if not coefficients:
        return Calibrator("platt", 0.0, float(logit(np.array(targets.mean()))))
    return Calibrator(
        "beta",
        None,
        None,
        beta=(float(coefficients.get(0, 0.0)), float(coefficients.get(1, 0.0)), float(weights[-1])),
    )


def _isotonic(z: np.ndarray, y: np.ndarray) -> Calibrator:
    """Fit isotonic regression; its ends are kept off 0 and 1 by Laplace's rule, as no count proves certainty."""
    from scipy.optimize import isotonic_regression

    values, inverse, counts = np.unique(z, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=y) / counts
    result = isotonic_regression(means, weights=counts.astype(np.float64))
    starts = result.blocks[:-1]
    sizes = np.add.reduceat(counts, starts)
    level = (result.x[starts] * sizes + 1e-3) / (sizes + 2e-3)
    level = np.clip(level, 1 / (len(y) + 2), 1 - 1 / (len(y) + 2))
    ends = np.append(starts[1:], len(values)) - 1
    knots = np.unique(
        np.concatenate([np.column_stack([values[starts], level]), np.column_stack([values[ends], level])]), axis=0
    )
    level_up = np.maximum.accumulate(knots[:, 1])
    return Calibrator("isotonic", None, None, knots=(tuple(knots[:, 0].tolist()), tuple(level_up.tolist())))
