"""What a dataset of any size would take on a cluster of any kind: time, cost, storage, and what is full first.

    python -m commands.bench.simulate --images 1000000 --tasks 64 --gpus 8 --nodes 4
    python -m commands.bench.simulate --suggest --hours 24

Rates are those that `make bench-scale` measured; everything else is an assumption, and an option here.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from commands.bench.figures import Table
from commands.bench.parts import run

if TYPE_CHECKING:
    from commands.bench.scale_model import Cluster, Rates

SIZES = (1_000, 112_000, 1_000_000, 100_000_000)
#: Of the suggestion on the page.
HOURS = 12.0


def simulate(
    images: Annotated[list[int] | None, typer.Option(min=1, help="Images; repeatable.")] = None,
    architecture: Annotated[str, typer.Option(help="What is trained.")] = "densenet121",
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Add tasks, GPUs and nodes until both are in time.")
    ] = False,
    hours: Annotated[float, typer.Option(min=0.1, help="In which preparing and training should each be done.")] = HOURS,
    tasks: Annotated[int, typer.Option(min=1, help="That prepare images side by side.")] = 1,
    task_cores: Annotated[int, typer.Option(min=1, help="Of each task.")] = 8,
    nodes: Annotated[int, typer.Option(min=1, help="That train together.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, help="Of each node; 0: it trains on its cores.")] = 1,
    core_hour: Annotated[float, typer.Option(min=0, help="Price.")] = 0.05,
    gpu_hour: Annotated[float, typer.Option(min=0, help="Price.")] = 3.0,
    gigabyte_month: Annotated[float, typer.Option(min=0, help="Price of storage.")] = 0.02,
    disk: Annotated[float, typer.Option(min=1, help="Megabytes a second of the shared volume.")] = 500,
    network: Annotated[float, typer.Option(min=1, help="Megabytes a second of a node.")] = 1250,
    memory: Annotated[float, typer.Option(min=1, help="GiB of a step that one process does.")] = 64,
    gpu_tflops: Annotated[float, typer.Option(min=1, help="Of a GPU, dense bfloat16.")] = 312,
    gpu_share: Annotated[float, typer.Option(min=0.01, max=1, help="Of them that training reaches.")] = 0.1,
    epochs: Annotated[int, typer.Option(min=1, help="Of training.")] = 30,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Reckon what a run would take."""
    from commands.bench import scale_model as model
    from commands.bench.page import show
    from commands.console import print_json
    from thorax.errors import InputError, nearest

    rates = model.Rates.read()
    if architecture not in rates.flops:
        raise InputError(f"No rate of {architecture!r} was measured.", nearest(architecture, tuple(rates.flops)))
    cluster = model.Cluster(
        tasks=tasks, task_cores=task_cores, nodes=nodes, gpus=gpus, core_hour=core_hour, gpu_hour=gpu_hour,
        gigabyte_month=gigabyte_month, disk=disk * 1e6, network=network * 1e6, memory=memory * 2**30,
        gpu_flops=gpu_tflops * 1e12, gpu_share=gpu_share, epochs=epochs,
    )  # fmt: skip
    answers = []
    for count in images or SIZES:
        used = model.suggest(count, rates, cluster, architecture, hours) if suggest else cluster
        steps = model.plan(count, rates, used, architecture)
        answers.append({"images": count, "cluster": asdict(used), "steps": [asdict(step) for step in steps]})
        if not json:
            show(_title(count, used), steps_table(count, rates, used, architecture))
    if json:
        print_json(answers)


def tables(sizes: Sequence[int] = SIZES) -> dict[str, Table]:
    """Return the page's tables: each size on one node and widened, its steps, all networks, and storage."""
    from commands.bench import scale_model as model

    rates, found = model.Rates.read(), {}
    columns = (
        "images",
        "tasks × cores",
        "nodes × GPUs",
        "time",
        "of it training",
        "cost",
        "full first",
        "lacks memory",
    )
    rows = [
        _summary(count, rates, cluster)
        for count in sizes
        for cluster in dict.fromkeys((model.Cluster(), model.suggest(count, rates, model.Cluster(), hours=HOURS)))
    ]
    found["Simulated: a run for DenseNet-121"] = Table(columns, rows)
    for count in sizes:
        cluster = model.suggest(count, rates, model.Cluster(), hours=HOURS)
        found[f"Simulated: {count:,} images, {_title(count, cluster)}"] = steps_table(count, rates, cluster)
    found["Simulated: training, 30 epochs"] = _trainings(sizes, rates)
    found["Simulated: storage"] = _storage(sizes, rates)
    return found


def steps_table(images: int, rates: "Rates", cluster: "Cluster", architecture: str = "densenet121") -> Table:
    """Return what each step takes, a row each."""
    from commands.bench.scale_model import plan

    rows = [
        (
            step.name,
            duration(step.seconds),
            f"${step.cost:,.2f}",
            _bytes(step.memory) if step.memory else "",
            _bytes(step.storage) if step.storage else "",
            f"**{step.bound}**" if step.bound == "memory" else step.bound,
        )
        for step in plan(images, rates, cluster, architecture)
    ]
    return Table(("step", "time", "cost", "memory", "leaves", "full first"), rows)


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(42), duration(600), duration(7200), duration(400000)
    ('42 s', '10 min', '2.0 h', '4.6 days')
    """
    for bound, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < bound:
            return f"{seconds / unit:.{1 if name == 'h' else 0}f} {name}"
    days = seconds / 86_400
    return f"{days:.1f} days" if days < 100 else f"{days:,.0f} days"


def _summary(images: int, rates: "Rates", cluster: "Cluster") -> tuple[str, ...]:
    from commands.bench.scale_model import plan

    steps = [step for step in plan(images, rates, cluster) if step.name not in ("serve", "drift")]
    whole = sum(step.seconds for step in steps)
    [train] = [step for step in steps if step.name == "train"]
    slowest = max(steps, key=lambda step: step.seconds)
    lacking = [step.name for step in steps if step.bound == "memory"]
    return (
        f"{images:,}",
        f"{cluster.tasks} × {cluster.task_cores}",
        f"{cluster.nodes} × {cluster.gpus}",
        duration(whole),
        duration(train.seconds),
        f"${sum(step.cost for step in steps):,.2f}",
        f"{slowest.bound} ({slowest.name})",
        ", ".join(lacking),
    )


def _trainings(sizes: Sequence[int], rates: "Rates") -> Table:
    from commands.bench import scale_model as model

    rows = []
    for name in rates.flops:
        cells = [name]
        for gpus in (0, 1):
            cluster = replace(model.Cluster(), gpus=gpus)
            for count in sizes:
                [step] = [one for one in model.plan(count, rates, cluster, name) if one.name == "train"]
                cells.append(duration(step.seconds))
        rows.append(tuple(cells))
    names = [f"{count:,}, {kind}" for kind in ("8 cores", "one GPU") for count in sizes]
    return Table(("network", *names), rows)


def _storage(sizes: Sequence[int], rates: "Rates") -> Table:
    from commands.bench.scale_model import Cluster, storage

    price = Cluster().gigabyte_month
    rows = []
    for count in sizes:
        held = storage(count, rates)
        month = sum(held.values()) / 1e9 * price
        rows.append((f"{count:,}", *map(_bytes, held.values()), f"${month:,.2f}"))
    return Table(("images", "radiographs", "image store", "answers, a network", "a month"), rows)


def _title(images: int, cluster: "Cluster") -> str:
    return (
        f"{cluster.tasks} tasks of {cluster.task_cores} cores, {cluster.nodes} × {cluster.gpus} GPUs, "
        f"{-(-images // cluster.shard):,} shards"
    )


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if count >= 10 else f"{count:.1f} {unit}"


if __name__ == "__main__":
    run(simulate)
