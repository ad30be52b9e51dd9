"""How soon a drift is seen, and how often none is seen wrongly: windows drawn from pools of scored images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from commands.bench.monitor_pools import PATIENT
from thorax.settings import Monitor

if TYPE_CHECKING:
    import pandas as pd

    from thorax.monitoring.cutoffs import NoDrift

#: Windows of a stream; an alarm that has not come by then is given as later than that.
STREAM = 10
#: Images of a window of a stream.
STEP = 200


@dataclass(frozen=True)
class Power:
    """How well one drift is seen.

    Attributes:
        name: of the drift.
        small: share of windows of 200 images with a figure beyond its alarm cut-off.
        large: likewise of 1,000 images.
        delay: images until the alarm (persistence and all), the median over streams; None: later than the stream.
        theirs: share of the same windows of 200 that Evidently's preset calls drifted (half of its columns).
        theirs_any: share of them in which it calls any column drifted.
    """

    name: str
    small: float
    large: float
    delay: float | None
    theirs: float
    theirs_any: float


@dataclass(frozen=True)
class Quiet:
    """What is seen where there is nothing.

    Attributes:
        size: images of a window.
        windows: without drift, each with a reference of its own.
        crossed: share with a figure beyond its alarm cut-off; the stated rate is `monitor.false_alarm_rate`.
        warned: share with any figure beyond the cut-off of warnings; the stated rate is `monitor.warning_rate`.
        compared: windows that Evidently's preset was shown.
        theirs: share of them that it calls drifted.
        theirs_any: share of them in which it calls any column drifted.
        theirs_columns: share of all columns that it calls drifted.
    """

    size: int
    windows: int
    crossed: float
    warned: float
    compared: int
    theirs: float
    theirs_any: float
    theirs_columns: float


class Drawer:
    """Draws samples of a pool by patient."""

    def __init__(self, pool: "pd.DataFrame") -> None:
        names, groups = np.unique(pool[PATIENT].astype(str).to_numpy(), return_inverse=True)
        order = np.argsort(groups, kind="stable")
        self._rows = np.split(order, np.cumsum(np.bincount(groups))[:-1])
        self._pool, self._patients = pool, len(names)

    def apart(self, sizes: tuple[int, ...], generator: np.random.Generator) -> "list[pd.DataFrame]":
        """Return samples of these sizes that share no patient."""
        order = generator.permutation(self._patients)
        found, at = [], 0
        for size in sizes:
            taken: list[np.ndarray] = []
            count = 0
            while count < size and at < self._patients:
                rows = self._rows[order[at]][: size - count]
                taken.append(rows)
                count, at = count + len(rows), at + 1
            found.append(self._frame(np.concatenate(taken)))
        return found

    def again(self, size: int, generator: np.random.Generator) -> "pd.DataFrame":
        """Return a sample with patients drawn with replacement."""
        rows: list[np.ndarray] = []
        count = 0
        while count < size:
            rows.append(self._rows[generator.integers(self._patients)])
            count += len(rows[-1])
        return self._frame(np.concatenate(rows)[:size])

    def _frame(self, rows: np.ndarray) -> "pd.DataFrame":
        return self._pool.iloc[rows].rename(columns={PATIENT: "group"}).reset_index(drop=True)


class Judge:
    """A reference, and what no drift looks like at each window's size, learnt once."""

    def __init__(self, reference: "pd.DataFrame", settings: Monitor, seed: int) -> None:
        from thorax.monitoring.drift import prepare
        from thorax.monitoring.summary import summarise

        self.reference, self._settings, self._seed = reference, settings, seed
        self.ruler, self._known = prepare(reference)
        self._own = summarise(self.ruler, [reference])
        self._learnt: dict[tuple[int, ...], NoDrift] = {}

    def drift(self, window: "pd.DataFrame") -> Any:
        """Compare a window with the reference."""
        from thorax.monitoring.cutoffs import calibrate
        from thorax.monitoring.drift import compare
        from thorax.monitoring.summary import summarise

        counted = summarise(self.ruler, [window])
        key = tuple(counted.held.tolist())
        if key not in self._learnt:
            enough = [at for at, held in enumerate(counted.held) if held >= self._settings.min_rows]
            self._learnt[key] = calibrate(
                self._known, counted, enough, resamples=self._settings.resamples, seed=self._seed
            )
        return compare(
            self.ruler, self._known, counted, self._own, self._settings, no_drift=self._learnt[key], seed=self._seed
        )


def quiet(pool: "pd.DataFrame", reference: int, size: int, windows: int, settings: Monitor, compared: int) -> Quiet:
    """Draw a reference and a window without drift, again and again, and count what is called a drift."""
    from joblib import Parallel, delayed

    parts = np.array_split(np.arange(windows), 2)
    work = delayed(_quiet_part)
    done = Parallel(n_jobs=2)(work(pool, reference, size, part, settings, compared) for part in parts)
    crossed, warned, theirs = (np.concatenate([np.asarray(part[at], dtype=float) for part in done]) for at in range(3))
    shares = theirs[np.isfinite(theirs)]
    return Quiet(
        size,
        windows,
        float(crossed.mean()),
        float(warned.mean()),
        len(shares),
        float((shares >= 0.5).mean()) if len(shares) else float("nan"),
        float((shares > 0).mean()) if len(shares) else float("nan"),
        float(shares.mean()) if len(shares) else float("nan"),
    )


def _quiet_part(
    pool: "pd.DataFrame", reference: int, size: int, numbers: np.ndarray, settings: Monitor, compared: int
) -> tuple[list[bool], list[bool], list[float]]:
    drawer = Drawer(pool)
    crossed, warned, theirs = [], [], []
    for number in numbers.tolist():
        generator = np.random.default_rng([size, number])
        known, window = drawer.apart((reference, size), generator)
        found = Judge(known, settings, seed=number).drift(window)
        crossed.append(bool(found.crossed))
        warned.append(bool(found.warned))
        theirs.append(_their_share(window, known) if number < compared else float("nan"))
    return crossed, warned, theirs


def power(
    base: "pd.DataFrame", drifted: "dict[str, pd.DataFrame]", reference: int, streams: int, settings: Monitor
) -> list[Power]:
    """Show streams of drifted windows to judges that know the pool without drift."""
    from joblib import Parallel, delayed

    drawer = Drawer(base)
    known = [drawer.apart((reference,), np.random.default_rng([7, number]))[0] for number in range(streams)]
    work = delayed(_streams)
    parts = [list(drifted.items())[at::2] for at in range(2)]
    done = Parallel(n_jobs=2)(work(known, dict(part), settings) for part in parts)
    found = {item.name: item for part in done for item in part}
    return [found[name] for name in drifted]


def _streams(known: "list[pd.DataFrame]", drifted: "dict[str, pd.DataFrame]", settings: Monitor) -> list[Power]:
    judges = [Judge(frame, settings, seed=number) for number, frame in enumerate(known)]
    return [_power(name, Drawer(pool), judges, settings) for name, pool in drifted.items()]


def _power(name: str, drawer: Drawer, judges: list[Judge], settings: Monitor) -> Power:
    small, large, delays, theirs = [], [], [], []
    for number, judge in enumerate(judges):
        generator = np.random.default_rng([11, number])
        windows = [drawer.again(STEP, generator) for _ in range(STREAM)]
        drifts = [judge.drift(window) for window in windows]
        small += [bool(drift.crossed) for drift in drifts]
        delays.append(_delay(drifts, settings))
        large.append(bool(judge.drift(drawer.again(5 * STEP, generator)).crossed))
        theirs.append(_their_share(windows[0], judge.reference))
    shares = np.array(theirs)
    middle = float(np.median(delays))
    return Power(
        name,
        float(np.mean(small)),
        float(np.mean(large)),
        middle if np.isfinite(middle) else None,
        float((shares >= 0.5).mean()),
        float((shares > 0).mean()),
    )


def _delay(drifts: list[Any], settings: Monitor) -> float:
    """Return the images until the alarm, as `thorax.monitoring.verdict` gives it; infinity where it does not come."""
    rows: dict[str, int] = {}
    for number, drift in enumerate(drifts, start=1):
        crossed = {f.name: f.score or 0.0 for f in drift.figures() if f.crossed and f.level == "alarm"}
        rows = {name: rows.get(name, 0) + 1 for name in crossed}
        if any(rows[name] >= settings.persistence or score >= settings.at_once for name, score in crossed.items()):
            return float(number * STEP)
    return float("inf")


def _their_share(window: "pd.DataFrame", reference: "pd.DataFrame") -> float:
    """Return the share of the columns that Evidently's preset calls drifted."""
    from thorax.monitoring.evidently import by_default

    found = by_default(window, reference)
    return sum(found.values()) / max(len(found), 1)
