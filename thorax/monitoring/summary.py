"""A window as counts: what every effect size is made of, gathered batch by batch, in the same room however long."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from thorax.monitoring.bins import Column, require, watch
from thorax.monitoring.kernel import Kernel, fit_kernel


@dataclass(frozen=True)
class Ruler:
    """How a reference is measured: its columns cut into bins, and the kernel for its embeddings (None without them)."""

    columns: tuple[Column, ...]
    kernel: Kernel | None

    @classmethod
    def of(cls, reference: pd.DataFrame) -> "Ruler":
        """Cut a bundle's `reference.parquet`.

        Raises:
            InputError: it has no findings or no rows.
        """
        return cls(tuple(watch(reference)), fit_kernel(reference))

    def codes(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the fine bin of each value, int16 (n, C); −1 for what is left out or not there."""
        nothing = np.full(len(frame), -1, dtype=np.int16)
        found = [column.codes(frame[column.name]) if column.name in frame else nothing for column in self.columns]
        return np.column_stack(found) if found else np.empty((len(frame), 0), dtype=np.int16)


@dataclass
class Summary:
    """A sample as counts.

    Attributes:
        rows: in all.
        counts: each column's fine counts (k,).
        absent: (C,) rows without a value.
        known: (C,) whether the column is there at all.
        sums: (C,) of the numeric values.
        kernel_sum: (2 M,) of the embeddings' features.
        kernel_rows: how many rows have an embedding.
    """

    rows: int
    counts: list[np.ndarray]
    absent: np.ndarray
    known: np.ndarray
    sums: np.ndarray
    kernel_sum: np.ndarray = field(default_factory=lambda: np.zeros(0))
    kernel_rows: int = 0

    @property
    def held(self) -> np.ndarray:
        """How many values of each column count (C,)."""
        return np.array([int(count.sum()) for count in self.counts], dtype=np.int64)

    @property
    def kernel_mean(self) -> np.ndarray:
        """The mean of the embeddings' features (2 M,)."""
        return self.kernel_sum / max(self.kernel_rows, 1)


def counts(columns: Sequence[Column], codes: np.ndarray) -> list[np.ndarray]:
    """Return each column's fine counts (k,) from codes (n, C)."""
    return [
        np.bincount(codes[codes[:, at] >= 0, at], minlength=column.size).astype(np.float64)
        for at, column in enumerate(columns)
    ]


def summarise(ruler: Ruler, frames: Iterable[pd.DataFrame]) -> Summary:
    """Count a window that comes in batches.

    Raises:
        InputError: a batch lacks the reference's findings.
    """
    columns = ruler.columns
    width = len(columns)
    found = Summary(
        rows=0,
        counts=[np.zeros(column.size) for column in columns],
        absent=np.zeros(width, dtype=np.int64),
        known=np.zeros(width, dtype=bool),
        sums=np.zeros(width),
        kernel_sum=np.zeros(ruler.kernel.size if ruler.kernel else 0),
    )
    for frame in frames:
        require(frame.columns, columns)
        if frame.empty:
            continue
        codes = ruler.codes(frame)
        found.rows += len(frame)
        for at, (column, more) in enumerate(zip(columns, counts(columns, codes), strict=True)):
            found.counts[at] += more
            if column.name not in frame:
                continue
            found.known[at] = True
            found.absent[at] += int((codes[:, at] == (-1 if column.skips_missing else column.size - 1)).sum())
            if column.numeric:
                numbers = pd.to_numeric(frame[column.name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
                found.sums[at] += float(numbers[np.isfinite(numbers)].sum())
        if ruler.kernel is not None and set(ruler.kernel.columns) <= set(frame.columns):
            features = ruler.kernel.features(frame)
            found.kernel_sum += features.sum(axis=0, dtype=np.float64)
            found.kernel_rows += len(features)
    return found
