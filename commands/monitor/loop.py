"""The loop under `thorax monitor`: once, again and again, on a cluster's schedule, and what it did."""

import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, table
from commands.retrain import Json, Set, say, show
from thorax.errors import InputError, ThoraxError

if TYPE_CHECKING:
    from thorax.registry.loop import Turn
    from thorax.settings import Settings

#: The exit code of a run whose window alarms, so that a scheduler can act on it.
ALARM = 10
_WORDS = {"nothing": "Nothing to do", "hold": "Not retrained", "resume": "Went on", "retrain": "Retrained"}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def run(
    quick: Annotated[bool, typer.Option("--quick", help="Only the verdict: no plots, no MLflow run.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Report on the predictions since the last run, decide, and retrain on an alarm.

    Resumes unfinished work of an earlier run. Exit code 10 on an alarm.
    """
    from thorax.settings import load

    found = one_round(load(overrides=set_ or ()), quick=quick, quiet=json)
    if json:
        print_json(found.as_dict())
    else:
        tell(found)
    if found.alarming:
        raise typer.Exit(ALARM)


def watch(
    every: Annotated[str, typer.Option(help="Time between rounds: 30s, 15m, 6h, 1d.")] = "15m",
    rounds: Annotated[int | None, typer.Option(min=1, help="Stop after this number of rounds.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only the verdicts: no plots, no MLflow runs.")] = False,
    set_: Set = None,
) -> None:
    """Repeat `run` on this machine until Ctrl-C or SIGTERM. A failed round does not stop it."""
    pause = seconds_of(every)
    from thorax.settings import load

    stop = threading.Event()
    with _interrupting(stop):
        done = 0
        while True:
            began = _now()
            err.print(f"[dim]{began:%Y-%m-%d %H:%M:%S}[/]")
            try:
                # Read anew: what a person changes in params.yaml holds from the next round on.
                tell(one_round(load(overrides=set_ or ()), quick=quick))
            except KeyboardInterrupt:
                break
            except ThoraxError as error:
                err.print(f"error: {error.message}", style="red", markup=False)
                err.print(f"→ {error.mend or 'The next round tries again.'}", markup=False)
            except Exception as error:
                # One round must not take the watch with it, whatever it ran into.
                err.print(f"error: {type(error).__name__}: {error}", style="red", markup=False)
            done += 1
            left = pause - (_now() - began).total_seconds()
            if done == rounds or stop.wait(max(0.0, left)):
                break
    err.print(f"Ended after {done} round{'s' if done != 1 else ''}.")


def retrainings(set_: Set = None, json: Json = False) -> None:
    """List every retraining: reason, state, result, errors."""
    from thorax.monitoring.loop.journal import Journal, journal_path
    from thorax.settings import load

    found = Journal(journal_path(load(overrides=set_ or ()).var)).retrainings()
    if json:
        print_json([item.as_dict() for item in found])
        return
    rows = []
    for item in found:
        failed = f" ({item.failures[-1]['step']} failed: {item.failures[-1]['message']})" if item.failures else ""
        stands = item.outcome or f"not finished: {item.next_step}{failed}"
        cases = item.done.get("revise", {}).get("added", "")
        rows.append(
            (item.id, item.origin, item.reason, cases, item.done.get("revise", {}).get("revision", "")[:8], stands)
        )
    table("Retrainings", ("id", "by", "reason", "cases", "data", "outcome"), rows, right=("cases",))


def compile_(
    target: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("monitoring.yaml"),
    set_: Set = None,
) -> None:
    """Compile the monitoring pipeline to YAML for a Kubeflow cluster."""
    from pipelines.monitoring import compile_monitoring
    from thorax.settings import load

    err.print(f"Wrote {compile_monitoring(load(overrides=set_ or ()), target)}")


def schedule(
    cron: Annotated[str, typer.Argument(help='Five fields, minute first: "*/15 * * * *" is each quarter of an hour.')],
    name: Annotated[str, typer.Option(help="Name of the schedule; an existing one is replaced.")] = "thorax-monitoring",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Schedule the loop as a recurring run on a cluster; `thorax pipeline unschedule` deletes it."""
    from pipelines.monitoring import schedule_monitoring
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    folder = settings.var / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    with err.status("Compiling and sending …"):
        made = schedule_monitoring(settings, cron, name, folder)
    if json:
        print_json(made)
        return
    out.print(f"The schedule [bold]{made['name']}[/] is on: {made['cron']} (second minute hour day month weekday).")
    out.print(f"Next: [cyan]thorax pipeline schedules[/]; [cyan]thorax pipeline unschedule {made['name']}[/] ends it.")


def one_round(settings: "Settings", *, quick: bool = False, quiet: bool = False) -> "Turn":
    """Run one round, showing what a retraining does."""
    from commands.follow import following
    from pipelines.watching import watch_once

    if quiet:
        return watch_once(settings, quick=quick)
    with following() as follow:
        return watch_once(settings, quick=quick, follow=follow, say=say)


def tell(found: "Turn") -> None:
    """Print a round: the verdict, the decision, and the retraining that it led to."""
    seen, decision = found.look, found.round.decision
    colour = {"quiet": "green", "warning": "yellow", "alarm": "bold red"}.get(seen.status, "dim")
    out.print(f"[{colour}]Version {seen.version}: {seen.headline}[/]", soft_wrap=True, highlight=False)
    if seen.page and seen.rows:
        out.print(f"Report: {seen.page}", soft_wrap=True, markup=False)
    for problem in seen.problems:
        err.print(problem, style="yellow", markup=False)
    if decision.action != "nothing" or found.alarming:
        out.print(f"{_WORDS[decision.action]}: {decision.why}", markup=False, soft_wrap=True)
    if found.round.retraining is not None:
        show(found.round.retraining)


def seconds_of(text: str) -> float:
    """Return a span in seconds.

    >>> seconds_of("15m")
    900.0

    Raises:
        InputError: it is none, or not above zero.
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.replace(".", "", 1).isdigit() or float(number) <= 0:
        raise InputError(f"{text!r} is no span of time.", "Write 30s, 15m, 6h or 1d.")
    return timedelta(**{_UNITS[unit]: float(number)}).total_seconds()


class _interrupting:  # noqa: N801  # used as a word in a `with` line
    """Let SIGTERM and Ctrl-C end the pause at once, and a round in its midst as Ctrl-C does: in order."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        def end(*_: object) -> None:
            self._stop.set()
            raise KeyboardInterrupt

        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, end)

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is KeyboardInterrupt


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)
