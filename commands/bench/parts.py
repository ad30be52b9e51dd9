"""What all benches share: which of their parts run, on which radiographs, and how they are started."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from commands.bench.figures import Figure
from commands.console import err, telling_errors
from thorax.errors import InputError, nearest

#: Options that every bench takes.
Real = Annotated[Path | None, typer.Option(help="Folder of real radiographs; default: THORAX_REAL_DATA.")]
Markdown = Annotated[Path | None, typer.Option(help="Keep the figures on this page too.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]


def chosen(named: Iterable[str] | None, parts: Collection[str]) -> list[str]:
    """Return the parts that were asked for, all where none was.

    Raises:
        InputError: there is no such part.
    """
    wanted = list(named or parts)
    for name in wanted:
        if name not in parts:
            raise InputError(f"There is no part {name!r}.", nearest(name, parts))
    return wanted


def measure(jobs: Mapping[str, Callable[[], list[Figure]]]) -> list[Figure]:
    """Run parts one after the other, and say on standard error how long each took."""
    figures: list[Figure] = []
    for name, job in jobs.items():
        err.print(f"{name} …", markup=False)
        began = time.perf_counter()
        figures += job()
        err.print(f"{name}: {time.perf_counter() - began:.0f} s", markup=False)
    return figures


def real_data(named: Path | None = None) -> Path | None:
    """Return the folder of real radiographs: one with `nih256`, and what else `make bench-…` reads, beside it.

    Args:
        named: by the user; else `THORAX_REAL_DATA` counts, else `shared/data` beside the project.

    Returns:
        The folder, or None where there is none.

    Raises:
        InputError: the folder that was named holds no `nih256`.
    """
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = named or Path(os.environ.get("THORAX_REAL_DATA", beside))
    if (folder / "nih256").is_dir():
        return folder.resolve()
    if named is not None:
        raise InputError(
            f"{named} holds no folder nih256.", "Name a folder of real radiographs laid out as the tests'."
        )
    return None


def run(bench: Callable[..., None]) -> None:
    """Run a bench as a command of its own."""
    with telling_errors():
        typer.run(bench)
