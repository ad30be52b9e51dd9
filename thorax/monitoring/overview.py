"""The page of all windows: every figure over time, measured and estimated performance, promotions and incidents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from thorax.monitoring.bins import group_of
from thorax.monitoring.chart import Point, Scale, series
from thorax.monitoring.incidents import Incident
from thorax.monitoring.page import GROUPS, environment, moment

#: Groups of figures that have no column of their own in the log.
_OTHERS = {"The service": ("failures", "latency")}
#: Scores are drawn up to this; further out is as far out.
_FURTHEST = 4.0


@dataclass(frozen=True)
class Promotion:
    """A version became champion: when (ISO 8601), which, and by whom."""

    time: str
    version: str
    who: str = ""


def render_history(
    windows: Sequence[Mapping[str, Any]],
    performance: Sequence[Mapping[str, Any]],
    promotions: Sequence[Promotion],
    incidents: Sequence[Incident],
) -> str:
    """Return the page as HTML that needs no network.

    Args:
        windows: as `History.windows` gives them, the earliest first.
        performance: of each window, a finding: `measured` and `estimated` figures (may be empty).
        promotions: to mark.
        incidents: to list.
    """
    from thorax.monitoring.history import stamp

    shown = [window for window in windows if window["window"]["until"]]
    axis = _Axis.of(shown, promotions)
    context = {
        "windows": list(reversed(shown)),
        "incidents": list(reversed(incidents)),
        "promotions": promotions,
        "groups": _figures(shown, axis),
        "performance": _performance(shown, performance, axis),
        "made": stamp(),
    }
    return str(environment().get_template("history.html").render(context))


@dataclass(frozen=True)
class _Axis:
    """From the first window to the last."""

    begin: datetime
    end: datetime
    marks: tuple[tuple[float, str], ...]

    @classmethod
    def of(cls, windows: Sequence[Mapping[str, Any]], promotions: Sequence[Promotion]) -> "_Axis":
        times = [_read(window["window"]["until"]) for window in windows] or [datetime.now(UTC)]
        begin, end = min(times), max(times)
        plain = cls(begin, end, ())
        marks = [(plain.at(p.time), f"version {p.version} promoted {moment(p.time)}") for p in promotions]
        return cls(begin, end, tuple((at, text) for at, text in marks if 0 <= at <= 1))

    def at(self, time: str) -> float:
        """Return a moment's place, 0 to 1; outside that range it is not on the axis."""
        span = (self.end - self.begin).total_seconds()
        return (_read(time) - self.begin).total_seconds() / span if span else 0.5

    @property
    def ends(self) -> tuple[str, str]:
        form = "%d %b %Y" if self.begin.date() != self.end.date() else "%d %b %Y, %H:%M"
        return (self.begin.strftime(form), self.end.strftime(form) if self.end != self.begin else "")


def _figures(windows: Sequence[Mapping[str, Any]], axis: _Axis) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the drawings of every figure, group by group: its score over time."""
    points: dict[str, list[Point]] = {}
    worst: dict[str, float] = {}
    for window in windows:
        for figure in window["figures"]:
            if figure["score"] is None or figure["group"] == "performance":
                continue
            name, score = figure["name"], min(max(float(figure["score"]), 0.0), _FURTHEST)
            text = f"{moment(window['window']['until'])}: {figure['score']:.2f}, version {window['window']['version']}"
            points.setdefault(name, []).append(
                Point(axis.at(window["window"]["until"]), score, marked=bool(figure["crossed"]), said=text)
            )
            worst[name] = max(worst.get(name, 0.0), float(figure["score"]))
    found = []
    for title, groups in (GROUPS | _OTHERS).items():
        names = sorted((name for name in points if group_of(name) in groups), key=lambda name: -worst[name])
        drawn = [{"name": name, "worst": worst[name], "svg": _score(points[name], axis)} for name in names]
        if drawn:
            found.append((title, drawn))
    return found


def _score(points: Sequence[Point], axis: _Axis) -> str:
    return series(points, Scale(0.0, max(1.5, *(p.value for p in points)), limit=1.0), axis.marks, axis.ends)


def _performance(
    windows: Sequence[Mapping[str, Any]], performance: Sequence[Mapping[str, Any]], axis: _Axis
) -> list[dict[str, Any]]:
    """Return the drawings of each finding's measured and estimated AUROC, sensitivity and calibration."""
    findings = sorted({finding for item in performance for finding in item})
    found = []
    for finding in findings:
        for metric, title, low in (("auroc", "AUROC", 0.5), ("sensitivity", "sensitivity", 0.0), ("ece", "ECE", 0.0)):
            points = []
            for window, item in zip(windows, performance, strict=True):
                for kind, hollow in (("estimated", True), ("measured", False)):
                    figure = ((item.get(finding) or {}).get(kind) or {}).get(metric)
                    if figure and figure["value"] is not None:
                        text = f"{moment(window['window']['until'])}: {kind} {figure['value']:.2f}"
                        place = axis.at(window["window"]["until"])
                        points.append(Point(place, figure["value"], figure["low"], figure["high"], False, hollow, text))
            if points:
                top = 1.0 if metric != "ece" else max(0.2, *(p.high or p.value for p in points))
                drawn = series(points, Scale(low, top), axis.marks, axis.ends)
                found.append({"name": f"{title} of {finding.replace('_', ' ').lower()}", "svg": drawn})
    return found


def _read(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
