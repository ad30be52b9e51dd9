"""`make bench-serve`: everything that the service must reach, measured on this machine in one run.

    python -m commands.bench.serve                                   all parts
    python -m commands.bench.serve --part speed --part peers         two of them
    python -m commands.bench.serve --markdown docs/serving-figures.md --json

The network is whole but not trained: as fast as a trained one. Each part is bounded in time by its options.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import err, out, print_json, table

if TYPE_CHECKING:
    from commands.bench.figures import Figure
    from thorax.settings import Settings

PARTS = ("speed", "peers", "start", "swap", "kill", "hostile", "memory")


def bench(
    part: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(PARTS)}; repeatable; all without.")] = None,
    architecture: Annotated[str, typer.Option(help="The network.")] = "densenet121",
    size: Annotated[int, typer.Option(min=32, help="px a side that the network reads.")] = 224,
    pixels: Annotated[int, typer.Option(min=64, help="px a side of the files that are sent.")] = 1024,
    clients: Annotated[int, typer.Option(min=1, help="Clients that ask at once.")] = 32,
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement.")] = 12.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of what is compared.")] = 3,
    swaps: Annotated[int, typer.Option(min=1, help="Of the model, under load of 16 clients.")] = 20,
    kills: Annotated[int, typer.Option(min=1, help="Of workers and of the whole service.")] = 50,
    hostile: Annotated[int, typer.Option(min=1, help="Mutated uploads.")] = 10_000,
    examples: Annotated[int, typer.Option(min=1, help="Schemathesis' examples a route.")] = 100,
    minutes: Annotated[float, typer.Option(min=0.05, help="Of mixed load.")] = 10.0,
    real: Annotated[Path | None, typer.Option(help="A folder of real files to mutate too.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Measure this bundle; one is made otherwise.")] = None,
    var: Annotated[str, typer.Option(help="Where the bench keeps what it makes.")] = "var",
    markdown: Annotated[Path | None, typer.Option(help="Write the figures to this page too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Measure the service."""
    from commands.bench.bundle import bench_bundle
    from thorax.errors import InputError, nearest
    from thorax.settings import load

    chosen = tuple(part or PARTS)
    for name in chosen:
        if name not in PARTS:
            raise InputError(f"There is no part {name!r}.", nearest(name, PARTS))
    made, files = bench_bundle(load(overrides=[f"paths.var={var}"]), architecture, size, pixels, 120)
    made, files = (bundle or made).absolute(), files[:24]
    image = files[0].read_bytes()

    def speed(settings: "Settings") -> "list[Figure]":
        from commands.bench.speed import measure

        return measure(settings, made, files, clients, seconds, rounds)

    def peers(settings: "Settings") -> "list[Figure]":
        from commands.bench.peers import measure

        return measure(settings, made, files, clients, seconds, rounds)

    def start(settings: "Settings") -> "list[Figure]":
        from commands.bench.start import measure

        return measure(settings, made, image, rounds)

    def swap(settings: "Settings") -> "list[Figure]":
        from commands.bench.change import measure_swaps

        return measure_swaps(settings, made, files[:8], 16, seconds, swaps)

    def kill(settings: "Settings") -> "list[Figure]":
        from commands.bench.change import measure_kills

        return measure_kills(settings, made, image, 8, kills)

    def hostile_(settings: "Settings") -> "list[Figure]":
        from commands.bench.hostile import measure

        return measure(settings, made, image, hostile, real or _real_data(), examples)

    def memory(settings: "Settings") -> "list[Figure]":
        from commands.bench.memory import measure

        return measure(settings, made, files, minutes, 8)

    every: dict[str, Callable[[Settings], list[Figure]]] = dict(
        zip(PARTS, (speed, peers, start, swap, kill, hostile_, memory), strict=True)
    )
    figures: list[Figure] = []
    for name in chosen:
        began = time.perf_counter()
        place = Path(var, "bench-serve", name).absolute()
        shutil.rmtree(place, ignore_errors=True)
        figures += every[name](load(overrides=[f"paths.var={place}"]))
        err.print(f"{name}: {time.perf_counter() - began:.0f} s", markup=False)
    _show(figures, f"{architecture} at {size} px, {pixels} px files", markdown, json)


def _show(figures: "list[Figure]", what: str, markdown: Path | None, json: bool) -> None:
    from commands.bench.figures import rows_of, write_markdown

    if markdown is not None:
        write_markdown(markdown, "How the service serves", _said(what), figures)
    if json:
        print_json([one.as_dict() for one in figures])
        return
    columns = ("part", "what", "found", "should be", "")
    table(f"The service: {what}", columns, rows_of(figures), right=("found", "should be"))
    out.print("Ratios hold better than times on a machine that does other work too.")


def _said(what: str) -> str:
    import os
    import platform

    return (
        f"Written by `make bench-serve` ({what}; {os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}). The network's weights are random: it is as fast as a trained one, and its "
        "answers mean nothing. What is compared took turns in one run."
    )


def _real_data() -> Path | None:
    """Return the folder of real radiographs that tests use too, where it is at hand."""
    import os

    folder = Path(os.environ.get("THORAX_REAL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    return folder if folder.is_dir() else None


if __name__ == "__main__":
    typer.run(bench)
