"""`thorax pipeline`: run the training pipeline, or compile it for a cluster; and the demonstration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands import cluster, trainjob
from commands.console import err, out, print_json, table

if TYPE_CHECKING:
    from pipelines.run import Run
    from thorax.settings import Settings

app = typer.Typer(no_args_is_help=True)
for on_cluster in (
    *(cluster.submit, cluster.schedule, cluster.schedules, cluster.unschedule),
    *(cluster.runs, cluster.status, cluster.cancel, cluster.logs, trainjob.trainjob),
):
    app.command(rich_help_panel="On a Kubeflow cluster")(on_cluster)

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S train.epochs=5. Repeatable."),
]
Preset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A file under presets/ that overrides params.yaml; -S overrides both."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    set_: Set = None,
    preset: Preset = None,
    reason: Annotated[str, typer.Option(help="Reason; stored with the version.")] = "",
    revision: Annotated[str | None, typer.Option(help="Train on the data of a commit, a tag or HEAD~1.")] = None,
    json: Json = False,
) -> None:
    """Train, calibrate, evaluate and register on this machine."""
    from thorax.settings import load

    settings = load(overrides=set_ or (), preset=preset)
    if revision is not None:
        from thorax.datasets.revisions import pin

        settings = pin(settings, revision)
    finished = train(settings, reason)
    if json:
        print_json(finished.summary())
    else:
        show(finished)


@app.command()
def presets(json: Json = False) -> None:
    """List the presets for --preset, and for `dvc exp run -S preset=NAME`."""
    from thorax.settings import find_home, list_presets

    found = list_presets(find_home())
    if json:
        print_json(found)
    else:
        table("Presets", ("name", "description"), found.items())


@app.command("compile")
def compile_(
    target: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("pipeline.yaml"),
    set_: Set = None,
    preset: Preset = None,
) -> None:
    """Compile the pipeline to YAML, for this machine and for a cluster."""
    from pipelines.compile import compile_training
    from thorax.settings import load

    err.print(f"Wrote {compile_training(load(overrides=set_ or (), preset=preset), target)}")


@app.command()
def last(json: Json = False) -> None:
    """Show the time of each step of the latest run, and the share of orchestration."""
    from thorax.errors import InputError
    from thorax.files import read_json
    from thorax.settings import load

    summaries = [read_json(file) for file in sorted(load().var.glob("runs/*/summary.json"))]
    facts = next((summary for summary in reversed(summaries) if summary["steps"]), None)
    if facts is None:
        raise InputError("No run has finished here yet.", "Run: thorax pipeline run")
    if json:
        print_json(facts)
        return
    rows = [(step["step"], step["label"], f"{step['seconds']:.1f}") for step in facts["steps"]]
    table(f"Run {Path(facts['folder']).name}", ("step", "architecture", "seconds"), rows, right=("seconds",))
    out.print(
        f"{facts['seconds']:.1f} s in all, steps at work {facts['computed_seconds']:.1f} s: "
        f"orchestration took {facts['orchestration_share']:.1%}; {len(facts['skipped'])} steps skipped."
    )


def train(settings: "Settings", reason: str) -> "Run":
    """Run the pipeline, showing its progress."""
    from commands.follow import following
    from pipelines.run import run_training

    with following() as follow:
        return run_training(settings, reason, follow)


def show(run: "Run") -> None:
    """Print what a run gave, and what to do next."""
    facts = run.facts
    rows = [
        (
            ("★ " if row["winner"] else "  ") + row["name"],
            *(_interval(row["metrics"][key]) for key in ("auroc", "auprc", "ece")),
            _interval(row["pointing_game"]),
        )
        for row in facts["table"]
    ]
    title = "Test split, mean over findings" + (" — trained on SYNTHETIC phantoms" if facts["synthetic"] else "")
    table(title, ("architecture", "AUROC", "AUPRC", "ECE", "pointing game"), rows)
    said = "Version" if facts["new"] else "Nothing has changed: this is version"
    out.print(f"[bold]{said} {facts['version']}[/] of {facts['name']}: {', '.join(facts['aliases']) or 'no alias'}")
    for gate in facts["gates"]:
        sign = "[green]passed[/]" if gate["passed"] else "[red]failed[/]"
        out.print(f"  gate {gate['name']}: {sign}, {gate['text']}", highlight=False)
    skipped = f", {len(run.skipped)} steps unchanged and skipped" if run.skipped else ""
    if run.steps:
        worked = f"of which steps were at work {run.computed:.1f} s: orchestration took {run.overhead:.1%}{skipped}"
    else:
        worked = f"to see that nothing had changed: all {len(run.skipped)} steps were skipped"
    out.print(f"{run.seconds:.1f} s in all, {worked}.")
    out.print(f"Report: {run.reports / 'comparison.html'}", soft_wrap=True)
    out.print("Next: [cyan]thorax serve[/], [cyan]thorax models list[/], [cyan]make mlflow[/]")


def _interval(metric: dict[str, float] | None) -> str:
    if metric is None:
        return "–"
    return f"{metric['value']:.3f} ({metric['low']:.3f}–{metric['high']:.3f})"


def doctor(json: Json = False) -> None:
    """Check this machine's requirements, and print how to install what is missing."""
    from commands.doctor import examine
    from thorax.settings import find_home

    checks = examine(find_home())
    if json:
        print_json([check._asdict() for check in checks])
    else:
        for check in checks:
            sign = "[green]✓[/]" if check.well else "[red]✗[/]" if check.needed else "[yellow]![/]"
            mend = f" → {check.mend}" if not check.well else ""
            out.print(f"{sign} [bold]{check.name}[/]: {check.found}{mend}")
    if any(check.needed and not check.well for check in checks):
        raise typer.Exit(1)


def demo(set_: Set = None, json: Json = False) -> None:
    """Train, register, serve and monitor a model on synthetic radiographs."""
    from commands.demo import run_demo, show_demo
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    facts = run_demo(settings, tables=not json)
    if json:
        print_json(facts)
    else:
        show_demo(settings, facts)
