"""Look at a window of the prediction log: count it, judge it, keep the verdict, follow the incident, write the report.

This is what `thorax monitor report` and the loop call. The caller knows the registry: it gives the bundle's folder and
the version; everything else comes from the log and the history.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thorax.errors import InputError
from thorax.files import read_json
from thorax.monitoring import performance, service
from thorax.monitoring.bins import findings_of, require
from thorax.monitoring.drift import Drift, compare, prepare
from thorax.monitoring.history import History, history_path, stamp
from thorax.monitoring.incidents import Followed, Incident, Incidents
from thorax.monitoring.performance import FindingPerformance
from thorax.monitoring.service import Service
from thorax.monitoring.summary import Ruler, Summary, summarise
from thorax.monitoring.truth import Truth, settle
from thorax.monitoring.verdict import Verdict, Window, decide
from thorax.prediction_log import EMBEDDING, columns_of, one_answer, read_failures, read_feedback
from thorax.prediction_log.places import Place
from thorax.prediction_log.streaming import stream, survey
from thorax.settings import Settings

#: Rows that are kept as they are, evenly over the window: for Evidently's drawings, and for what is estimated.
KEPT = 20_000


@dataclass(frozen=True)
class Examination:
    """What was found in a window.

    Attributes:
        verdict: quiet, warning, alarm or too_few, and why.
        drift: every column against the reference.
        service: failures and latency.
        performance: every finding, measured and estimated.
        truth: what is confirmed.
        followed: what became of the incident.
        folder: of the report; None where none was written.
        made: when, ISO 8601 in UTC.
        ruler: how the reference was cut.
        summary: the window as counts.
        reference: the reference as counts.
        sample: rows of the window, at most `KEPT`, evenly over it.
        classifier: AUROC of a classifier that tells the window's embeddings from the reference's; None without one.
        synthetic: whether the model that answered has seen phantoms alone.
    """

    verdict: Verdict
    drift: Drift
    service: Service
    performance: tuple[FindingPerformance, ...]
    truth: Truth
    followed: Followed
    folder: Path | None
    made: str
    ruler: Ruler
    summary: Summary
    reference: Summary
    sample: pd.DataFrame
    classifier: float | None = None
    synthetic: bool = False

    @property
    def page(self) -> Path | None:
        """The page to open first."""
        return None if self.folder is None else self.folder / "index.html"

    @property
    def incident(self) -> Incident | None:
        """The incident that lasts, or that has just ended."""
        return self.followed.incident

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for a machine."""
        return self.verdict.as_dict() | {
            "made": self.made,
            "synthetic": self.synthetic,
            "page": str(self.page) if self.page else "",
            "incident": self.incident.as_dict() if self.incident else None,
            "drift": self.drift.as_dict(),
            "classifier_auroc": self.classifier,
            "service": self.service.as_dict(),
            "performance": [item.as_dict() for item in self.performance],
            "truth": {
                "requests": len(self.truth.table),
                "duplicates": self.truth.duplicates,
                "revised": self.truth.revised,
                "disputed": self.truth.disputed,
            },
        }

    def series(self) -> dict[str, float]:
        """Return the figures by name, for a time series."""
        verdict = self.verdict
        found = {"rows": float(verdict.window.rows), "alarms": float(len(verdict.alarms))}
        found |= {"warnings": float(len(verdict.warnings)), "failures/share": self.service.share}
        for column in self.drift.columns:
            kinds = ("psi", "jensen_shannon", "wasserstein", "discrepancy", "score")
            measures = {kind: getattr(column, kind) for kind in kinds}
            found |= {f"{column.column}/{kind}": value for kind, value in measures.items() if value is not None}
        for item in self.performance:
            for kind, figures in (("measured", item.measured), ("estimated", item.estimated)):
                named = {f"{item.finding}/{kind}_{name}": figure["value"] for name, figure in figures.items()}
                found |= {name: value for name, value in named.items() if value is not None}
        return found


def examine(
    settings: Settings,
    *,
    bundle: Path,
    version: str,
    place: Place,
    since: datetime | None = None,
    until: datetime | None = None,
    out: Path | None = None,
    quick: bool = False,
    remember: bool = True,
    archive: Path | None = None,
    now: datetime | None = None,
) -> Examination:
    """Look at a window and say what is to be said.

    Args:
        settings: `monitor` says how a verdict comes about.
        bundle: the folder of the bundle that answered.
        version: its version; predictions of others are left out, and counted.
        place: the prediction log.
        since: the first moment, included.
        until: the last moment, left out.
        out: the report's folder, replaced whole; None writes none.
        quick: the verdict and our page alone, without Evidently's drawings.
        remember: keep the verdict in the history and follow its incident; the same window again changes nothing.
        archive: the folder of rows that were moved out of the log.
        now: the present; for tests.

    Raises:
        InputError: there is no log, it is of another model's findings, or the bundle has no reference.
        LogError: the log's database does not answer.
    """
    present = now or datetime.now(UTC)
    reference = _reference(bundle)
    ruler, known = prepare(reference)
    findings = findings_of(reference)
    window, every, end = _window(settings, place, version, since, until, present, archive)
    reader = _Reader(place, version, since, end, archive)
    kept: list[pd.DataFrame] = []
    wanted = [*columns_of(findings), "took_ms", "request_id", "time", "image_digest"]
    stride = -(-window.rows // every // KEPT) if window.rows else 1
    frames = reader.rows(wanted, every) if window.rows else iter(())
    summary = summarise(ruler, _keeping(frames, kept, max(stride, 1)))
    require(
        [c.name for c, absent in zip(ruler.columns, summary.absent, strict=True) if absent < max(summary.rows, 1)],
        ruler.columns,
    )
    window = Window(**{**vars(window), "looked_at": summary.rows})
    sample = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=wanted)
    own = summarise(ruler, [reference])
    drift = compare(ruler, known, summary, own, settings.monitor)
    serving = _service(window, sample, place, since, end, archive)
    truth, performed = _performance(settings, bundle, findings, reader, sample, archive)
    figures = (
        *drift.figures(),
        *service.judge(serving, settings.monitor),
        *performance.judge(performed, settings.monitor),
    )
    history = History(history_path(settings.var))
    verdict = decide(window, figures, settings.monitor, history, too_few=not drift.judged)
    followed = Followed(None)
    if remember and window.rows:
        history.keep(verdict, str(out / "index.html") if out else "")
        followed = Incidents(history).follow(verdict, settings.monitor.close_after)
    found = Examination(
        verdict=verdict,
        drift=drift,
        service=serving,
        performance=tuple(performed),
        truth=truth,
        followed=followed,
        folder=out,
        made=stamp(present),
        ruler=ruler,
        summary=summary,
        reference=own,
        sample=sample,
        classifier=None if quick else _classifier(sample, reference),
        synthetic=_told(bundle / "bundle.json").get("synthetic") is True,
    )
    if out is not None:
        from thorax.monitoring.report import write

        write(found, reference, settings, quick=quick)
    return found


class _Reader:
    """The predictions of one version in one span of the log."""

    def __init__(
        self, place: Place, version: str, since: datetime | None, until: datetime, archive: Path | None
    ) -> None:
        self.place, self.version, self._since, self._until, self._archive = place, version, since, until, archive

    def rows(self, columns: list[str], every: int) -> Iterator[pd.DataFrame]:
        """Yield the window."""
        span = {"version": self.version, "archive": self._archive}
        return stream(self.place, columns, self._since, self._until, every=every, **span)  # type: ignore[arg-type]

    def confirmed(self, columns: list[str], requests: pd.Index) -> pd.DataFrame:
        """Return the latest predictions up to the window's end of which something is confirmed."""
        if requests.empty:
            return pd.DataFrame(columns=columns)
        frames = stream(self.place, columns, None, self._until, version=self.version, archive=self._archive)
        found = [part for frame in frames if len(part := frame[frame["request_id"].isin(requests)])]
        if not found:
            return pd.DataFrame(columns=columns)
        joined = pd.concat(found, ignore_index=True)
        joined["time"] = pd.to_datetime(joined["time"], utc=True, format="ISO8601")
        return joined.sort_values("time", kind="stable").tail(performance.LATEST).reset_index(drop=True)


def _window(
    settings: Settings,
    place: Place,
    version: str,
    since: datetime | None,
    until: datetime | None,
    now: datetime,
    archive: Path | None,
) -> tuple[Window, int, datetime]:
    """Return the window, of which so-manieth row is looked at, and its end: nothing from the future is let in."""
    horizon = now + timedelta(minutes=settings.monitor.max_skew_minutes)
    end = min(_aware(until), horizon) if until is not None else horizon
    spans = {span.version: span for span in survey(place, since, end, archive)}
    future = {
        span.version: span.rows for span in survey(place, max(_aware(since), horizon) if since else horizon, until)
    }
    mine = spans.get(version)
    others = sum(span.rows for name, span in spans.items() if name != version)
    window = Window(
        version=version,
        since=mine.first if mine else "",
        until=mine.last if mine else "",
        rows=mine.rows if mine else 0,
        others=others,
        skewed=future.get(version, 0),
    )
    most = settings.monitor.sample_rows
    return window, max(1, -(-window.rows // most)) if most else 1, end


def _keeping(frames: Iterator[pd.DataFrame], kept: list[pd.DataFrame], stride: int) -> Iterator[pd.DataFrame]:
    for frame in frames:
        kept.append(frame.iloc[::stride])
        yield frame


def _reference(bundle: Path) -> pd.DataFrame:
    path = bundle / "reference.parquet"
    try:
        return one_answer(pd.read_parquet(path))
    except (OSError, ValueError) as error:
        raise InputError(
            f"The bundle {bundle.name[:12]} has no reference that can be read: {path.name}.",
            "Register the model anew, or fetch its bundle again.",
        ) from error


def _service(
    window: Window, sample: pd.DataFrame, place: Place, since: datetime | None, end: datetime, archive: Path | None
) -> Service:
    failures = read_failures(place, since, end, archive)
    statuses = {str(status): int(count) for status, count in failures["status"].value_counts().items()}
    took = sample["took_ms"] if "took_ms" in sample else pd.Series(dtype=float)
    times = pd.to_numeric(took, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return service.look(window.rows + window.others, statuses, times)


def _performance(
    settings: Settings,
    bundle: Path,
    findings: tuple[str, ...],
    reader: _Reader,
    sample: pd.DataFrame,
    archive: Path | None,
) -> tuple[Truth, list[FindingPerformance]]:
    truth = settle(read_feedback(reader.place, archive=archive))
    confirmed = reader.confirmed(performance.columns_for(findings), truth.table.index)
    expected = expected_aurocs(bundle)
    return truth, performance.assess(sample, confirmed, truth.table, findings, expected, settings.monitor)


def expected_aurocs(bundle: Path) -> dict[str, float]:
    """Return the AUROC of each finding on the bundle's own test images, where its evaluation says so."""
    metrics = _told(bundle / "evaluation.json").get("metrics", {})
    found = {name: (figures.get("auroc") or {}).get("value") for name, figures in metrics.items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def _told(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}


def _classifier(sample: pd.DataFrame, reference: pd.DataFrame, most: int = 2000) -> float | None:
    """Return how well a classifier tells the window's embeddings from the reference's: 0.5 is not at all.

    Cross-validated; a few dozen trees' worth of freedom, so that it sees more than a shift of the mean (Rabanser et
    al. 2019, NeurIPS).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    names = [name for name in EMBEDDING if name in sample and name in reference and reference[name].notna().any()]
    if not names:
        return None
    parts = [frame[names].astype("float64").dropna() for frame in (reference, sample)]
    parts = [part.sample(min(len(part), most), random_state=0) for part in parts]
    if min(map(len, parts)) < 50:
        return None
    rows = pd.concat(parts).to_numpy()
    label = np.repeat([0, 1], [len(part) for part in parts])
    model = HistGradientBoostingClassifier(max_iter=40, max_depth=3, class_weight="balanced", random_state=0)
    scores = cross_val_predict(model, rows, label, cv=3, method="predict_proba")[:, 1]
    return float(roc_auc_score(label, scores))


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
