"""`make bench-data`: what checking, reading, preparing and versioning of data reach, beside what they should.

    python -m commands.bench.data --real ../shared/data --markdown docs/data-figures.md --json
    python -m commands.bench.data --part speed --part memory

Without real radiographs, drawn ones and made-up tables of the same size stand in, and parts without any are left out.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import err, print_json, table

if TYPE_CHECKING:
    from commands.bench.figures import Figure

app = typer.Typer(add_completion=False)
PARTS = ("speed", "memory", "tables", "neighbours", "pose", "lungs", "dicom", "faults", "dvc")


@app.command()
def bench_data(
    part: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(PARTS)}. Repeatable.")] = None,
    real: Annotated[Path | None, typer.Option(help="A folder of real radiographs, laid out as shared/data.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Images of the larger memory run, and files of DVC's.")] = 20_000,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one a core.")] = 0,
    markdown: Annotated[Path | None, typer.Option(help="Write the figures to this page too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Measure the data side of Thorax; about ten minutes on two quiet cores."""
    from commands.bench import data_images as images
    from commands.bench import data_tables as tables
    from commands.bench.figures import rows_of, write_markdown
    from thorax.errors import InputError, nearest

    wanted = tuple(part or PARTS)
    for name in wanted:
        if name not in PARTS:
            raise InputError(f"There is no part {name!r}.", nearest(name, PARTS))
    if real is None and (beside := Path(__file__).resolve().parents[3] / "shared" / "data").is_dir():
        real = beside
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as name:
        scratch = Path(name)
        runs: dict[str, Callable[[], list[Figure]]] = {
            "speed": lambda: images.speed(real, scratch, workers),
            "memory": lambda: images.memory(scratch, count, workers),
            "tables": lambda: tables.tables(real, scratch),
            "neighbours": tables.neighbours,
            "pose": lambda: images.poses(real),
            "lungs": lambda: images.lungs(real),
            "dicom": lambda: images.dicoms(real),
            "faults": tables.faults,
            "dvc": lambda: tables.versions(scratch, count),
        }
        for one in wanted:
            with err.status(f"Measuring: {one}"):
                figures += runs[one]()
    if markdown is not None:
        write_markdown(markdown, "What the data side reaches", _said(), figures)
    if json:
        print_json([figure.as_dict() for figure in figures])
    else:
        table("Data", ("part", "what", "found", "should be", ""), rows_of(figures), right=("found", "should be"))
    if any(figure.good is False for figure in figures):
        raise typer.Exit(1)


def _said() -> str:
    import os
    import platform

    return (
        f"Made by `make bench-data` on {os.cpu_count()} cores ({platform.machine()}). What is measured, and how, is "
        "told in [data](data.md); real radiographs are measured only where they lie beside the project."
    )


if __name__ == "__main__":
    sys.exit(app())
