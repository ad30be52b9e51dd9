"""The drift report: our verdict, a page that says it in words, Evidently's distributions, and JSON for machines."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from thorax.errors import InputError
from thorax.files import atomic_folder, atomic_path, write_json
from thorax.monitoring.drift import Drift, detect
from thorax.monitoring.page import render
from thorax.settings import Settings

PAGE, DISTRIBUTIONS, FIGURES = "index.html", "distributions.html", "drift.json"


@dataclass(frozen=True)
class DriftReport:
    """A report and where it lies.

    Attributes:
        drift: the verdict and every figure.
        folder: holds `index.html`, `distributions.html` (Evidently's) and `drift.json`.
        model_version: of the predictions in the window.
        since: the first prediction, ISO 8601 in UTC; "" where there is none.
        until: the last.
        others: predictions of other versions in the same span, which are left out.
        made: when the report was made.
    """

    drift: Drift
    folder: Path
    model_version: str
    since: str
    until: str
    others: int
    made: str

    @property
    def page(self) -> Path:
        """The page to open first."""
        return self.folder / PAGE

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for a machine."""
        head: dict[str, Any] = {"model_version": self.model_version, "since": self.since, "until": self.until}
        head |= {"left_out_of_other_versions": self.others, "made": self.made, "page": str(self.page)}
        return head | self.drift.as_dict()

    def figures(self) -> dict[str, float]:
        """Return the figures by name, for a time series."""
        found = {"rows": float(self.drift.rows), "alarms": float(len(self.drift.alarms))}
        for column in self.drift.columns:
            measures = {
                "psi": column.psi,
                "jensen_shannon": column.jensen_shannon,
                "wasserstein": column.wasserstein,
                "score": column.score,
            }
            found |= {f"{column.column}/{kind}": value for kind, value in measures.items() if value is not None}
        return found


def report(
    settings: Settings,
    log: pd.DataFrame,
    reference: pd.DataFrame,
    out: Path,
    *,
    model_version: str | None = None,
    distributions: bool = True,
) -> DriftReport:
    """Compare a window of the prediction log with a bundle's reference, and write what was found.

    Args:
        settings: `monitor` says how a verdict comes about.
        log: rows of the prediction log.
        reference: the bundle's `reference.parquet`.
        out: the folder to write; replaced whole.
        model_version: only predictions of this version are compared; None takes all.
        distributions: also let Evidently draw them, which takes some seconds.

    Raises:
        InputError: the window holds no prediction of this model, or the log is of another model.
    """
    window = log if model_version is None else log[log["model_version"].astype(str) == model_version]
    if window.empty:
        if log.empty:
            raise InputError("The prediction log has no prediction in this window.", "Widen it, or wait for some.")
        known = ", ".join(sorted(map(str, log["model_version"].unique())))
        raise InputError(
            f"The window holds no prediction of version {model_version}; it holds some of {known}.",
            "Choose the version that answered with --version.",
        )
    drift = detect(window, reference, settings.monitor)
    times = pd.to_datetime(window["time"], utc=True) if "time" in window else pd.Series(dtype="datetime64[ns, UTC]")
    found = DriftReport(
        drift=drift,
        folder=out,
        model_version=model_version or "all",
        since=times.min().isoformat() if len(times) else "",
        until=times.max().isoformat() if len(times) else "",
        others=len(log) - len(window),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with atomic_folder(out) as folder:
        write_json(folder / FIGURES, _finite(found.as_dict()))
        if distributions:
            from thorax.monitoring.evidently import write_page

            write_page(window, reference, drift, folder / DISTRIBUTIONS)
        with atomic_path(folder / PAGE) as temporary:
            temporary.write_text(render(found, distributions), encoding="utf-8")
    return found


def _finite(value: Any) -> Any:
    """Replace what JSON has no word for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value != value:
        return None
    return value
