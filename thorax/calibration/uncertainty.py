"""How unsure a prediction is, from what one forward pass has already computed. NumPy only."""

import numpy as np

from thorax.calibration.calibrators import sigmoid


def binary_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of each probability in bits: 0 is certain, 1 is a coin's toss."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-12, 1 - 1e-12)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def dropout_logits(
    features: np.ndarray, weight: np.ndarray, bias: np.ndarray, rate: float, passes: int = 50, seed: int = 0
) -> np.ndarray:
    """Draw logits with dropout before the last layer (Monte Carlo dropout; Gal & Ghahramani 2016, ICML).

    Dropout sits between the pooled features and the last layer, so a pass is one small matrix product.

    Args:
        features: (N, D), pooled.
        weight: (F, D), of the last layer.
        bias: (F,).
        rate: chance that a feature is dropped, in [0, 1).
        passes: P.
        seed: of the masks, which all images share.

    Returns:
        (P, N, F).
    """
    keep = np.random.default_rng(seed).random((passes, features.shape[1])) >= rate
    masked = keep[:, None, :] * (weight / (1.0 - rate))[None]
    return np.einsum("nd,pfd->pnf", features, masked, optimize=True) + bias


def dropout_variance(features: np.ndarray, weight: np.ndarray, rate: float) -> np.ndarray:
    """Return the exact variance (N, F) of the logits under that dropout: rate / (1 − rate) · h² · (w²)ᵀ."""
    return rate / (1.0 - rate) * np.square(features, dtype=np.float64) @ np.square(weight, dtype=np.float64).T


def mutual_information(samples: np.ndarray) -> np.ndarray:
    """Return how much the samples disagree, in bits: entropy of the mean less the mean entropy.

    Args:
        samples: (P, ...) probabilities, of dropout passes or of several networks.
    """
    return np.maximum(binary_entropy(samples.mean(axis=0)) - binary_entropy(samples).mean(axis=0), 0.0)


def disagreement(logits: np.ndarray) -> np.ndarray:
    """Return the standard deviation (N, F) of the probabilities of several networks, from (M, N, F) logits."""
    return sigmoid(logits).std(axis=0)


def risk_coverage(uncertainty: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the risk among the least uncertain share of cases, for every share.

    Args:
        uncertainty: (N,).
        wrong: (N,), 1 where the decision was wrong, else 0.

    Returns:
        coverage (N,) rising to 1, and the share of wrong decisions (N,) among those kept. Cases of the same
        uncertainty are answered in a random order, so each counts with their mean.
    """
    order = np.argsort(uncertainty, kind="stable")
    ranked = np.asarray(wrong, dtype=np.float64)[order]
    _, start, counts = np.unique(uncertainty[order], return_index=True, return_counts=True)
    ranked = np.repeat(np.add.reduceat(ranked, start) / counts, counts) if len(ranked) else ranked
    n = np.arange(1, len(ranked) + 1)
    return n / max(len(ranked), 1), np.cumsum(ranked) / n


def aurc(uncertainty: np.ndarray, wrong: np.ndarray) -> float:
    """Return the area under the risk–coverage curve (Geifman & El-Yaniv 2017, NeurIPS): the mean risk; 0 is best."""
    if not len(wrong):
        return float("nan")
    return float(risk_coverage(uncertainty, wrong)[1].mean())
