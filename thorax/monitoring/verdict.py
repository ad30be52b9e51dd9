"""The verdict on a window: quiet, a warning or an alarm, and when a figure has been beyond its cut-off for long enough.

One window alone is a poor witness. A figure on the list of alarms alarms when it was beyond its cut-off in
`monitor.persistence` windows in a row, or at once where it is `monitor.at_once` times as far out. Until then, and for
the figures that are only to be warned of, the verdict is a warning.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from thorax.settings import Monitor

if TYPE_CHECKING:
    from thorax.monitoring.history import History

Status = Literal["quiet", "warning", "alarm", "too_few"]
Level = Literal["alarm", "warn", "silent"]


@dataclass(frozen=True)
class Window:
    """What was looked at.

    Attributes:
        version: of the model that answered.
        since: the first moment, ISO 8601 in UTC; "" where nothing was found.
        until: the last.
        rows: predictions in it.
        looked_at: how many of them the figures come from; fewer where the window is longer than `monitor.sample_rows`.
        others: predictions of other versions in the same span, left out.
        skewed: predictions from the future, left out.
    """

    version: str
    since: str
    until: str
    rows: int
    looked_at: int = 0
    others: int = 0
    skewed: int = 0

    @property
    def id(self) -> str:
        """The same for the same predictions, so that a run that is repeated judges nothing twice."""
        text = f"{self.version}|{self.since}|{self.until}|{self.rows}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Figure:
    """One watched figure of a window.

    Attributes:
        name: a column of the prediction log, or `embedding`, `failures`, `latency`, `performance_<finding>`.
        group: what it belongs to, as `params.yaml` lists it.
        level: whether it may alarm, may warn, or is only shown.
        value: its effect size, a share, milliseconds or an AUROC; None where there is none.
        cutoff: of the value; None where no verdict is given.
        score: how far out it is: 1 at the cut-off of its level.
        warned: beyond the cut-off of warnings.
        crossed: beyond the cut-off of its own level.
    """

    name: str
    group: str
    level: Level
    value: float | None
    cutoff: float | None
    score: float | None
    warned: bool
    crossed: bool


@dataclass(frozen=True)
class Alarm:
    """A figure that alarms, or is warned of: how far out, and for how many windows in a row."""

    figure: str
    group: str
    value: float | None
    cutoff: float | None
    score: float
    windows: int


@dataclass(frozen=True)
class Verdict:
    """What is said of a window.

    Attributes:
        status: `quiet`, `warning`, `alarm`, or `too_few` for a verdict.
        window: what was looked at.
        alarms: figures that alarm, the furthest out first; empty unless the status is `alarm`.
        warnings: figures beyond a cut-off that do not alarm (yet), the furthest out first.
        figures: every watched figure.
        persistence: windows in a row that an alarm takes.
        false_alarm_rate: share of undrifted windows in which any figure on the list of alarms crosses its cut-off.
    """

    status: Status
    window: Window
    alarms: tuple[Alarm, ...] = ()
    warnings: tuple[Alarm, ...] = ()
    figures: tuple[Figure, ...] = field(default=(), repr=False)
    persistence: int = 1
    false_alarm_rate: float = 0.0

    @property
    def id(self) -> str:
        """The window's."""
        return self.window.id

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it; `Verdict.from_dict` reads it back."""
        return asdict(self) | {"id": self.id}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> "Verdict":
        """Read what `as_dict` gave."""
        kept = {key: value for key, value in tree.items() if key != "id"}
        kept["window"] = Window(**kept["window"])
        for key, kind in (("alarms", Alarm), ("warnings", Alarm), ("figures", Figure)):
            kept[key] = tuple(kind(**item) for item in kept[key])
        return cls(**kept)


def decide(
    window: Window, figures: Sequence[Figure], settings: Monitor, history: "History", *, too_few: bool = False
) -> Verdict:
    """Give the verdict on a window, in the light of the windows before it.

    Args:
        window: what was looked at.
        figures: what was found in it.
        settings: `monitor`.
        history: the windows before it; only those of the same version that ended before this one count, and those
            with too few predictions are passed over.
        too_few: there are too few predictions for the drift of any column. Failures, latency and performance have
            minimum samples of their own and are judged all the same.
    """
    before = history.crossed_before(window, settings.persistence - 1)
    alarms: list[Alarm] = []
    warnings: list[Alarm] = []
    for item in figures:
        if not item.warned and not item.crossed:
            continue
        streak = 1 + _streak(item.name, before) if item.crossed else 1
        told = Alarm(item.name, item.group, item.value, item.cutoff, float(item.score or 0.0), streak)
        lasting = streak >= settings.persistence or told.score >= settings.at_once
        (alarms if item.level == "alarm" and item.crossed and lasting else warnings).append(told)
    status: Status = "alarm" if alarms else "warning" if warnings else "too_few" if too_few else "quiet"
    return Verdict(
        status=status,
        window=window,
        alarms=_furthest_first(alarms),
        warnings=_furthest_first(warnings),
        figures=tuple(figures),
        persistence=settings.persistence,
        false_alarm_rate=settings.false_alarm_rate,
    )


def _streak(name: str, before: Iterable[frozenset[str]]) -> int:
    """Count the windows in a row, from the latest back, in which a figure was beyond its cut-off."""
    count = 0
    for crossed in before:
        if name not in crossed:
            break
        count += 1
    return count


def _furthest_first(found: list[Alarm]) -> tuple[Alarm, ...]:
    return tuple(sorted(found, key=lambda item: (-item.score, item.figure)))
