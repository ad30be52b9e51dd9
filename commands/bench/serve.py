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

from commands.bench import parts
from commands.console import err

if TYPE_CHECKING:
    from commands.bench.figures import Figure
    from thorax.settings import Settings

PARTS = ("precision", "speed", "peers", "start", "swap", "kill", "hostile", "memory")


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
    markdown: parts.Markdown = None,
    json: parts.Json = False,
) -> None:
    """Measure the service."""
    from commands.bench.bundle import bench_bundle
    from commands.bench.page import tell
    from thorax.settings import load

    chosen = parts.chosen(part, PARTS)
    made, files = bench_bundle(load(overrides=[f"paths.var={var}"]), architecture, size, pixels, 120)
    made, all_files, files = (bundle or made).absolute(), files, files[:24]
    image = files[0].read_bytes()

    def precision(_: "Settings") -> "list[Figure]":
        from commands.bench.precision import measure

        return measure(made, all_files)

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

        return measure(settings, made, image, hostile, real or parts.real_data(), examples)

    def memory(settings: "Settings") -> "list[Figure]":
        from commands.bench.memory import measure

        return measure(settings, made, files, minutes, 8)

    every: dict[str, Callable[[Settings], list[Figure]]] = dict(
        zip(PARTS, (precision, speed, peers, start, swap, kill, hostile_, memory), strict=True)
    )
    figures: list[Figure] = []
    for name in chosen:
        began = time.perf_counter()
        place = Path(var, "bench-serve", name).absolute()
        shutil.rmtree(place, ignore_errors=True)
        figures += every[name](load(overrides=[f"paths.var={place}"]))
        err.print(f"{name}: {time.perf_counter() - began:.0f} s", markup=False)
    told = f"{architecture} at {size} px, {pixels} px files; what is compared took turns in one run."
    tell(figures, markdown=markdown, json=json, said=told)


if __name__ == "__main__":
    parts.run(bench)
