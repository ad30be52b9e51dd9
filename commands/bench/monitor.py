"""`make bench-monitor`: how fast a report is, how soon a drift is seen, and how often none is seen wrongly.

python -m commands.bench.monitor --real ../shared/data --markdown docs/monitoring.md
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.bench.figures import VERDICTS, Table
from commands.bench.parts import Json, Markdown, Real, chosen, real_data, run
from commands.console import out, progress

if TYPE_CHECKING:
    from commands.bench.monitor_detection import Power, Quiet
    from thorax.settings import Settings

PARTS = {
    "speed": "a report on 100,000 and on 1,000,000 logged predictions, beside Evidently's preset on the raw frames",
    "quiet": "windows of phantoms without drift: how often anything is called a drift, beside Evidently's preset",
    "power": "phantoms with each shift at three strengths: how often and after how many images it is seen",
    "real": "NIH's radiographs against another hospital's, AP against PA, and photographs among them",
}
#: Seconds in which a report must be made, by rows; the verdict alone takes a tenth.
LIMITS = {100_000: 20.0, 1_000_000: 90.0}
ROOM_MIB = 3072
#: How far the rate of false alarms may lie from what is stated.
SLACK = 0.01


def bench(
    real: Real = None,
    part: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PARTS)}; repeatable. Default: all.")] = None,
    windows: Annotated[int, typer.Option(min=2, help="Windows without drift, of each size.")] = 1000,
    streams: Annotated[int, typer.Option(min=2, help="Streams of each drift, ten windows of 200 each.")] = 8,
    compared: Annotated[int, typer.Option(min=0, help="Quiet windows of each size that Evidently's tests see.")] = 100,
    rows: Annotated[list[int] | None, typer.Option(help="Rows of a log whose report is timed; repeatable.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of each timing that has a bound; the median counts.")] = 3,
    base: Annotated[int, typer.Option(min=400, help="Phantoms without a shift, to draw from.")] = 6600,
    shifted: Annotated[int, typer.Option(min=100, help="Phantoms of each shift and strength.")] = 300,
    epochs: Annotated[int, typer.Option(min=1, help="Of the network that answers.")] = 6,
    resamples: Annotated[int, typer.Option(min=50, help="For each reference's cut-offs.")] = 300,
    fresh: Annotated[bool, typer.Option("--fresh", help="Render and score anew what an earlier run left.")] = False,
    markdown: Markdown = None,
    json: Json = False,
) -> None:
    """Measure the speed of reports, and how well drift is told from chance."""
    from commands.bench.monitor_pools import Pools
    from commands.bench.page import tell
    from thorax.settings import load

    wanted, settings, data = chosen(part, PARTS), load(), real_data(real)
    folder = settings.var / "bench" / "monitor"
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    found: dict[str, Table] = {}
    if "speed" in wanted:
        found["Speed"] = _speed(folder, rows or list(LIMITS), rounds)
    if {"quiet", "power", "real"} & set(wanted):
        with progress("Rendering and scoring", total=None) as advance:
            pools = Pools(settings, folder, base, shifted, epochs=epochs, advance=advance)
            phantoms = pools.phantoms() if {"quiet", "power"} & set(wanted) else None
            radiographs = pools.real(data) if "real" in wanted and data is not None else None
        found |= _detection(settings, wanted, phantoms, radiographs, (windows, streams, compared, resamples))
    tell(found, markdown=markdown, json=json)
    if "real" in wanted and data is None and not json:
        out.print("No real radiographs are at hand: name a folder with --real.")


def _speed(folder: Path, rows: list[int], rounds: int) -> Table:
    from commands.bench.monitor_speed import KINDS, measure, prepare

    body = []
    with progress("Timing reports", len(rows) * len(KINDS)) as advance:
        for count in rows:
            place = folder / f"log-{count}"
            prepare(place, count)
            for kind, what in KINDS.items():
                limit = LIMITS.get(count)
                agreed = {"report": limit, "verdict": limit / 10 if limit else None}.get(kind)
                # What is held to a bound is measured again: the first process reads its libraries from the disk.
                measured = measure(place, kind, 1 if agreed is None else rounds)
                kept = None if agreed is None else measured["seconds"] <= agreed and measured["mib"] <= ROOM_MIB
                body.append(
                    (
                        f"{count:,} rows: {what}",
                        f"{measured['seconds']:.1f} s",
                        f"{measured['whole']:.1f} s",
                        f"{measured['mib']:,.0f} MiB",
                        "—" if agreed is None else f"{agreed:g} s, {ROOM_MIB:,} MiB",
                        VERDICTS[kept],
                    )
                )
                advance()
    return Table(("a report on", "call", "whole process", "memory", "agreed", ""), body)


def _detection(
    settings: "Settings", wanted: list[str], phantoms: Any, radiographs: Any, counts: tuple[int, int, int, int]
) -> dict[str, Table]:
    from commands.bench.monitor_detection import power, quiet

    windows, streams, compared, resamples = counts
    monitor = settings.monitor.model_copy(update={"resamples": resamples})
    found: dict[str, Table] = {}
    if "quiet" in wanted:
        pool = phantoms[0]
        known = min(1500, len(pool) // 4)
        sizes = [size for size in (200, 1000, 5000) if size + known <= len(pool)]
        with progress("Windows without drift", len(sizes)) as advance:
            rows = []
            for size in sizes:
                rows.append(quiet(pool, known, size, windows, monitor, compared))
                advance()
        found["No drift"] = _quiet_table(rows, monitor.false_alarm_rate, monitor.warning_rate)
    if "power" in wanted:
        pool, drifted = phantoms
        known = min(1500, len(pool) // 4)
        with progress("Streams of drift", None):
            found["Drift of phantoms"] = _power_table(power(pool, drifted, known, streams, monitor))
    if "real" in wanted and radiographs is not None:
        nih, drifted, ap = radiographs
        with progress("Streams of real radiographs", None):
            rows_ = power(nih, drifted, min(700, len(nih) // 2), streams, monitor)
            pa = nih[nih["view"] == "PA"]
            rows_ += power(pa, {"AP among a reference of PA": ap}, min(400, len(pa) // 2), streams, monitor)
        found["Drift of real radiographs"] = _power_table(rows_)
    return found


def _quiet_table(rows: "list[Quiet]", rate: float, warning: float) -> Table:
    columns = (
        "window without drift",
        "windows",
        f"beyond an alarm cut-off (stated {rate:.0%})",
        f"beyond a warning cut-off (stated {warning:.0%})",
        f"within ± {SLACK:g}",
        "Evidently: drifted",
        "Evidently: any column",
        "Evidently: columns",
    )
    body = [
        (
            f"{row.size:,} images",
            f"{row.windows:,} ({row.compared:,} by Evidently)",
            f"{row.crossed:.1%}",
            f"{row.warned:.1%}",
            VERDICTS[abs(row.crossed - rate) <= SLACK],
            *("—" if value != value else f"{value:.0%}" for value in (row.theirs, row.theirs_any, row.theirs_columns)),
        )
        for row in rows
    ]
    return Table(columns, body)


def _power_table(rows: "list[Power]") -> Table:
    columns = (
        "drift and strength",
        "seen in 200",
        "seen in 1,000",
        "alarm after (median)",
        "Evidently in 200: drifted",
        "Evidently in 200: any column",
    )
    body = [
        (
            row.name,
            f"{row.small:.0%}",
            f"{row.large:.0%}",
            "over 2,000" if row.delay is None else f"{row.delay:,.0f}",
            f"{row.theirs:.0%}",
            f"{row.theirs_any:.0%}",
        )
        for row in rows
    ]
    return Table(columns, body)


if __name__ == "__main__":
    run(bench)
