"""`thorax log`: look at the prediction log, take it elsewhere, and put what is old away."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, progress, table
from commands.moments import read_moment
from thorax.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from serving.security.journals import AuditLog
    from thorax.prediction_log.rotation import Pruned
    from thorax.settings import Settings

app = typer.Typer(no_args_is_help=True)

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S serve.log_rotate=day."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Since = Annotated[str | None, typer.Option(help="Start: 2026-11-22, 2026-11-22T08:00, or 7d, 12h before now.")]
Until = Annotated[str | None, typer.Option(help="End, in the same forms.")]
_READERS = {"predictions": "read_log", "feedback": "read_feedback", "shadow": "read_shadow"}
Table = Annotated[str, typer.Option("--table", help="predictions, feedback or shadow.")]
#: Rows that are written at once.
_ROWS = 20_000


@app.callback()
def group() -> None:
    """Look at the prediction log, take it elsewhere, and put what is old away."""


@app.command()
def show(
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="Number of rows.", min=1)] = 20,
    which: Table = "predictions",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show the latest rows; they hold no patient identifiers."""
    from thorax.settings import load

    frame = _read(load(overrides=set_ or ()), which, since, until)
    latest = frame.tail(limit)
    if json:
        print_json({"rows": len(frame), "latest": _plain(latest)})
        return
    if which == "predictions":
        _show_predictions(latest)
    else:
        table(which.capitalize(), list(latest.columns), latest.astype(str).itertuples(index=False))
    out.print(f"{len(latest):,} of {len(frame):,} rows.")


def _show_predictions(frame: "pd.DataFrame") -> None:
    findings = [name.removeprefix("p_") for name in frame.columns if name.startswith("p_")]
    rows = []
    for row in frame.to_dict("records"):
        present = [name for name in findings if row.get(f"d_{name}") == 1]
        rows.append(
            (
                f"{row['time']:%Y-%m-%d %H:%M:%S}",
                row["model_version"],
                ", ".join(f"{name} {row[f'p_{name}']:.2f}" for name in present) or "—",
                "yes" if row["ood"] == 1 else "no",
                row["request_id"],
            )
        )
    table("Predictions", ("time", "version", "present", "out of distribution", "request"), rows)


@app.command()
def export(
    target: Annotated[Path, typer.Option("--out", help="A .parquet, .csv or .jsonl file.")],
    since: Since = None,
    until: Until = None,
    which: Table = "predictions",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Export rows to a file, archived rows included. The audit log records the export."""
    from thorax.files import atomic_path
    from thorax.settings import load

    if target.suffix not in (".parquet", ".csv", ".jsonl"):
        raise InputError(f"{target} is none of .parquet, .csv and .jsonl.", "Give the file one of these endings.")
    settings = load(overrides=set_ or ())
    frame = _read(settings, which, since, until)
    with progress("Writing", len(frame)) as advance, atomic_path(target) as temporary:
        if target.suffix == ".parquet":
            frame.to_parquet(temporary, index=False, compression="zstd")
            advance(len(frame))
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                for start in range(0, max(len(frame), 1), _ROWS):
                    part = frame.iloc[start : start + _ROWS]
                    if target.suffix == ".csv":
                        part.to_csv(stream, index=False, header=start == 0)
                    elif len(part):
                        stream.write(part.to_json(orient="records", lines=True, date_format="iso"))
                    advance(len(part))
    _audit(settings).write("log.export", table=which, rows=len(frame), since=since, until=until)
    if json:
        print_json({"out": str(target), "rows": len(frame)})
    else:
        out.print(f"Wrote {len(frame):,} rows to {target}.", markup=False)


@app.command()
def prune(
    before: Annotated[
        str | None, typer.Option(help="Rows older than this: 90d, 2026-11-22. [default: serve.log_rotate_days]")
    ] = None,
    discard: Annotated[bool, typer.Option("--discard", help="Delete the rows instead of moving them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and stop.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Move old rows to Parquet files, and delete files and access logs older than serve.log_keep_days."""
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    done = tidy(settings, before=before, discard_rows=discard, dry_run=dry_run, show=not json)
    if json:
        print_json({"dry_run": dry_run, "discarded": discard, **done})
        return
    would = "would be " if dry_run else ""
    out.print(f"{done['rows']:,} predictions {would}{'deleted' if discard else 'moved to Parquet files'}.")
    for name in (*done["written"], *done["deleted"]):
        out.print(f"  {'deleted' if name in done['deleted'] else 'written'}: {name}", markup=False)


def tidy(
    settings: "Settings",
    *,
    before: str | None = None,
    discard_rows: bool = False,
    dry_run: bool = False,
    show: bool = False,
) -> dict[str, Any]:
    """Put away what the settings call old; what `thorax serve` does each hour.

    Args:
        settings: what is old, and where the log is.
        before: a moment in place of `serve.log_rotate_days`.
        discard_rows: delete rows rather than move them.
        dry_run: count, and change nothing.
        show: draw a progress bar.
    """
    from serving.runtime import Runtime
    from serving.security.journals import AccessLog, forget
    from thorax.prediction import now
    from thorax.prediction_log import archive_of, rotation

    serve, runtime = settings.serve, Runtime.of(settings)
    moment = read_moment(before) if before else now() - timedelta(days=serve.log_rotate_days)
    found = rotation.Pruned(0)
    if before or serve.log_rotate_days:
        found = _move(settings, moment, discard_rows, dry_run, show)
    deleted: list[Path] = []
    if serve.log_keep_days:
        keep = timedelta(days=serve.log_keep_days)
        deleted += rotation.discard(archive_of(settings), keep, now(), dry_run)
        deleted += forget(AccessLog(runtime.access), keep, dry_run)
    if not dry_run and (found.rows or deleted):
        _audit(settings).write("log.prune", rows=found.rows, discarded=discard_rows, files_deleted=len(deleted))
    return {
        "rows": found.rows,
        "before": moment.isoformat(),
        "written": [str(path) for path in found.written],
        "deleted": [str(path) for path in deleted],
    }


def _move(settings: "Settings", moment: Any, discard_rows: bool, dry_run: bool, show: bool) -> "Pruned":
    from contextlib import nullcontext

    from thorax.prediction_log import archive_of, place_of, rotation
    from thorax.prediction_log.places import is_address

    place = place_of(settings)
    if not is_address(place) and not Path(place).is_file():
        return rotation.Pruned(0)
    rows = rotation.old_rows(place, moment)
    if dry_run or not rows:
        return rotation.Pruned(rows)
    if discard_rows:
        return rotation.Pruned(rotation.prune(place, moment))
    with progress("Moving", rows) if show else nullcontext(None) as advance:
        return rotation.move(place, moment, archive_of(settings), settings.serve.log_rotate, advance)


@app.command()
def audit(
    limit: Annotated[int, typer.Option(help="Number of rows.", min=1)] = 20, set_: Set = None, json: Json = False
) -> None:
    """Show the audit log, after checking its hash chain."""
    from thorax.settings import load

    log = _audit(load(overrides=set_ or ()))
    lines = log.read()
    if json:
        print_json({"lines": len(lines), "latest": lines[-limit:]})
        return
    rows = [
        (
            line["time"],
            line["action"],
            line["who"],
            ", ".join(f"{key} {value}" for key, value in line.items() if key not in ("time", "action", "who", "link")),
        )
        for line in lines[-limit:]
    ]
    table("Audit log", ("time", "action", "who", "more"), rows)
    out.print(f"{len(lines):,} lines, and their chain is whole.")


@app.command()
def access(
    since: Since = None,
    limit: Annotated[int, typer.Option(help="Number of rows.", min=1)] = 20,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show the access log: who, what, when, and the model version."""
    from collections import deque

    from serving.runtime import Runtime
    from serving.security.journals import AccessLog
    from thorax.settings import load

    log = AccessLog(Runtime.of(load(overrides=set_ or ())).access)
    latest = list(deque(log.read(read_moment(since) if since else None), maxlen=limit))
    if json:
        print_json(latest)
        return
    columns = ("time", "caller", "method", "route", "status", "version", "ms", "request_id")
    table("Access log", columns, [[line.get(name, "") for name in columns] for line in latest], right=("ms",))
    if not latest:
        err.print("Nobody asked anything in that time.")


def _audit(settings: "Settings") -> "AuditLog":
    from serving.runtime import Runtime
    from serving.security.journals import AuditLog

    return AuditLog(Runtime.of(settings).audit)


def _read(settings: "Settings", which: str, since: str | None, until: str | None) -> "pd.DataFrame":
    """Read a table, with its old rows."""
    from thorax import prediction_log
    from thorax.errors import nearest

    if which not in _READERS:
        raise InputError(f"There is no table {which!r}.", nearest(which, _READERS))
    span = [None if text is None else read_moment(text) for text in (since, until)]
    read = getattr(prediction_log, _READERS[which])
    found: pd.DataFrame = read(prediction_log.place_of(settings), *span, prediction_log.archive_of(settings))
    return found


def _plain(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return rows as JSON takes them: moments as text, nothing for what is missing."""
    import json

    found: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return found
