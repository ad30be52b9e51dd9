"""Whether embeddings of two samples come from one distribution: the maximum mean discrepancy, on random features.

The discrepancy of a Gaussian kernel (Gretton et al. 2012, JMLR 13) is the squared distance between the means of random
Fourier features (Rahimi & Recht 2007, NeurIPS), so that a sample is one mean vector, and a thousand resamples are one
matrix product.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from thorax.prediction_log import EMBEDDING

#: Frequencies; each gives a cosine and a sine.
_FREQUENCIES = 64
#: Pairs of reference rows from which the kernel's width is taken.
_PAIRS = 2000
#: Embeddings further out than this many deviations are drawn in: the kernel sees them as far away in any case.
_FURTHEST = 10.0


@dataclass(frozen=True)
class Kernel:
    """A Gaussian kernel as random features.

    Attributes:
        columns: of the embedding that the reference has.
        centre: (K,) the reference's mean.
        scale: (K,) its standard deviation.
        frequencies: (K, M).
    """

    columns: tuple[str, ...]
    centre: np.ndarray
    scale: np.ndarray
    frequencies: np.ndarray

    @property
    def size(self) -> int:
        """Features of a row."""
        return 2 * self.frequencies.shape[1]

    def features(self, frame: pd.DataFrame) -> np.ndarray:
        """Return float32 (n, 2 M) of the rows that have an embedding; a row's sum of squares is one."""
        rows = self.rows(frame)
        angles = (rows @ self.frequencies).astype(np.float32)
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.float32(np.sqrt(self.frequencies.shape[1]))

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the standardised embeddings (n, K) of the rows that have one."""
        values = frame[list(self.columns)].to_numpy(dtype=np.float64, na_value=np.nan)
        values = values[np.isfinite(values).all(axis=1)]
        return np.clip((values - self.centre) / self.scale, -_FURTHEST, _FURTHEST)


def fit_kernel(reference: pd.DataFrame, seed: int = 0) -> Kernel | None:
    """Choose the kernel on the reference, as wide as its rows are apart (the median); None without embeddings."""
    columns = tuple(name for name in EMBEDDING if name in reference and reference[name].notna().any())
    if not columns:
        return None
    values = reference[list(columns)].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < 2:
        return None
    scale = np.maximum(values.std(axis=0), 1e-9)
    plain = Kernel(columns, values.mean(axis=0), scale, np.empty((len(columns), 0)))
    rows = plain.rows(reference)
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, len(rows), (2, _PAIRS))
    distances = np.sqrt(((rows[first] - rows[second]) ** 2).sum(axis=1))
    width = float(np.median(distances[first != second])) or 1.0
    frequencies = generator.standard_normal((len(columns), _FREQUENCIES)) / width
    return Kernel(columns, plain.centre, scale, frequencies)


def discrepancy(current: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the squared maximum mean discrepancy of mean features (…, 2 M), 0 to 2; its null is not centred on 0."""
    return np.sum((np.asarray(current, dtype=np.float64) - reference) ** 2, axis=-1)
