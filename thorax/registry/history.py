"""The registry's history: an append-only file of every decision, chained by hashes so that a changed line shows.

Each line is one JSON object. A decision is two lines: the intent, before the registry is touched, and the outcome,
after. An intent without an outcome is what a killed process leaves; the next command carries it out.
"""

import getpass
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thorax import __version__
from thorax.errors import RegistryError
from thorax.files import append_line

GENESIS = "0" * 64
INTENT, DONE = "intent", "done"


@dataclass(frozen=True)
class Entry:
    """One line.

    `source` and `target` are versions ("" for none): who was champion before, and whom the decision is about.
    `link` is the hash of the line before, and `hash` is that of this line with `link` in it.
    """

    sequence: int
    time: str
    stage: str
    action: str
    model: str
    source: str
    target: str
    who: str
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    tool: str = f"thorax {__version__}"
    link: str = GENESIS
    hash: str = ""

    def sealed(self) -> str:
        """Return the SHA-256 (hex) of everything but `hash`."""
        # Not `asdict`, which copies deeply: every command checks every line.
        body = {key: value for key, value in vars(self).items() if key != "hash"}
        return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class History:
    """A history file. Writers must hold the registry's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """Return every whole line, checked against its hash and against the line before.

        A last line without its end is what a process killed while writing leaves, and is left out.

        Raises:
            RegistryError: a line was changed, removed or added; names it.
        """
        link, found = GENESIS, []
        for number, text in enumerate(self._lines(), start=1):
            entry = self._parse(number, text)
            if entry.sequence != number or entry.link != link:
                raise self._broken(number, "does not follow from the line before: one was removed, added or moved")
            if entry.hash != entry.sealed():
                raise self._broken(number, "does not match its own hash: it was changed")
            link = entry.hash
            found.append(entry)
        return found

    def append(
        self,
        stage: str,
        action: str,
        *,
        model: str,
        source: str,
        target: str,
        reason: str,
        evidence: Mapping[str, Any] | None = None,
        who: str | None = None,
        before: Sequence[Entry] | None = None,
    ) -> Entry:
        """Append one line, on the disk when this returns.

        `before` are the lines that the caller, who has held the lock since, has read and checked.

        Raises:
            RegistryError: the file is damaged; nothing is appended to a broken chain.
            RoomError: the disk is full.
        """
        before = self.entries() if before is None else before
        draft = Entry(
            sequence=len(before) + 1,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            stage=stage,
            action=action,
            model=model,
            source=source,
            target=target,
            who=who or user(),
            reason=reason,
            evidence=json.loads(json.dumps(dict(evidence or {}), default=str)),
            link=before[-1].hash if before else GENESIS,
        )
        entry = Entry(**{**asdict(draft), "hash": draft.sealed()})
        append_line(self.path, json.dumps(asdict(entry), sort_keys=True, ensure_ascii=True))
        return entry

    def pending(self, entries: Sequence[Entry] | None = None) -> Entry | None:
        """Return the intent that has no outcome yet, if the last line is one."""
        lines = self.entries() if entries is None else entries
        return lines[-1] if lines and lines[-1].stage == INTENT else None

    def _lines(self) -> Iterator[str]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        for raw in whole.splitlines():
            yield raw.decode("utf-8", errors="replace")

    def _parse(self, number: int, text: str) -> Entry:
        try:
            return Entry(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise self._broken(number, "cannot be read") from error

    def _broken(self, number: int, what: str) -> RegistryError:
        return RegistryError(
            f"Line {number} of {self.path} {what}.",
            "Restore it from a backup, or start a new chain: thorax models audit --accept --reason …",
        )


def user() -> str:
    """Return who is at work: `THORAX_USER`, else the name that MLflow's server is told, else the system's account."""
    for name in ("THORAX_USER", "MLFLOW_TRACKING_USERNAME"):
        if told := os.environ.get(name, "").strip():
            return told
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def champions(entries: Sequence[Entry], model: str) -> list[str]:
    """Return the versions that a rollback goes back through, the present champion last.

    A promotion puts its version on top; a rollback takes off everything above the version it goes to.
    """
    stack: list[str] = []
    for entry in entries:
        if entry.model != model or entry.stage != DONE:
            continue
        if entry.action in {"promote", "outside", "accept"} and entry.target:
            stack.append(entry.target)
        elif entry.action == "outside":
            stack.clear()
        elif entry.action == "rollback":
            if entry.target in stack:
                del stack[len(stack) - stack[::-1].index(entry.target) :]
            else:
                stack.append(entry.target)
    return stack


def ever_champion(entries: Sequence[Entry], model: str) -> set[str]:
    """Return every version that was champion at some time."""
    actions = {"promote", "rollback", "outside", "accept"}
    return {e.target for e in entries if e.model == model and e.stage == DONE and e.action in actions and e.target}
