"""How far a window of predictions lies from the bundle's reference: figures a column, and which are too far."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from thorax.monitoring.bins import GIVEN, Column, group_of
from thorax.monitoring.cutoffs import EMBEDDED, NoDrift, Reference, calibrate, measure, names
from thorax.monitoring.summary import Ruler, Summary, summarise
from thorax.monitoring.verdict import Figure, Level
from thorax.settings import Monitor

#: The reference's column that tells which rows are of one patient; without it every row is a patient.
GROUP = "group"
_MEASURES = ("psi", "jensen_shannon", "wasserstein", "discrepancy")


@dataclass(frozen=True)
class ColumnDrift:
    """One column of the window against the reference; the embedding is one of its own.

    Attributes:
        column: its name.
        group: what it belongs to, as `params.yaml` lists it.
        level: whether it may alarm, may warn, or is only shown.
        values: how many the window holds.
        missing: share of the window's rows without one.
        psi: population stability index, in nats, on ten bins of equal mass; None for too few values.
        jensen_shannon: distance, 0 to 1.
        wasserstein: distance in standard deviations of the reference; None for words.
        discrepancy: squared maximum mean discrepancy, of embeddings alone.
        cutoffs: of each measure, at this column's level; empty where no verdict is given.
        score: the largest of the measures on the report's common scale, 1 at the cut-off of its level.
        warned: whether it is beyond the cut-off of warnings.
        crossed: whether it is beyond the cut-off of its level.
        reference: the reference's mean, or its commonest word and how common it is.
        window: the window's.
        note: why there is no verdict, or "".
    """

    column: str
    group: str
    level: Level
    values: int
    missing: float
    psi: float | None
    jensen_shannon: float | None
    wasserstein: float | None
    discrepancy: float | None
    cutoffs: dict[str, float]
    score: float | None
    warned: bool
    crossed: bool
    reference: str
    window: str
    note: str = ""

    def figure(self) -> Figure:
        """Return what the verdict needs: the measure that is furthest out, its cut-off and its score."""
        kinds = [kind for kind in _MEASURES if kind in self.cutoffs and getattr(self, kind) is not None]
        kind = max(kinds, key=lambda k: getattr(self, k) / max(self.cutoffs[k], 1e-12)) if kinds else "psi"
        return Figure(
            name=self.column,
            group=self.group,
            level=self.level,
            value=getattr(self, kind),
            cutoff=self.cutoffs.get(kind),
            score=self.score,
            warned=self.warned and self.level != "silent",
            crossed=self.crossed and self.level != "silent",
        )


@dataclass(frozen=True)
class Drift:
    """All columns, at a stated rate of false alarms for the whole report.

    `judged` says whether there were enough predictions to hold them against cut-offs.
    """

    judged: bool
    rows: int
    reference_rows: int
    reference_patients: int
    min_rows: int
    false_alarm_rate: float
    warning_rate: float
    columns: tuple[ColumnDrift, ...]

    @property
    def crossed(self) -> tuple[str, ...]:
        """Columns on the list of alarms beyond their cut-off, the furthest first."""
        return tuple(c.column for c in self._furthest() if c.crossed and c.level == "alarm")

    @property
    def warned(self) -> tuple[str, ...]:
        """Columns on either list beyond the cut-off of warnings, the furthest first."""
        return tuple(c.column for c in self._furthest() if c.warned and c.level != "silent")

    def figures(self) -> tuple[Figure, ...]:
        """Return what the verdict needs of each column."""
        return tuple(column.figure() for column in self.columns)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for a machine."""
        return asdict(self) | {"crossed": list(self.crossed), "warned": list(self.warned)}

    def _furthest(self) -> list[ColumnDrift]:
        return sorted(self.columns, key=lambda c: -(c.score or 0))


def prepare(reference: pd.DataFrame) -> tuple[Ruler, Reference]:
    """Cut a bundle's `reference.parquet`, and lay it out for resampling.

    Raises:
        InputError: it has no findings or no rows.
    """
    ruler = Ruler.of(reference)
    if GROUP in reference:
        _, groups = np.unique(reference[GROUP].to_numpy(), return_inverse=True)
    else:
        groups = np.arange(len(reference))
    features, embedded = np.zeros((len(reference), 0), dtype=np.float32), np.zeros(len(reference), dtype=np.float32)
    if ruler.kernel is not None:
        has = reference[list(ruler.kernel.columns)].notna().all(axis=1).to_numpy()
        features = np.zeros((len(reference), ruler.kernel.size), dtype=np.float32)
        features[has], embedded[has] = ruler.kernel.features(reference), 1
    return ruler, Reference(ruler.columns, ruler.codes(reference), features, embedded, groups)


def detect(log: pd.DataFrame, reference: pd.DataFrame, settings: Monitor, seed: int = 0) -> Drift:
    """Compare a window of the prediction log, as one table, with a bundle's reference.

    Raises:
        InputError: the log is of another model, or the reference is empty.
    """
    ruler, known = prepare(reference)
    return compare(ruler, known, summarise(ruler, [log]), summarise(ruler, [reference]), settings, seed=seed)


def compare(
    ruler: Ruler,
    known: Reference,
    window: Summary,
    reference: Summary,
    settings: Monitor,
    *,
    no_drift: NoDrift | None = None,
    seed: int = 0,
) -> Drift:
    """Compare a window that was counted with the reference.

    Args:
        ruler: how both were measured.
        known: the reference, laid out for resampling.
        window: its counts.
        reference: likewise.
        settings: minimum rows, rates of false alarms, what alarms and what warns, resamples.
        no_drift: what no drift looks like at this size, where it has been learnt already.
        seed: of the resampling.

    Returns:
        Figures for every column. Below the minimum they have no cut-offs.
    """
    enough = [at for at, held in enumerate(window.held) if held >= settings.min_rows]
    embedded = ruler.kernel is not None and window.kernel_rows >= settings.min_rows
    judged = window.rows >= settings.min_rows and bool(enough)
    if judged and no_drift is None:
        part = known if embedded else Reference(**vars(known) | {"features": known.features[:, :0]})
        no_drift = calibrate(part, window, enough, resamples=settings.resamples, seed=seed)
    found = _Judge(ruler, window, reference, settings, no_drift if judged else None).columns()
    return Drift(
        judged=judged,
        rows=window.rows,
        reference_rows=reference.rows,
        reference_patients=int(known.groups.max()) + 1,
        min_rows=settings.min_rows,
        false_alarm_rate=settings.false_alarm_rate,
        warning_rate=settings.warning_rate,
        columns=tuple(found),
    )


class _Judge:
    """Holds each column's effect sizes against the limits of its level."""

    def __init__(
        self, ruler: Ruler, window: Summary, reference: Summary, settings: Monitor, no_drift: NoDrift | None
    ) -> None:
        self._ruler, self._window, self._reference, self._settings = ruler, window, reference, settings
        self._known = {(s.column, s.measure): s for s in no_drift.statistics} if no_drift is not None else {}
        self._has = window.kernel_rows > 0 and ruler.kernel is not None
        means = (window.kernel_mean, reference.kernel_mean) if self._has else None
        values = measure(ruler.columns, window.counts, reference.counts, means).tolist()
        self._values = dict(zip(names(ruler.columns, self._has), values, strict=True))
        judged = {column for column, _ in self._known}
        alarms = {name for name in judged if self._level(name) == "alarm"}
        either = {name for name in judged if self._level(name) != "silent"}
        self._limits: dict[str, float] = {}
        if no_drift is not None:
            warning = no_drift.limit(settings.warning_rate, either or judged)
            alarm = no_drift.limit(settings.false_alarm_rate, alarms)
            self._limits = {"alarm": alarm, "warn": warning, "silent": warning}

    def columns(self) -> list[ColumnDrift]:
        found = [self._column(at, column) for at, column in enumerate(self._ruler.columns)]
        if self._ruler.kernel is not None:
            found.append(self._embedding())
        return found

    def _level(self, name: str) -> Level:
        group = group_of(name)
        return "alarm" if group in self._settings.alarm else "warn" if group in self._settings.warn else "silent"

    def _judged(self, name: str) -> dict[str, Any]:
        """Return a column's level, group, cut-offs, score and crossings."""
        level = self._level(name)
        known = {kind: item for (column, kind), item in self._known.items() if column == name}
        scores = [item.score(self._values[name, kind]) for kind, item in known.items()]
        limit = self._limits.get(level, float("inf"))
        score = max(scores) / limit if scores else None
        warned = bool(scores) and max(scores) > self._limits["warn"]
        crossed = score is not None and score > 1
        cutoffs = {kind: item.cutoff(limit) for kind, item in known.items()}
        kept = {"column": name, "group": group_of(name), "level": level, "cutoffs": cutoffs}
        return kept | {"score": score, "crossed": crossed, "warned": warned or crossed}

    def _column(self, at: int, column: Column) -> ColumnDrift:
        window, reference = self._window, self._reference
        total = int(window.counts[at].sum())
        judged = self._judged(column.name)
        measures: dict[str, Any] = {k: self._values.get((column.name, k)) if total else None for k in _MEASURES}
        return ColumnDrift(
            **judged,
            **measures,
            values=total,
            missing=float(window.absent[at] / window.rows) if window.rows and window.known[at] else 0.0,
            reference=_typical(column, reference, at),
            window=_typical(column, window, at),
            note="" if judged["score"] is not None else self._why(column, total, bool(window.known[at])),
        )

    def _embedding(self) -> ColumnDrift:
        judged = self._judged(EMBEDDED)
        rows = self._window.kernel_rows
        value = self._values.get((EMBEDDED, "discrepancy"))
        return ColumnDrift(
            **judged,
            psi=None,
            jensen_shannon=None,
            wasserstein=None,
            discrepancy=value,
            values=rows,
            missing=1 - rows / self._window.rows if self._window.rows else 0.0,
            reference="—",
            window="—",
            note="" if judged["score"] is not None else f"too few values for a verdict: {rows:,}",
        )

    def _why(self, column: Column, values: int, known: bool) -> str:
        if not known:
            return "not in the log"
        if column.name in GIVEN and values == 0 and self._window.rows:
            return "not sent along with any image"
        return f"too few values for a verdict: {values:,}"


def _typical(column: Column, sample: Summary, at: int) -> str:
    """Return a sample's mean, or its commonest word."""
    held = sample.counts[at]
    if column.numeric:
        values = held[:-1].sum()
        return f"{sample.sums[at] / values:.3g}" if values else "—"
    if not held[:-1].sum():
        return "—"
    if set(column.words) <= {"0", "1"}:
        share = share_of(column, sample, at, "1") or 0.0
        return f"yes {share:.1%}"
    words: Sequence[str] = (*column.words, "other")
    most = int(held[:-1].argmax())
    return f"{words[most]} {held[most] / held.sum():.0%}"


def share_of(column: Column, sample: Summary, at: int, word: str) -> float | None:
    """Return the share of a word among a sample's values; None where there are none, or the word is unknown."""
    total = float(sample.counts[at].sum())
    return float(sample.counts[at][column.words.index(word)] / total) if total and word in column.words else None
