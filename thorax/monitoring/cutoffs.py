"""Cut-offs that do not cry wolf: what the effect sizes come to without any drift, at this window's size.

Both samples are drawn anew from the reference, row by row and all columns together: one of the reference's size and
one of the window's. (Drawing the window alone would leave out that the reference is itself a sample, and give alarms
far more often than stated where the two are of like size.) The statistics of all columns are brought to one scale,
and the cut-off is set on their maximum, which bounds the rate of a false alarm anywhere in the report
(Westfall & Young 1993).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from thorax.monitoring import effects
from thorax.monitoring.bins import Column

_BATCH = 32


@dataclass(frozen=True)
class Statistic:
    """One effect size of one column, and its distribution without drift, on the scale of its cube root.

    The cube root of a sum of squares is nearly normal (Wilson & Hilferty 1931), so that columns with two bins and
    with ten share one yardstick.
    """

    column: str
    measure: str
    centre: float
    spread: float

    def score(self, value: float) -> float:
        """Return how many spreads a value lies above the centre."""
        return (float(np.cbrt(value)) - self.centre) / self.spread

    def cutoff(self, limit: float) -> float:
        """Return the value at which the score reaches `limit`."""
        return max(self.centre + limit * self.spread, 0.0) ** 3


@dataclass(frozen=True)
class Cutoffs:
    """What no drift looks like: each statistic, and the limit on the largest score."""

    statistics: tuple[Statistic, ...]
    limit: float


def measure(columns: Sequence[Column], current: list[np.ndarray], reference: list[np.ndarray]) -> np.ndarray:
    """Return every effect size (…, S) from each column's fine counts (…, k), in the order of `names`."""
    found = []
    for column, ours, theirs in zip(columns, current, reference, strict=True):
        fold = np.zeros((column.size, int(column.coarse.max()) + 1))
        fold[np.arange(column.size), column.coarse] = 1
        found.append(effects.psi(ours @ fold, theirs @ fold))
        if column.numeric:
            # Missing values lie nowhere on the axis.
            found.append(effects.wasserstein(ours[..., :-1], theirs[..., :-1], column.widths))
    return np.stack(found, axis=-1)


def names(columns: Sequence[Column]) -> list[tuple[str, str]]:
    """Return (column, measure) of every effect size, in the order of `measure`."""
    return [(c.name, kind) for c in columns for kind in (("psi", "wasserstein") if c.numeric else ("psi",))]


def counts(columns: Sequence[Column], codes: np.ndarray) -> list[np.ndarray]:
    """Return each column's fine counts (k,) from codes (n, C)."""
    return [
        np.bincount(codes[codes[:, at] >= 0, at], minlength=column.size).astype(np.float64)
        for at, column in enumerate(columns)
    ]


def calibrate(
    columns: Sequence[Column],
    codes: np.ndarray,
    sizes: Sequence[int],
    *,
    rate: float,
    resamples: int,
    seed: int = 0,
) -> Cutoffs:
    """Learn what the effect sizes come to without drift.

    Args:
        columns: as the reference was cut.
        codes: (m, C) fine bins of the reference's rows.
        sizes: (C,) how many values of each column the window holds.
        rate: of false alarms, over the whole report.
        resamples: draws; the limit is their quantile at 1 − rate.
        seed: of the draws.
    """
    drawn = _resample(columns, codes, sizes, resamples, seed)
    roots = np.cbrt(np.maximum(drawn, 0.0))
    centre, spread = roots.mean(axis=0), np.maximum(roots.std(axis=0, ddof=1), 1e-9)
    largest = _left_out(roots).max(axis=1)
    # The next larger draw, as a new window is one more among them.
    limit = float(np.quantile(largest, min(1.0, (1 - rate) * (1 + 1 / resamples)), method="higher"))
    found = (
        Statistic(column, kind, float(c), float(s))
        for (column, kind), c, s in zip(names(columns), centre, spread, strict=True)
    )
    return Cutoffs(tuple(found), limit)


def _left_out(roots: np.ndarray) -> np.ndarray:
    """Score each draw (B, S) by the centre and spread of the others.

    A draw scored by a yardstick that it helped to make looks smaller than a new window will.
    """
    n = len(roots)
    away = roots - roots.mean(axis=0)
    squares = np.sum(away**2, axis=0)
    rest = np.maximum(squares - away**2 * n / (n - 1), 0.0) / (n - 2)
    return away * n / (n - 1) / np.maximum(np.sqrt(rest), 1e-9)


def _resample(
    columns: Sequence[Column], codes: np.ndarray, sizes: Sequence[int], resamples: int, seed: int
) -> np.ndarray:
    """Return effect sizes (resamples, S) of pairs of samples drawn from the reference."""
    generator = np.random.default_rng(seed)
    rows, even = len(codes), np.full(len(codes), 1 / len(codes))
    offsets = np.concatenate([[0], np.cumsum([column.size for column in columns])])
    places = codes + offsets[:-1]
    held = codes >= 0
    one_hot = sparse.csr_matrix(
        (np.ones(int(held.sum())), (np.nonzero(held)[0], places[held])), shape=(rows, int(offsets[-1]))
    )
    # Columns of which the window holds other numbers of values are drawn at their own size.
    wanted = np.asarray(sizes)
    groups = {int(size): np.flatnonzero(wanted == size) for size in np.unique(wanted)}
    shares_held = held.mean(axis=0)
    unseen, window = _unseen(columns, one_hot, wanted)
    found = []
    for start in range(0, resamples, _BATCH):
        batch = min(_BATCH, resamples - start)
        theirs = generator.multinomial(rows, even, size=batch).astype(np.float64) @ one_hot
        ours = np.zeros_like(theirs)
        for size, members in groups.items():
            # As many rows as hold, on average, that many values.
            share = float(shares_held[members].mean()) or 1.0
            sample = generator.multinomial(max(1, round(size / share)), even, size=batch).astype(np.float64) @ one_hot
            for at in members:
                ours[:, offsets[at] : offsets[at + 1]] = sample[:, offsets[at] : offsets[at + 1]]
        # What the reference never showed is not impossible: its rate is drawn from Jeffreys' posterior.
        rate = generator.gamma(0.5, 1 / rows, size=(batch, len(unseen)))
        theirs[:, unseen] += generator.poisson(rate * rows)
        ours[:, unseen] += generator.poisson(rate * window)
        split = [[m[:, a:b] for a, b in pairwise(offsets)] for m in (ours, theirs)]
        found.append(measure(columns, *split))
    return np.concatenate(found)


def _unseen(columns: Sequence[Column], one_hot: sparse.csr_matrix, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bins that the reference left empty, and how many values the window holds of each one's column."""
    owner = np.repeat(np.arange(len(columns)), [column.size for column in columns])
    empty = np.asarray(one_hot.sum(axis=0)).ravel() == 0
    ends = np.cumsum([column.size for column in columns]) - 1
    empty[ends[[column.skips_missing for column in columns]]] = False
    places = np.flatnonzero(empty)
    return places, sizes[owner[places]]
