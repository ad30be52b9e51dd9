"""The journal of retrainings: an append-only file that says what was begun, what is done, and why something failed.

Each line is one JSON object, on the disk before the next step begins. Whoever runs next reads it, and goes on behind
the last step that is done. A retraining is finished when its last line is `end`.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from thorax.errors import InputError
from thorax.files import append_line

Event = Literal["open", "begin", "done", "failed", "paused", "end"]
#: The steps of a retraining, in their order.
STEPS = ("collect", "revise", "train", "promote")
#: A step that was begun so often and never came to an end takes its process down with it.
_DEADLY = 5


@dataclass(frozen=True)
class Entry:
    """One line: when (ISO 8601 in UTC), which retraining, what happened to which step, and the facts."""

    time: str
    retraining: str
    event: Event
    step: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Retraining:
    """One retraining, as its lines tell it.

    Attributes:
        id: also stands in the reason of the version that comes of it.
        opened: when it was decided, ISO 8601 in UTC.
        reason: why, in words.
        origin: `alarm`, or `hand`.
        incident: key of the incident that it answers; "" where a person asked.
        since: the first moment that the alarm was about, ISO 8601; "" where there was none.
        done: a finished step to its facts.
        failures: what failed: step, message, mend.
        begun: how often each step was begun; one that was paused in good order does not count.
        outcome: how it ended, in words; "" while it lasts.
        closed: when it ended.
    """

    id: str
    opened: str
    reason: str
    origin: str
    incident: str = ""
    since: str = ""
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    begun: dict[str, int] = field(default_factory=dict)
    outcome: str = ""
    closed: str = ""

    @property
    def next_step(self) -> str | None:
        """The step to go on with; None where all are done."""
        return next((step for step in STEPS if step not in self.done), None)

    @property
    def mark(self) -> str:
        """What the reason of its version ends with, so that the version can be found again."""
        return f"[retraining {self.id}]"

    @property
    def full_reason(self) -> str:
        """The reason that its version bears."""
        return f"{self.reason} {self.mark}"

    def exhausted(self, attempts: int) -> str:
        """Say why it must not be tried again by itself; "" where it may."""
        if len(self.failures) >= attempts:
            last = self.failures[-1]
            return f"{last['step']} failed {len(self.failures)} times, the last time: {last['message']}"
        step = self.next_step
        failed = sum(item["step"] == step for item in self.failures)
        if step is not None and self.begun.get(step, 0) - failed >= _DEADLY:
            return f"{step} was begun {self.begun[step]} times and never came to an end"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self) | {"next_step": self.next_step}


def journal_path(var: Path) -> Path:
    """Return where an installation keeps it, given `settings.var`."""
    return var / "monitoring" / "retrainings.jsonl"


class Journal:
    """The file. Writers hold the loop's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, retraining: str, event: Event, step: str = "", **facts: Any) -> Entry:
        """Append one line, on the disk when this returns.

        Raises:
            RoomError: the disk is full.
        """
        entry = Entry(datetime.now(UTC).isoformat(timespec="milliseconds"), retraining, event, step, facts)
        append_line(self.path, json.dumps(asdict(entry), sort_keys=True, default=str))
        return entry

    def entries(self) -> list[Entry]:
        """Return every whole line.

        Raises:
            InputError: a line cannot be read; names it.
        """
        return list(self._read())

    def retrainings(self) -> list[Retraining]:
        """Return every retraining, the oldest first.

        Raises:
            InputError: the file is damaged; names the line.
        """
        found: dict[str, Retraining] = {}
        for entry in self._read():
            if entry.event == "open":
                found[entry.retraining] = Retraining(entry.retraining, entry.time, **entry.facts)
                continue
            retraining = found.get(entry.retraining)
            if retraining is None:
                continue
            if entry.event == "begin":
                retraining.begun[entry.step] = retraining.begun.get(entry.step, 0) + 1
            elif entry.event == "paused":
                retraining.begun[entry.step] -= 1
            elif entry.event == "done":
                retraining.done[entry.step] = entry.facts
            elif entry.event == "failed":
                retraining.failures.append({"step": entry.step, **entry.facts})
            else:
                retraining.outcome, retraining.closed = str(entry.facts.get("outcome", "")), entry.time
        return list(found.values())

    def unfinished(self) -> Retraining | None:
        """Return the retraining that was begun and has not ended."""
        return next((item for item in reversed(self.retrainings()) if not item.closed), None)

    def _read(self) -> Iterator[Entry]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), start=1):
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"Line {number} of {self.path} cannot be read.", "Restore it from a backup, or take the line out."
                ) from error
