"""How commands speak: one console, tables, progress bars, JSON for machines, and errors without a traceback."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from thorax.errors import ThoraxError

#: What a person reads goes to standard output; progress and errors to standard error.
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print `value` as JSON for a machine, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = ()) -> None:
    """Print a table; the columns named in `right` are aligned to the right, as figures are.

    Without upright lines more fits into 80 columns, and what does not is wrapped: a path that is cut off opens nothing.
    """
    grid = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold cyan",
        box=SIMPLE_HEAD,
        show_edge=False,
    )
    aligned = set(right)
    for column in columns:
        grid.add_column(column, justify="right" if column in aligned else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    out.print(grid)


@contextmanager
def telling_errors() -> Iterator[None]:
    """Print a refusal with what to do about it, and end the process with its exit code."""
    try:
        yield
    except ThoraxError as error:
        from rich.markup import escape

        err.print(f"[bold red]error:[/] {escape(error.message)}")
        if error.mend:
            err.print(f"[bold]→[/] {escape(error.mend)}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("\n[yellow]Interrupted.[/] What was finished is kept; run the same command to go on.")
        sys.exit(130)


class Advance(Protocol):
    """Tell a progress bar that `step` more are done."""

    def __call__(self, step: int = 1) -> None:
        """Advance by `step`."""

    def expect(self, total: int) -> None:
        """Say how many there are, where it was not known at first."""


class _Bar:
    """One task of a progress bar."""

    def __init__(self, bar: Progress, label: str, total: int | None) -> None:
        self._bar, self._task = bar, bar.add_task(label, total=total)

    def __call__(self, step: int = 1) -> None:
        self._bar.advance(self._task, step)

    def expect(self, total: int) -> None:
        self._bar.update(self._task, total=total)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show a progress bar on standard error with count, elapsed and remaining time; yield its advance function."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=not err.is_terminal) as bar:
        yield _Bar(bar, label, total)
