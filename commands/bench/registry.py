"""`make bench-registry`: how quick and how safe promotion is, and how often the gate against the champion is wrong.

    python -m commands.bench.registry --markdown docs/registry.md --json

Four parts, on a scratch registry filled with copies of the newest bundle of this project (or of `--bundle`):

- *speed*: wall time of `thorax models promote` and `rollback`, start of the process included, and of `thorax --help`;
- *load*: the registered bundle through MLflow with pickle forbidden, after PyTorch is imported;
- *race*: processes that promote different versions at once; nothing may be lost;
- *simulation*: pairs of models whose true difference is known, and how many challengers pass.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.bench.parts import Json, Markdown, chosen, measure, run

if TYPE_CHECKING:
    from commands.bench.figures import Figure

PARTS = ("speed", "load", "race", "simulation")


def bench(
    part: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PARTS)}; repeatable. Default: all.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="A bundle; default: the newest version's.")] = None,
    processes: Annotated[int, typer.Option(min=2, help="That promote at once.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Promotions a process.")] = 200,
    pairs: Annotated[int, typer.Option(min=10, help="Pairs of models a row of the simulation.")] = 1000,
    patients: Annotated[int, typer.Option(min=50, help="Patients of the simulated test split.")] = 400,
    repeats: Annotated[int, typer.Option(min=1, help="Of each timing; the median counts.")] = 5,
    markdown: Markdown = None,
    json: Json = False,
) -> None:
    """Measure promotion: its time, its safety, and the errors of the gate against the champion."""
    from commands.bench import registry_parts as parts
    from commands.bench.page import tell
    from thorax.settings import load

    wanted, settings = chosen(part, PARTS), load()
    with parts.scratch(settings, bundle, wanted, versions=max(processes, 2)) as home:
        jobs: dict[str, Callable[[], list[Figure]]] = {
            "speed": lambda: parts.speed(home, repeats),
            "load": lambda: parts.loading(home, repeats),
            "race": lambda: parts.race_figures(parts.race(home, processes, rounds)),
            "simulation": lambda: parts.simulation(settings, pairs, patients),
        }
        tell(measure({name: jobs[name] for name in wanted}), markdown=markdown, json=json)


if __name__ == "__main__":
    run(bench)
