"""Cut-offs that do not cry wolf: what the effect sizes come to without any drift, at this window's size.

Both samples are drawn anew from the reference, patient by patient and all columns together: one of the reference's size
and one of the window's. (Drawing the window alone would leave out that the reference is itself a sample, and give
alarms far more often than stated where the two are of like size.) The statistics of all columns are brought to one
scale, and the cut-off is set on their maximum, which bounds the rate of a false alarm anywhere in the report
(Westfall & Young 1993).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from thorax.monitoring import effects
from thorax.monitoring.bins import Column
from thorax.monitoring.kernel import discrepancy
from thorax.monitoring.summary import Summary

_BATCH = 32
#: The name under which the embeddings stand among the columns.
EMBEDDED = "embedding"
#: To which power an effect size is nearly normal: the cube root of a sum of squares is (Wilson & Hilferty 1931), and a
#: Jensen–Shannon distance is the root of one. Columns with two bins and with ten so share one yardstick.
_POWER = {"psi": 1 / 3, "jensen_shannon": 2 / 3, "wasserstein": 1 / 3, "discrepancy": 1 / 3}


@dataclass(frozen=True)
class Reference:
    """The reference as resampling needs it.

    Attributes:
        columns: as it was cut.
        codes: (m, C) fine bins of its rows.
        features: (m, 2 M) of its embeddings, zero for rows without one; (m, 0) where none is judged.
        embedded: (m,) whether a row has an embedding.
        groups: (m,) which rows are of one patient: 0, 1, 2, …
    """

    columns: tuple[Column, ...]
    codes: np.ndarray
    features: np.ndarray
    embedded: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Statistic:
    """One effect size of one column, and its distribution without drift on the scale where it is nearly normal."""

    column: str
    measure: str
    centre: float
    spread: float

    def score(self, value: float) -> float:
        """Return how many spreads a value lies above the centre."""
        return (max(value, 0.0) ** _POWER[self.measure] - self.centre) / self.spread

    def cutoff(self, limit: float) -> float:
        """Return the value at which the score reaches `limit`."""
        return float(max(self.centre + limit * self.spread, 0.0) ** (1 / _POWER[self.measure]))


@dataclass(frozen=True)
class NoDrift:
    """What no drift looks like: each statistic, and the scores of every draw (B, S)."""

    statistics: tuple[Statistic, ...]
    scores: np.ndarray

    def limit(self, rate: float, columns: set[str]) -> float:
        """Return the limit that the largest score of any of these columns passes in a share `rate` of the draws."""
        chosen = [at for at, item in enumerate(self.statistics) if item.column in columns]
        if not chosen:
            return float("inf")
        largest = self.scores[:, chosen].max(axis=1)
        # The next larger draw, as a new window is one more among them.
        level = min(1.0, (1 - rate) * (1 + 1 / len(largest)))
        return max(float(np.quantile(largest, level, method="higher")), 1e-9)


def measure(
    columns: Sequence[Column],
    current: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    embedding: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Return every effect size (…, S) in the order of `names`.

    Args:
        columns: as the reference was cut.
        current: each column's fine counts (…, k).
        reference: likewise.
        embedding: mean features (…, 2 M) of both; None leaves the embedding out.
    """
    found = []
    for column, ours, theirs in zip(columns, current, reference, strict=True):
        fold = np.zeros((column.size, int(column.coarse.max()) + 1))
        fold[np.arange(column.size), column.coarse] = 1
        coarse = ours @ fold, theirs @ fold
        found += [effects.psi(*coarse), effects.jensen_shannon(*coarse)]
        if column.numeric:
            # Missing values lie nowhere on the axis.
            found.append(effects.wasserstein(ours[..., :-1], theirs[..., :-1], column.widths))
    if embedding is not None:
        found.append(discrepancy(*embedding))
    return np.stack(found, axis=-1)


def names(columns: Sequence[Column], embedding: bool = False) -> list[tuple[str, str]]:
    """Return (column, measure) of every effect size, in the order of `measure`."""
    of_words = ("psi", "jensen_shannon")
    found = [(c.name, kind) for c in columns for kind in ((*of_words, "wasserstein") if c.numeric else of_words)]
    return [*found, (EMBEDDED, "discrepancy")] if embedding else found


def calibrate(reference: Reference, window: Summary, at: Sequence[int], *, resamples: int, seed: int = 0) -> NoDrift:
    """Learn what the effect sizes come to without drift.

    Args:
        reference: as resampling needs it.
        window: how many values of each column it holds.
        at: the columns to judge, as places among the reference's.
        resamples: draws.
        seed: of the draws.
    """
    columns = [reference.columns[place] for place in at]
    embedding = reference.features.shape[1] > 0
    drawn = _Draws(reference, window, at, np.random.default_rng(seed)).all(resamples)
    named = names(columns, embedding)
    roots = np.maximum(drawn, 0.0) ** np.array([_POWER[kind] for _, kind in named])
    centre, spread = roots.mean(axis=0), np.maximum(roots.std(axis=0, ddof=1), 1e-9)
    found = (
        Statistic(column, kind, float(c), float(s)) for (column, kind), c, s in zip(named, centre, spread, strict=True)
    )
    return NoDrift(tuple(found), _left_out(roots))


def _left_out(roots: np.ndarray) -> np.ndarray:
    """Score each draw (B, S) by the centre and spread of the others.

    A draw scored by a yardstick that it helped to make looks smaller than a new window will.
    """
    n = len(roots)
    away = roots - roots.mean(axis=0)
    squares = np.sum(away**2, axis=0)
    rest = np.maximum(squares - away**2 * n / (n - 1), 0.0) / (n - 2)
    return away * n / (n - 1) / np.maximum(np.sqrt(rest), 1e-9)


class _Draws:
    """Pairs of samples from the reference, by patient: one of the reference's size, one of the window's."""

    def __init__(
        self, reference: Reference, window: Summary, at: Sequence[int], generator: np.random.Generator
    ) -> None:
        self._reference, self._generator = reference, generator
        self._columns = [reference.columns[place] for place in at]
        codes = reference.codes[:, list(at)]
        self._rows, self._patients = len(codes), int(reference.groups.max()) + 1
        self._offsets = np.concatenate([[0], np.cumsum([column.size for column in self._columns])])
        held = codes >= 0
        places = (codes + self._offsets[:-1])[held]
        ones = np.ones(int(held.sum()), dtype=np.float32)
        self._one_hot = sparse.csr_matrix(
            (ones, (np.nonzero(held)[0], places)), shape=(self._rows, int(self._offsets[-1]))
        )
        self._window = window
        self._sizes = window.held[list(at)]
        # Columns of which the window holds other numbers of values are drawn at their own size.
        self._groups = {int(size): np.flatnonzero(self._sizes == size) for size in np.unique(self._sizes)}
        self._share = held.mean(axis=0)
        owner = np.repeat(np.arange(len(self._columns)), [column.size for column in self._columns])
        empty = np.asarray(self._one_hot.sum(axis=0)).ravel() == 0
        ends = np.cumsum([column.size for column in self._columns]) - 1
        empty[ends[[column.skips_missing for column in self._columns]]] = False
        self._unseen = np.flatnonzero(empty)
        self._unseen_sizes = self._sizes[owner[self._unseen]]

    def all(self, resamples: int) -> np.ndarray:
        """Return effect sizes (resamples, S)."""
        parts = [self._batch(min(_BATCH, resamples - start)) for start in range(0, resamples, _BATCH)]
        return np.concatenate(parts)

    def _batch(self, batch: int) -> np.ndarray:
        weights = self._weights(batch, self._patients)
        theirs = self._counts(weights)
        ours = np.zeros_like(theirs)
        windows: dict[int, np.ndarray] = {}
        for size, members in self._groups.items():
            # As many patients as bring, on average, that many values.
            share = float(self._share[members].mean()) or 1.0
            rows = round(size / share)
            windows[rows] = windows.get(rows, self._weights(batch, self._patients_for(rows)))
            sample = self._counts(windows[rows])
            for at in members:
                ours[:, self._offsets[at] : self._offsets[at + 1]] = sample[
                    :, self._offsets[at] : self._offsets[at + 1]
                ]
        # What the reference never showed is not impossible: its rate is drawn from Jeffreys' posterior.
        rate = self._generator.gamma(0.5, 1 / self._rows, size=(batch, len(self._unseen)))
        theirs[:, self._unseen] += self._generator.poisson(rate * self._rows)
        ours[:, self._unseen] += self._generator.poisson(rate * self._unseen_sizes)
        split = [[m[:, a:b] for a, b in pairwise(self._offsets)] for m in (ours, theirs)]
        return measure(self._columns, split[0], split[1], self._embedding(weights, windows, batch))

    def _embedding(
        self, weights: np.ndarray, windows: dict[int, np.ndarray], batch: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        features = self._reference.features
        if not features.shape[1]:
            return None
        rows = round(self._window.kernel_rows / max(float(self._reference.embedded.mean()), 1e-9))
        other = windows[rows] if rows in windows else self._weights(batch, self._patients_for(rows))
        ours, theirs = (self._mean(drawn, features) for drawn in (other, weights))
        return ours, theirs

    def _mean(self, weights: np.ndarray, features: np.ndarray) -> np.ndarray:
        drawn = weights.astype(np.float32)
        return (drawn @ features) / np.maximum(drawn @ self._reference.embedded, 1)[:, None]

    def _patients_for(self, rows: int) -> int:
        return max(1, round(rows * self._patients / self._rows))

    def _weights(self, batch: int, patients: int) -> np.ndarray:
        """Return how often each row is drawn (batch, m): patients bring all their rows."""
        even = np.full(self._patients, 1 / self._patients)
        drawn = self._generator.multinomial(patients, even, size=batch)
        return drawn[:, self._reference.groups].astype(np.float32)

    def _counts(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(weights @ self._one_hot, dtype=np.float64)
