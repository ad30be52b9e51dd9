"""Whether a window of predictions has drifted from the bundle's reference: figures a column, and one verdict."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from thorax.monitoring import effects
from thorax.monitoring.bins import GIVEN, Column, require, watch
from thorax.monitoring.cutoffs import Cutoffs, calibrate, counts, measure, names
from thorax.settings import Monitor

Verdict = Literal["quiet", "drift", "too few"]


@dataclass(frozen=True)
class ColumnDrift:
    """One column of the window against the reference.

    Attributes:
        column: its name.
        values: how many the window holds.
        missing: share of the window's rows without one.
        psi: population stability index, in nats, on ten bins of equal mass; None for too few values.
        jensen_shannon: distance, 0 to 1.
        wasserstein: distance in standard deviations of the reference; None for words.
        psi_cutoff: above which it would alarm; None where no verdict is given.
        wasserstein_cutoff: likewise.
        score: the larger of the two on the report's common scale, 1 at the cut-off.
        alarm: whether it is beyond its cut-off.
        reference: the reference's mean, or its commonest word.
        window: the window's.
        note: why there is no verdict, or "".
    """

    column: str
    values: int
    missing: float
    psi: float | None
    jensen_shannon: float | None
    wasserstein: float | None
    psi_cutoff: float | None
    wasserstein_cutoff: float | None
    score: float | None
    alarm: bool
    reference: str
    window: str
    note: str = ""


@dataclass(frozen=True)
class Drift:
    """The verdict over all columns, at a stated rate of false alarms for the whole report."""

    verdict: Verdict
    rows: int
    reference_rows: int
    min_rows: int
    false_alarm_rate: float
    columns: tuple[ColumnDrift, ...]

    @property
    def alarms(self) -> tuple[str, ...]:
        """Columns beyond their cut-off, the furthest first."""
        found = sorted((c for c in self.columns if c.alarm), key=lambda c: -(c.score or 0))
        return tuple(column.column for column in found)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for a machine."""
        return asdict(self) | {"alarms": list(self.alarms)}


def detect(log: pd.DataFrame, reference: pd.DataFrame, settings: Monitor, seed: int = 0) -> Drift:
    """Compare a window of the prediction log with a bundle's reference.

    Args:
        log: rows of the prediction log, all of one model.
        reference: the bundle's `reference.parquet`.
        settings: minimum rows, rate of false alarms, resamples.
        seed: of the resampling.

    Returns:
        Figures for every column that both have. Below the minimum there are figures and no verdict.

    Raises:
        InputError: the log is of another model, or the reference is empty.
    """
    columns = watch(reference)
    require(log, columns)
    codes = _codes(columns, reference)
    current = _codes(columns, log)
    held = (current >= 0).sum(axis=0)
    judged = [at for at in range(len(columns)) if held[at] >= settings.min_rows]
    cutoffs = None
    if judged and len(log) >= settings.min_rows:
        cutoffs = calibrate(
            [columns[at] for at in judged],
            codes[:, judged],
            held[judged].tolist(),
            rate=settings.false_alarm_rate,
            resamples=settings.resamples,
            seed=seed,
        )
    known = {columns[at].name for at in judged} if cutoffs is not None else set()
    found = _figures(columns, current, codes, log, reference, cutoffs, known)
    verdict: Verdict = "too few" if cutoffs is None else "drift" if any(item.alarm for item in found) else "quiet"
    return Drift(verdict, len(log), len(reference), settings.min_rows, settings.false_alarm_rate, tuple(found))


def _codes(columns: Sequence[Column], frame: pd.DataFrame) -> np.ndarray:
    if frame.empty:
        return np.empty((0, len(columns)), dtype=np.int16)
    return np.column_stack([column.codes(frame[column.name]) for column in columns])


def _figures(
    columns: Sequence[Column],
    current: np.ndarray,
    codes: np.ndarray,
    log: pd.DataFrame,
    reference: pd.DataFrame,
    cutoffs: Cutoffs | None,
    judged: set[str],
) -> list[ColumnDrift]:
    ours, theirs = counts(columns, current), counts(columns, codes)
    values = dict(zip(names(columns), measure(columns, ours, theirs).tolist(), strict=True))
    known = {(s.column, s.measure): s for s in cutoffs.statistics} if cutoffs is not None else {}
    found = []
    for at, column in enumerate(columns):
        total = int((current[:, at] >= 0).sum())
        absent = current[:, at] == (-1 if column.skips_missing else column.size - 1)
        limits: dict[str, float] = {}
        scores = []
        for kind in ("psi", "wasserstein"):
            statistic = known.get((column.name, kind))
            if statistic is not None and cutoffs is not None and column.name in judged:
                limits[kind] = statistic.cutoff(cutoffs.limit)
                scores.append(statistic.score(values[column.name, kind]) / cutoffs.limit)
        score = max(scores) if scores else None
        found.append(
            ColumnDrift(
                column=column.name,
                values=total,
                missing=float(absent.mean()) if len(absent) else 0.0,
                psi=values[column.name, "psi"] if total else None,
                jensen_shannon=float(effects.jensen_shannon(ours[at], theirs[at])) if total else None,
                wasserstein=values.get((column.name, "wasserstein")) if total else None,
                psi_cutoff=limits.get("psi"),
                wasserstein_cutoff=limits.get("wasserstein"),
                score=score,
                alarm=score is not None and score > 1,
                reference=_typical(column, reference[column.name]),
                window=_typical(column, log[column.name]),
                note="" if score is not None else _why(column, total, len(log)),
            )
        )
    return found


def _why(column: Column, values: int, rows: int) -> str:
    if column.name in GIVEN and values == 0 and rows:
        return "not sent along with any image"
    return f"too few values for a verdict: {values:,}"


def _typical(column: Column, values: pd.Series) -> str:
    if column.numeric:
        mean = pd.to_numeric(values, errors="coerce").mean()
        return "—" if pd.isna(mean) else f"{mean:.4g}"
    common = values.dropna().astype(str).mode()
    return str(common.iloc[0]) if len(common) else "—"
