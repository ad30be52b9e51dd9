"""`thorax pipeline submit`, `schedule`, `runs`, `status`, `cancel`, `logs`: the pipeline on a Kubeflow cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, table

if TYPE_CHECKING:
    from pipelines.cluster import RunState

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S train.epochs=5. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option(help="Reason; part of the run's name, and stored with the version.")]
RunId = Annotated[str | None, typer.Argument(help="Run id. [default: the newest]")]

_COLOURS = {"SUCCEEDED": "green", "FAILED": "red", "CANCELED": "yellow", "RUNNING": "cyan"}


def submit(
    set_: Set = None,
    reason: Reason = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the run to end.")] = False,
    json: Json = False,
) -> None:
    """Submit a run of the pipeline to the cluster."""
    from pipelines import cluster
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    with err.status("Compiling, checking and sending …"):
        run = cluster.submit(settings, reason, _folder(settings.var))
    if wait:
        run = _follow(settings, run.run_id)
    if json:
        print_json(_facts(run))
    else:
        out.print(f"[bold]{run.name}[/] is on the cluster: {run.link}", soft_wrap=True, highlight=False)
        out.print("Next: [cyan]thorax pipeline status[/], [cyan]thorax pipeline logs[/]")
    if wait and run.state != "SUCCEEDED":
        raise typer.Exit(1)


def schedule(
    cron: Annotated[str, typer.Argument(help='Five fields, minute first: "30 2 * * 1" is Mondays at 02:30.')],
    name: Annotated[str, typer.Option(help="Name of the schedule; an existing one is replaced.")] = "thorax-training",
    set_: Set = None,
    reason: Reason = "on schedule",
    json: Json = False,
) -> None:
    """Schedule a recurring run on the cluster."""
    from pipelines import cluster
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    with err.status("Compiling, checking and sending …"):
        made = cluster.schedule(settings, cron, name, reason, _folder(settings.var))
    if json:
        print_json(made)
    else:
        out.print(f"The schedule [bold]{made['name']}[/] is on: {made['cron']} (second minute hour day month weekday).")
        out.print(
            f"Next: [cyan]thorax pipeline schedules[/]; [cyan]thorax pipeline unschedule {made['name']}[/] ends it."
        )


def schedules(set_: Set = None, json: Json = False) -> None:
    """List recurring runs on the cluster."""
    from pipelines import cluster
    from thorax.settings import load

    found = cluster.schedules(load(overrides=set_ or ()))
    if json:
        print_json(found)
        return
    rows = [(one["name"], one["cron"], "on" if one["on"] else "off", one["id"]) for one in found]
    table("Schedules", ("name", "cron", "state", "id"), rows)


def unschedule(
    name: Annotated[str, typer.Argument(help="The schedule's name or id.")], set_: Set = None, json: Json = False
) -> None:
    """Delete a schedule."""
    from pipelines import cluster
    from thorax.settings import load

    gone = cluster.unschedule(load(overrides=set_ or ()), name)
    if json:
        print_json({"name": name, "ended": gone})
    else:
        out.print(f"{gone} schedule{'s' if gone > 1 else ''} called {name} ended.")


def runs(
    set_: Set = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Maximum number, newest first.")] = 10,
    json: Json = False,
) -> None:
    """List the latest runs on the cluster."""
    from pipelines import cluster
    from thorax.settings import load

    found = cluster.runs(load(overrides=set_ or ()), limit)
    if json:
        print_json([_facts(run) for run in found])
        return
    table("Runs on the cluster", ("name", "state", "id"), [(r.name, _coloured(r.state), r.run_id) for r in found])


def status(run_id: RunId = None, set_: Set = None, json: Json = False) -> None:
    """Show the state of a run on the cluster by step; exit code 1 if it failed."""
    from pipelines import cluster
    from thorax.settings import load

    run = cluster.status(load(overrides=set_ or ()), run_id)
    if json:
        print_json(_facts(run))
    else:
        rows = [(task.name, _coloured(task.state), _seconds(task), task.error) for task in run.tasks]
        table(f"{run.name}: {_coloured(run.state)}", ("step", "state", "seconds", "error"), rows, right=("seconds",))
        if run.error:
            err.print(f"[red]{run.error}[/]", highlight=False)
        out.print(run.link, soft_wrap=True)
    if run.state == "FAILED":
        raise typer.Exit(1)


def cancel(run_id: RunId = None, set_: Set = None, json: Json = False) -> None:
    """Stop a run on the cluster."""
    from pipelines import cluster
    from thorax.settings import load

    stopped = cluster.cancel(load(overrides=set_ or ()), run_id)
    if json:
        print_json({"run_id": stopped, "canceled": True})
    else:
        out.print(f"{stopped} is being stopped; what its steps finished stays in the cluster's cache.")


def logs(
    run_id: RunId = None,
    step: Annotated[str | None, typer.Option(help="Only this step, e.g. train.")] = None,
    set_: Set = None,
) -> None:
    """Print the logs of a run's steps."""
    from pipelines import cluster
    from thorax.settings import load

    for pod, text in cluster.logs(load(overrides=set_ or ()), run_id, step):
        out.rule(pod)
        out.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)


def _folder(var: Path) -> Path:
    folder = var / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _follow(settings: Any, run_id: str) -> "RunState":
    """Ask every few seconds until the run is over, saying what is at work."""
    import time

    from pipelines import cluster

    with err.status("On the cluster …") as shown:
        while True:
            run = cluster.status(settings, run_id)
            if run.over:
                return run
            working = ", ".join(task.name for task in run.tasks if task.state == "RUNNING")
            shown.update(f"{run.state.lower()}: {working or 'waiting'} …")
            time.sleep(5)


def _facts(run: "RunState") -> dict[str, Any]:
    tasks = [
        {"step": task.name, "state": task.state, "seconds": _seconds(task) or None, "error": task.error or None}
        for task in run.tasks
    ]
    return {"run_id": run.run_id, "name": run.name, "state": run.state, "link": run.link, "tasks": tasks}


def _seconds(task: Any) -> str:
    return f"{(task.end - task.start).total_seconds():.0f}" if task.start and task.end else ""


def _coloured(state: str) -> str:
    colour = _COLOURS.get(state)
    return f"[{colour}]{state.lower()}[/]" if colour else state.lower()
