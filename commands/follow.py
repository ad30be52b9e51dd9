"""A pipeline run as a person sees it: a line a step, with its bar, what it found, and how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from commands.console import Heartbeat, err


class Board:
    """Keeps the state of every step from its events, and draws it."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        """Take one event."""
        key = (event["step"], event["label"])
        row = self._rows.setdefault(key, {"began": event["time"], "state": "running", "text": "", "share": None})
        kind = event["event"]
        if kind == "begin":
            row |= {"began": event["time"], "state": "running"}  # once more, where a step is retried
        elif kind == "progress" and event["total"]:
            row |= {"share": event["done"] / event["total"], "text": event["text"]}
        elif kind in ("message", "warning"):
            row["text"] = event["text"]
        elif kind == "end":
            row |= {"state": "done", "seconds": event["seconds"]}
        elif kind == "error":
            row |= {"state": "failed", "text": event["message"].splitlines()[0]}

    def __rich__(self) -> Group:
        grid = Table.grid(padding=(0, 1))
        for (step, label), row in self._rows.items():
            sign = {"running": "[cyan]●[/]", "done": "[green]✓[/]", "failed": "[red]✗[/]"}[row["state"]]
            seconds = row.get("seconds", time.time() - row["began"])
            bar: ProgressBar | str = ""
            if row["state"] == "running" and row["share"] is not None:
                bar = ProgressBar(total=1.0, completed=row["share"], width=18)
            grid.add_row(sign, f"[bold]{step}[/]", label, f"{seconds:5.1f} s", bar, escape(row["text"]))
        return Group(grid)


class Lines:
    """The same for a log file: a line when a step begins, says something or ends, and at least every half minute."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[float, str]] = {}
        self.heartbeat = Heartbeat(self._still)

    def __call__(self, event: dict[str, Any]) -> None:
        """Print one event."""
        name = f"{event['step']} {event['label']}".strip()
        kind = event["event"]
        if kind == "progress":
            began = self._running.get(name, (event["time"], ""))[0]
            share = f"{event['done'] / event['total']:.0%}" if event["total"] else ""
            self._running[name] = (began, ", ".join(filter(None, (share, event["text"]))))
            return
        if kind == "begin":
            self._running[name] = (event["time"], "")
            line = f"{name} …"
        elif kind == "end":
            self._running.pop(name, None)
            line = f"{name} done in {event['seconds']:.1f} s"
        elif kind in ("message", "warning"):
            line = f"{name}: {event['text']}"
        else:
            # What stopped a step is printed as the command's error.
            self._running.pop(name, None)
            return
        err.print(line, markup=False)
        self.heartbeat.printed()

    def _still(self) -> str:
        """Say what is running, for how long and how far it is."""
        now = time.time()
        running = [
            f"{name} running for {now - began:.0f} s{f' ({far})' if far else ''}"
            for name, (began, far) in list(self._running.items())
        ]
        return "; ".join(running)


@contextmanager
def following() -> Iterator[Any]:
    """Yield a function that takes events and shows them: live in a terminal, as lines elsewhere."""
    if not err.is_terminal:
        lines = Lines()
        with lines.heartbeat:
            yield lines
        return
    board = Board()
    with Live(board, console=err, refresh_per_second=5):
        yield board
