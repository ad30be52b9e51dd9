"""Distances of vectors from those of the training images. NumPy only."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from thorax.errors import InputError

Kind = Literal["mahalanobis", "relative", "knn"]
KINDS: tuple[Kind, ...] = ("mahalanobis", "relative", "knn")
_NEEDS = {"mahalanobis": {"mean", "whiten"}, "relative": {"mean", "whiten", "scale"}, "knn": {"mean", "memory"}}
_NEIGHBOURS = 10
_MEMORY = 4000


@dataclass(frozen=True)
class Distance:
    """Statistics of training vectors, and the distance that they give.

    Attributes:
        kind: `mahalanobis` (Lee et al. 2018, NeurIPS), `relative` to an independent background (Ren et al. 2021), or
            `knn`: the distance to the k-th nearest training image on the unit sphere (Sun et al. 2022, ICML).
        arrays: float32 by name: `mean` (D,), and `whiten` (D, K), `scale` (D,) or `memory` (M, D).
    """

    kind: Kind
    arrays: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        if not _NEEDS.get(self.kind, {self.kind}) <= self.arrays.keys():
            raise InputError(f"These are not the statistics of an out-of-distribution score {self.kind!r}.")

    @cached_property
    def _exact(self) -> dict[str, np.ndarray]:
        """The vectors in float64; made once, as it takes longer than the distance of one image."""
        return {name: np.asarray(array, dtype=np.float64) for name, array in self.arrays.items() if name != "whiten"}

    @cached_property
    def _whiten(self) -> np.ndarray:
        return np.ascontiguousarray(self.arrays["whiten"], dtype=np.float32)

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return the distance (N,) of vectors (N, D); what is no number is far away.

        Raises:
            InputError: the vectors are of another length.
        """
        values = np.asarray(features, dtype=np.float64)
        mean = self._exact["mean"]
        if values.ndim != 2 or values.shape[1] != len(mean):
            raise InputError(f"Features of shape {values.shape} do not fit statistics of {len(mean)} features.")
        values = np.clip(np.nan_to_num(values, nan=1e6), -1e6, 1e6)
        if self.kind == "knn":
            return _knn(_on_sphere(values - mean), self._exact["memory"])
        # In float32: of one image, most of the time goes into reading this matrix.
        whitened = (values - mean).astype(np.float32) @ self._whiten
        distance = np.sqrt(np.sum(whitened.astype(np.float64) ** 2, axis=1))
        if self.kind == "mahalanobis":
            return distance
        background = np.sqrt(np.sum(((values - mean) / self._exact["scale"]) ** 2, axis=1))
        return distance - background


def fit_distance(features: np.ndarray, kind: Kind = "mahalanobis", seed: int = 0) -> Distance:
    """Learn where training vectors lie.

    Args:
        features: (N, D) of training images.
        kind: see `Distance`.
        seed: of the images that `knn` remembers, at most 4,000.

    Raises:
        InputError: fewer than two images, or features that are no numbers.
    """
    values = np.asarray(features, dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        raise InputError(f"{len(values)} training features cannot teach what is usual, or some are not numbers.")
    mean = values.mean(axis=0)
    if kind == "knn":
        rows = np.sort(np.random.default_rng(seed).permutation(len(values))[:_MEMORY])
        return Distance(kind, {"mean": mean, "memory": _on_sphere(values[rows] - mean)})
    arrays = {"mean": mean, "whiten": _whitening(values - mean)}
    if kind == "relative":
        arrays["scale"] = np.sqrt(values.var(axis=0) + 1e-6 * max(values.var(), 1e-12))
    return Distance(kind, arrays)


def _whitening(centred: np.ndarray) -> np.ndarray:
    """Return (D, K) so that `centred @ it` has unit covariance, shrunk by Ledoit & Wolf (2004, J. Multivar. Anal.)."""
    n, d = centred.shape
    covariance = centred.T @ centred / n
    average = np.trace(covariance) / d
    squared = np.sum(covariance**2)
    spread = np.sum((centred**2).T @ (centred**2)) / n - squared
    distance = squared - d * average**2
    shrink = float(np.clip(spread / n / distance, 0.0, 1.0)) if distance > 0 else 1.0
    covariance = (1 - shrink) * covariance + shrink * average * np.eye(d)
    values, vectors = np.linalg.eigh(covariance)
    return vectors / np.sqrt(np.maximum(values, 1e-10 * max(values.max(), 1e-12)))


def _on_sphere(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _knn(values: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Return the distance to the k-th nearest remembered image."""
    k = min(_NEIGHBOURS, len(memory))
    near = np.empty(len(values))
    for start in range(0, len(values), 1024):
        similarity = values[start : start + 1024] @ memory.T
        near[start : start + 1024] = np.partition(similarity, -k, axis=1)[:, -k]
    return np.sqrt(np.maximum(2.0 - 2.0 * near, 0.0))
