"""`thorax monitor`: has what the model sees, or what it answers, drifted from what it was tested on?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, progress, table
from commands.moments import read_moment

if TYPE_CHECKING:
    from thorax.monitoring.examine import Examination
    from thorax.settings import Settings

app = typer.Typer(no_args_is_help=True)

#: The exit code of a report that alarms, so that a scheduler can act on it.
ALARM = 10

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S monitor.min_rows=500."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_COLOURS = {"quiet": "green", "warning": "yellow", "alarm": "bold red", "too_few": "yellow"}


@app.callback()
def group() -> None:
    """Monitor predictions for drift."""


@app.command()
def report(
    since: Annotated[
        str | None, typer.Option(help="Start: 2026-11-22, 2026-11-22T08:00, or 7d, 12h before now.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="End, in the same forms.")] = None,
    version: Annotated[str | None, typer.Option(help="Model version. [default: the champion]")] = None,
    log: Annotated[Path | None, typer.Option(help="Another prediction log.")] = None,
    target: Annotated[Path | None, typer.Option("--out", help="The report's folder.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only the verdict: no plots, no MLflow run.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Compare logged predictions with the model's reference. Exit code 10 on an alarm."""
    from thorax.registry.versions import CHAMPION
    from thorax.registry.watching import watch_version
    from thorax.settings import load

    done = watch_version(
        load(overrides=set_ or ()),
        which=version or CHAMPION,
        since=None if since is None else read_moment(since),
        until=None if until is None else read_moment(until),
        place=log,
        out=target,
        quick=quick,
    )
    for problem in done.problems:
        err.print(problem, style="yellow", markup=False, soft_wrap=True)
    if json:
        print_json(_finite(done.found.as_dict()))
    else:
        show(done.found)
    if done.found.verdict.status == "alarm":
        raise typer.Exit(ALARM)


@app.command()
def history(
    target: Annotated[
        Path | None, typer.Option("--out", help="The page. [default: var/monitoring/history.html]")
    ] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """List the windows, and plot every figure over time on a page."""
    from thorax.monitoring.history import History, history_path
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    windows = History(history_path(settings.var)).windows()
    if json:
        print_json(_finite(windows))
        return
    rows = [
        (
            item["window"]["until"][:16].replace("T", " "),
            item["window"]["version"],
            f"{item['window']['rows']:,}",
            item["status"].replace("_", " "),
            _named([*item["alarms"], *item["warnings"]]),
        )
        for item in windows
    ]
    columns = ("until (UTC)", "version", "predictions", "verdict", "furthest beyond their cut-offs")
    table("Windows", columns, rows, right=("predictions",))
    page = target or settings.var / "monitoring" / "history.html"
    write_history(settings, page)
    out.print(f"Every figure over time: {page}", soft_wrap=True)


@app.command()
def label(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet: request_id, and a column per finding (1, 0, blank).")],
    log: Annotated[Path | None, typer.Option(help="Another prediction log.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Add confirmed findings of earlier predictions to the log; they override readers' feedback."""
    from thorax.monitoring.truth import first_few, keep, read_labels
    from thorax.prediction import now
    from thorax.prediction_log import PredictionLog, log_path, place_of, read_feedback
    from thorax.prediction_log.streaming import columns_in
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    place = log if log is not None else place_of(settings)
    known = [name.removeprefix("p_") for name in columns_in(place) if name.startswith("p_")]
    labels = read_labels(file, known, settings.data.words)
    writer = PredictionLog(place, salt=None if log is not None else log_path(settings.var).with_name("salt"))
    try:
        with progress("Labelling", len(labels.said)) as advance:
            found = keep(labels, writer, read_feedback(place), now(), advance)
    finally:
        writer.close()
    if json:
        print_json(found.as_dict())
        return
    out.print(f"{found.kept:,} findings of {found.requests:,} answers kept; {found.known:,} were known already.")
    notes = [
        (found.duplicates, f"{found.duplicates} rows repeat others."),
        (found.changed, f"{found.changed} findings were the contrary before; the new answer counts."),
        (len(found.contradictory), f"Rows contradict each other, left out: {first_few(found.contradictory)}."),
        (len(found.unknown), f"Not in the log, left out: {first_few(found.unknown)}."),
    ]
    for count, text in notes:
        if count:
            err.print(text, style="yellow", markup=False, soft_wrap=True)


@app.command()
def ack(
    incident: Annotated[int | None, typer.Argument(help="Incident number. [default: the latest open one]")] = None,
    note: Annotated[str, typer.Option(help="A note.")] = "",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Acknowledge an incident."""
    from thorax.monitoring.history import History, history_path
    from thorax.monitoring.incidents import Incidents
    from thorax.registry.history import user
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    found = Incidents(History(history_path(settings.var))).acknowledge(incident, user(), note)
    if json:
        print_json(found.as_dict())
        return
    out.print(f"Incident {found.id} on version {found.version} is looked after by {found.who}.")


@app.command()
def incidents(set_: Set = None, json: Json = False) -> None:
    """List incidents, and notices that wait for delivery."""
    from thorax.monitoring.alerts import waiting
    from thorax.monitoring.history import History, history_path
    from thorax.monitoring.incidents import Incidents
    from thorax.settings import load

    history_ = History(history_path(load(overrides=set_ or ()).var))
    found = Incidents(history_).all()
    if json:
        print_json([item.as_dict() for item in found])
        return
    rows = [
        (i.id, i.version, i.state, i.opened[:16].replace("T", " "), _named([{"figure": f} for f in i.figures]), i.who)
        for i in found
    ]
    table("Incidents", ("no.", "version", "state", "opened (UTC)", "figures in alarm", "user"), rows)
    for channel, subject, attempts, problem in waiting(history_):
        err.print(f"Not delivered by {channel} after {attempts} tries: {subject} ({problem})", markup=False)


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port, on this machine only.")] = 8000, set_: Set = None) -> None:
    """Start Evidently's web pages. Stop with Ctrl-C."""
    from thorax.monitoring.evidently import become_ui, workspace_of
    from thorax.settings import load

    out.print(f"Evidently starts at [cyan]http://127.0.0.1:{port}[/]; end it with Ctrl-C.")
    become_ui(workspace_of(load(overrides=set_ or ()).var), port)


def report_now(settings: "Settings", tables: bool = True) -> dict[str, Any]:
    """Make a report on everything in the log, print it with `tables`, and return it as JSON would have it."""
    from thorax.registry.watching import watch_version

    found = watch_version(settings).found
    if tables:
        show(found)
    return found.as_dict()


def write_history(settings: "Settings", page: Path) -> None:
    """Write the page of all windows; performance is taken anew, as truth comes late."""
    from thorax.files import write_text
    from thorax.monitoring.history import History, history_path
    from thorax.monitoring.incidents import Incidents
    from thorax.monitoring.overview import render_history
    from thorax.monitoring.retrospect import performance_of
    from thorax.prediction_log import archive_of, place_of
    from thorax.registry.watching import promotions

    history_ = History(history_path(settings.var))
    windows = history_.windows()
    performance = performance_of(windows, place_of(settings), settings.monitor, archive_of(settings))
    write_text(page, render_history(windows, performance, promotions(settings), Incidents(history_).all()))


def show(found: "Examination") -> None:
    """Print the verdict, what is furthest from the reference, and where the page lies."""
    from thorax.monitoring.page import headline, said

    verdict = found.verdict
    out.print(f"[{_COLOURS[verdict.status]}]{headline(verdict)}[/]", soft_wrap=True)
    ordered = sorted((f for f in verdict.figures if f.score is not None), key=lambda f: -(f.score or 0))
    rows = [
        (
            said(item.name),
            f"{item.score:.2f}" + (" !" if item.crossed and item.level == "alarm" else " ?" if item.warned else ""),
            *("—" if value is None else f"{value:.3f}" for value in (item.value, item.cutoff)),
            item.level,
        )
        for item in ordered[:12]
    ]
    if rows:
        title = f"The furthest of {len(ordered)} figures; a score of 1 is the cut-off"
        table(title, ("figure", "score", "value", "cut-off", "level"), rows, right=("score", "value", "cut-off"))
    window = verdict.window
    for count, text in ((window.others, "predictions of other versions were left out."), (window.skewed, _SKEWED)):
        if count:
            out.print(f"{count:,} {text}")
    if found.incident is not None:
        out.print(f"Incident {found.incident.id} is {found.incident.state}.")
    out.print(f"Report: {found.page}", soft_wrap=True)


_SKEWED = "predictions from the future were left out: a clock is wrong."


def _named(items: list[dict[str, Any]]) -> str:
    from thorax.monitoring.page import said

    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return "; ".join(said(item["figure"]) for item in items[:3]) + more


def _finite(value: Any) -> Any:
    from thorax.monitoring.report import finite

    return finite(value)
