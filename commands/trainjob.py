"""`thorax pipeline trainjob`: training on several nodes, as a manifest for Kubeflow Trainer."""

from pathlib import Path
from typing import Annotated

import typer

from commands.console import out, print_json


def trainjob(
    target: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("trainjob.yaml"),
    architecture: Annotated[
        list[str] | None, typer.Option(help="Only this network; repeatable. Default: train.architectures.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting. Repeatable."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write TrainJobs that train on several nodes (Kubeflow Trainer v2)."""
    from pipelines.trainjob import write_train_jobs
    from thorax.settings import load

    names = write_train_jobs(load(overrides=set_ or ()), target, architecture or ())
    if json:
        print_json({"file": str(target), "jobs": names})
    else:
        out.print(f"Wrote {', '.join(names)} to {target}.", highlight=False)
        out.print(f"Next: [cyan]kubectl apply -f {target}[/], [cyan]kubectl get trainjobs[/]")
