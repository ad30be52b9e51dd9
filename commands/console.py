"""How commands speak: one console, tables, progress bars, JSON for machines, and errors without a traceback."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from thorax.errors import ThoraxError

#: The width of a file or pipe, which has none: nothing is wrapped there unless COLUMNS says so.
_UNLIMITED = 100_000
#: Characters that a column takes besides its text: padding and divider.
_BESIDE = 3
#: Seconds without a line after which a long command that does not run in a terminal says that it is still at work.
HEARTBEAT = 30.0


class _Console(Console):
    """A console that wraps lines in a terminal, or where COLUMNS is set, and nowhere else."""

    @property
    def size(self) -> ConsoleDimensions:
        """Width and height in characters."""
        if (columns := os.environ.get("COLUMNS", "")).isdigit():
            return ConsoleDimensions(max(int(columns), 20), 25)
        return super().size if self.is_terminal else ConsoleDimensions(_UNLIMITED, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


#: What a person reads goes to standard output; progress and errors to standard error.
out = _Console(highlight=False, emoji=False)
err = _Console(stderr=True, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """Print `value` as JSON for a machine, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = ()) -> None:
    """Print a table; the columns named in `right` are aligned to the right, as figures are.

    A word is never broken: columns share the width so that each holds its longest word, and where that does not fit,
    every row is printed as a record, a line a column.
    """
    cells = [[Text.from_markup(str(cell), emoji=False) for cell in row] for row in rows]
    heads = [Text(column, style="bold cyan") for column in columns]
    widths = _widths([heads, *cells], out.width)
    if widths is None:
        _records(title, heads, cells)
        return
    grid = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_edge=False)
    aligned = set(right)
    for head, width in zip(heads, widths, strict=True):
        grid.add_column(head, justify="right" if head.plain in aligned else "left", width=width)
    for row in cells:
        grid.add_row(*row)
    out.print(grid, width=min(out.width, max(sum(widths) + _BESIDE * len(widths), len(title))))


def _widths(rows: Sequence[Sequence[Text]], width: int) -> list[int] | None:
    """Return a width for each column in which no word is broken; None where a line of `width` cannot hold them.

    Args:
        rows: the heads, and the cells of every row.
        width: of the line, in characters.
    """
    columns = list(zip(*rows, strict=True))
    room = width - _BESIDE * len(columns)
    least = [max((Text(word).cell_len for cell in c for word in cell.plain.split()), default=0) for c in columns]
    natural = [max(Text(line).cell_len for cell in c for line in cell.plain.split("\n")) for c in columns]
    if sum(least) > room:
        return None
    found = [max(one, 1) for one in least]
    # Room that is left goes to the columns that lack most, a character at a time.
    for _ in range(min(room - sum(least), sum(natural) - sum(least))):
        lacking = [have - wanted for have, wanted in zip(found, natural, strict=True)]
        found[lacking.index(min(lacking))] += 1
    return found


def _records(title: str, heads: Sequence[Text], rows: Sequence[Sequence[Text]]) -> None:
    """Print each row as lines of `head  cell`; a word that is longer than a line is left to the terminal."""
    out.print(Text(title, style="bold"))
    wide = max(head.cell_len for head in heads) + 2
    for row in rows:
        out.print()
        for head, cell in zip(heads, row, strict=True):
            room = out.width - wide
            longest = max((Text(word).cell_len for word in cell.plain.split()), default=0)
            label = Text.assemble(head, " " * (wide - head.cell_len))
            if longest > room:
                out.print(label + cell, soft_wrap=True)
                continue
            grid = Table.grid()
            grid.add_column(width=wide)
            grid.add_column()
            grid.add_row(label, cell)
            out.print(grid)


@contextmanager
def telling_errors() -> Iterator[None]:
    """Print an error with its fix, and end the process with its exit code."""
    try:
        yield
    except ThoraxError as error:
        from rich.markup import escape

        err.print(f"[bold red]error:[/] {escape(error.message)}")
        if error.mend:
            err.print(f"[bold]→[/] {escape(error.mend)}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("\n[yellow]Interrupted.[/] Finished work is kept; run the same command again to continue.")
        sys.exit(130)


class Advance(Protocol):
    """Moves a progress bar on by `step`."""

    def __call__(self, step: int = 1) -> None:
        """Advance by `step`."""

    def expect(self, total: int) -> None:
        """Set the total, where it was not known at first."""


class _Bar:
    """One task of a progress bar."""

    def __init__(self, bar: Progress, label: str, total: int | None) -> None:
        self._bar, self._task = bar, bar.add_task(label, total=total)

    def __call__(self, step: int = 1) -> None:
        self._bar.advance(self._task, step)

    def expect(self, total: int) -> None:
        self._bar.update(self._task, total=total)


class _Count:
    """The same as text, for a log file."""

    def __init__(self, label: str, total: int | None) -> None:
        self._label, self._total, self._done, self._began = label, total, 0, time.monotonic()

    def __call__(self, step: int = 1) -> None:
        self._done += step

    def expect(self, total: int) -> None:
        self._total = total

    def __str__(self) -> str:
        seconds = time.monotonic() - self._began
        if not self._total:
            return f"{self._label}: {self._done:,}, {seconds:.0f} s"
        left = (
            f", {seconds / self._done * (self._total - self._done):.0f} s left" if 0 < self._done < self._total else ""
        )
        return f"{self._label}: {self._done:,} of {self._total:,}, {seconds:.0f} s{left}"


class Heartbeat:
    """Prints a line on standard error where nothing was printed for `HEARTBEAT` seconds.

    Args:
        line: returns what to print; "" for nothing.
    """

    def __init__(self, line: Callable[[], str]) -> None:
        self._line, self._last, self._over = line, time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def printed(self) -> None:
        """Say that a line was printed."""
        self._last = time.monotonic()

    def _run(self) -> None:
        while not self._over.wait(min(1.0, HEARTBEAT / 4)):
            if time.monotonic() - self._last >= HEARTBEAT and (line := self._line()):
                err.print(line, markup=False)
                self.printed()

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show on standard error how far something long is; yield its advance function.

    In a terminal it is a bar with count, elapsed and remaining time; elsewhere a line every half minute.
    """
    if not err.is_terminal:
        count = _Count(label, total)
        with Heartbeat(lambda: str(count)):
            yield count
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as bar:
        yield _Bar(bar, label, total)
