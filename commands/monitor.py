"""`thorax monitor`: has what the model sees, or what it answers, drifted from what it was tested on?"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, table
from thorax.errors import InputError, RegistryError

if TYPE_CHECKING:
    from thorax.monitoring.report import DriftReport
    from thorax.settings import Settings

app = typer.Typer(no_args_is_help=True)

#: The exit code of a report that alarms, so that a scheduler can act on it.
DRIFT = 10

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S monitor.min_rows=500."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]


@app.callback()
def group() -> None:
    """Watch predictions for drift."""


@app.command()
def report(
    since: Annotated[
        str | None, typer.Option(help="From this moment on: 2026-11-22, 2026-11-22T08:00, or 7d, 12h before now.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to this moment, in the same forms.")] = None,
    version: Annotated[str | None, typer.Option(help="The version that answered. [default: the champion]")] = None,
    log: Annotated[Path | None, typer.Option(help="Another prediction log.")] = None,
    target: Annotated[Path | None, typer.Option("--out", help="The report's folder.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The verdict alone: no drawings, no MLflow run.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Compare logged predictions with the model's reference. Exit code 10 on drift."""
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    span = tuple(None if text is None else _moment(text) for text in (since, until))
    found = make_report(settings, log, target, version=version, span=span, quick=quick)
    if json:
        print_json(found.as_dict())
    else:
        show(found)
    if found.drift.verdict == "drift":
        raise typer.Exit(DRIFT)


@app.command()
def history(set_: Set = None, json: Json = False) -> None:
    """List the reports that were made, the oldest first, with what alarmed in each."""
    from thorax.files import read_json
    from thorax.monitoring.page import said
    from thorax.monitoring.report import FIGURES
    from thorax.settings import load

    folder = load(overrides=set_ or ()).var / "monitoring"
    found = sorted((read_json(path) for path in folder.glob(f"*/{FIGURES}")), key=lambda item: str(item["made"]))
    if json:
        print_json(found)
        return
    rows = [
        (
            item["made"][:16].replace("T", " "),
            item["model_version"],
            f"{item['since'][:16].replace('T', ' ')} to {item['until'][:16].replace('T', ' ')}",
            f"{item['rows']:,}",
            item["verdict"],
            ", ".join(said(name) for name in item["alarms"][:3]),
        )
        for item in found
    ]
    columns = ("made (UTC)", "version", "predictions from", "rows", "verdict", "furthest beyond their cut-offs")
    table("Drift reports", columns, rows, right=("rows",))


def retrain(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the version that comes of it.")],
    set_: Set = None,
    json: Json = False,
) -> None:
    """Run the training pipeline on the data as they are now; the result stands as challenger."""
    from commands.pipeline import show as show_run
    from commands.pipeline import train
    from thorax.settings import load

    if not reason.strip():
        raise InputError("A retraining needs a reason.", 'Say why, such as --reason "drift in brightness".')
    run = train(load(overrides=set_ or ()), reason)
    if json:
        print_json(run.summary())
        return
    show_run(run)
    out.print("Compare it with the champion: [cyan]thorax models compare challenger champion[/]")


def report_now(settings: "Settings") -> dict[str, Any]:
    """Make a report on everything in the log, show it, and return it as JSON would have it."""
    found = make_report(settings)
    show(found)
    return found.as_dict()


def make_report(
    settings: "Settings",
    log: Path | None = None,
    target: Path | None = None,
    *,
    version: str | None = None,
    span: tuple[datetime | None, ...] = (None, None),
    quick: bool = False,
) -> "DriftReport":
    """Compare the prediction log with the reference of the version that answered, and keep the report.

    Raises:
        InputError: there is no log, or nothing of this version in the window.
        RegistryError: no such version.
    """
    import pandas as pd

    from thorax.monitoring.report import report as compare
    from thorax.prediction_log import read_log
    from thorax.registry.bundles import fetch_version
    from thorax.registry.versions import CHAMPION, resolve
    from thorax.registry.watching import log_report

    frame = read_log(log or settings.var / "serving" / "predictions.db", *span)
    model = resolve(settings, version or CHAMPION)
    reference = pd.read_parquet(fetch_version(settings, model) / "reference.parquet")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    folder = target or settings.var / "monitoring" / stamp
    found = compare(settings, frame, reference, folder, model_version=model.version, distributions=not quick)
    if not quick:
        try:
            log_report(
                settings,
                version=model.version,
                verdict=found.drift.verdict,
                figures=found.figures(),
                folder=folder,
                span=(found.since, found.until),
            )
        except RegistryError as error:
            err.print(f"[yellow]The report is not in MLflow:[/] {error}", soft_wrap=True)
    return found


def show(found: "DriftReport") -> None:
    """Print the verdict, what is furthest from the reference, and where the page lies."""
    from thorax.monitoring.page import headline, said

    colour = {"quiet": "green", "drift": "bold red", "too few": "yellow"}[found.drift.verdict]
    out.print(f"[{colour}]{headline(found)}[/]", soft_wrap=True)
    ordered = sorted(found.drift.columns, key=lambda item: -(item.score if item.score is not None else -9e9))
    rows = [
        (
            said(item.column),
            "—" if item.score is None else f"{item.score:.2f}" + (" !" if item.alarm else ""),
            *("—" if value is None else f"{value:.3f}" for value in (item.psi, item.psi_cutoff, item.wasserstein)),
            item.reference,
            item.window,
        )
        for item in ordered[:12]
    ]
    columns = ("what", "score", "PSI", "cut-off", "distance", "reference", "window")
    title = f"The furthest of {len(ordered)} figures; a score of 1 is the cut-off"
    table(title, columns, rows, right=columns[1:])
    if found.others:
        out.print(f"{found.others:,} predictions of other versions were left out.")
    out.print(f"Report: {found.page}", soft_wrap=True)


def _moment(text: str) -> datetime:
    """Read a moment: ISO 8601 (UTC where it has no zone), or `7d`, `12h`, `30m` before now.

    Raises:
        InputError: it is neither.
    """
    units = {"d": "days", "h": "hours", "m": "minutes"}
    if text[:-1].isdigit() and text[-1:] in units:
        return datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no moment.", "Write 2026-11-22, 2026-11-22T08:00, or 7d before now.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
