"""`make bench-data`: what checking, reading, preparing and versioning of data reach, beside what they should.

    python -m commands.bench.data --real ../shared/data --markdown docs/data-figures.md --json
    python -m commands.bench.data --part speed --part memory

Without real radiographs, drawn ones and made-up tables of the same size stand in, and parts without any are left out.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.bench.parts import Json, Markdown, Real, chosen, measure, real_data, run

if TYPE_CHECKING:
    from commands.bench.figures import Figure

PARTS = ("speed", "memory", "tables", "neighbours", "pose", "lungs", "dicom", "faults", "dvc")


def bench(
    part: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(PARTS)}. Repeatable.")] = None,
    real: Real = None,
    count: Annotated[int, typer.Option(min=1, help="Images of the larger memory run, and files of DVC's.")] = 20_000,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one a core.")] = 0,
    markdown: Markdown = None,
    json: Json = False,
) -> None:
    """Measure the data side of Thorax; about ten minutes on two quiet cores."""
    from commands.bench import data_images as images
    from commands.bench import data_tables as tables
    from commands.bench.page import tell

    wanted, folder = chosen(part, PARTS), real_data(real)
    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as name:
        scratch = Path(name)
        jobs: dict[str, Callable[[], list[Figure]]] = {
            "speed": lambda: images.speed(folder, scratch, workers),
            "memory": lambda: images.memory(scratch, count, workers),
            "tables": lambda: tables.tables(folder, scratch),
            "neighbours": tables.neighbours,
            "pose": lambda: images.poses(folder),
            "lungs": lambda: images.lungs(folder),
            "dicom": lambda: images.dicoms(folder),
            "faults": tables.faults,
            "dvc": lambda: tables.versions(scratch, count),
        }
        tell(measure({name: jobs[name] for name in wanted}), markdown=markdown, json=json)


if __name__ == "__main__":
    run(bench)
