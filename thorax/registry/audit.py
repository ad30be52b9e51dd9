"""Whether history and registry tell the same story, and whether every bundle is what was registered."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from thorax.errors import GateError, RegistryError, ThoraxError
from thorax.registry.bundles import download, verify_version
from thorax.registry.decisions import check_head, heal, history_of, remember
from thorax.registry.history import DONE, Entry, champions
from thorax.registry.tracking import client, locked, speaking
from thorax.registry.versions import BUNDLE_PATH, CHAMPION, Version, aliases, list_versions
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

Severity = Literal["problem", "note"]


@dataclass(frozen=True)
class Remark:
    """One thing that an audit found; `subject` is the history, an alias or a version."""

    severity: Severity
    subject: str
    text: str


def audit(settings: Settings, *, bundles: bool = True) -> list[Remark]:
    """Compare history and registry, and change nothing.

    Args:
        settings: where the registry is.
        bundles: also fetch every version's bundle and compare each file with its digest.

    Returns:
        What was found; empty where all is well.

    Raises:
        RegistryError: the registry cannot be reached.
    """
    connection = client(settings)
    with locked(settings), speaking(settings):
        named = aliases(settings, connection)
        versions = list_versions(settings)
        found = _history(settings, connection, named.get(CHAMPION, ""), {item.version for item in versions})
        found += _states(versions, named, settings.registry.require_approval)
    if bundles:
        found += [remark for version in versions for remark in _bundle(settings, version)]
    return found


def accept(settings: Settings, *, reason: str) -> Entry:
    """Put a damaged history aside and begin a new chain from the registry as it stands.

    The old file stays beside the new one, under its time; the new chain begins with who did this, and why.

    Raises:
        GateError: no reason is given, or the history is sound.
    """
    if not reason.strip():
        raise GateError("Starting a new history needs a reason, which is recorded.", "Add --reason.")
    connection = client(settings)
    history = history_of(settings)
    with locked(settings), speaking(settings):
        try:
            heal(settings, connection)
        except RegistryError as error:
            because = error.message
        else:
            raise GateError(f"The history {history.path} is sound.", "There is nothing to accept.")
        if history.path.exists():
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            history.path.replace(history.path.with_name(f"{history.path.stem}.{stamp}.set-aside.jsonl"))
        entry = history.append(
            DONE,
            "accept",
            model=settings.registry.name,
            source="",
            target=aliases(settings, connection).get(CHAMPION, ""),
            reason=reason.strip(),
            evidence={"because": because},
        )
        remember(settings, connection, entry)
    return entry


def _history(settings: Settings, connection: "MlflowClient", champion: str, known: set[str]) -> list[Remark]:
    history = history_of(settings)
    try:
        entries = history.entries()
        check_head(settings, connection, entries)
    except RegistryError as error:
        return [Remark("problem", "history", error.message)]
    found = []
    pending = history.pending(entries)
    if pending is not None:
        text = f"the {pending.action} of version {pending.target} was interrupted; the next decision carries it out"
        found.append(Remark("note", "history", text))
    stack = champions(entries, settings.registry.name)
    believed = stack[-1] if stack else ""
    if believed != champion and pending is None:
        text = f"the registry's champion is {champion or 'nobody'}, the history's is {believed or 'nobody'}"
        found.append(Remark("problem", f"alias {CHAMPION}", f"{text}: it was changed outside of this history"))
    mentioned = {entry.target for entry in entries if entry.model == settings.registry.name and entry.target}
    gone = "stands in the history and is gone from the registry"
    return found + [Remark("note", f"version {number}", gone) for number in sorted(mentioned - known, key=int)]


def _states(versions: list[Version], named: dict[str, str], approval: bool) -> list[Remark]:
    known = {item.version for item in versions}
    found = [
        Remark("problem", f"alias {alias}", f"points to version {number}, which is gone")
        for alias, number in sorted(named.items())
        if number not in known
    ]
    for item in versions:
        says, is_ = item.state == CHAMPION, CHAMPION in item.aliases
        if says != is_:
            text = f"its state is {item.state}, and it is {'' if is_ else 'not '}champion"
            found.append(Remark("note", f"version {item.version}", text))
        if is_ and approval and not item.approvals:
            text = "is champion, and no second person has approved it"
            found.append(Remark("note", f"version {item.version}", text))
        if is_ and not item.passed:
            text = f"is champion though its gates did not pass: {item.forced}" if item.forced else "did not pass"
            found.append(Remark("note" if item.forced else "problem", f"version {item.version}", text))
    return found


def _bundle(settings: Settings, version: Version) -> list[Remark]:
    subject = f"version {version.version}"
    if not version.bundle_digest:
        return [Remark("note", subject, "was not registered by Thorax: it has no bundle")]
    try:
        with tempfile.TemporaryDirectory() as folder:
            verify_version(download(settings, version, version.tags[BUNDLE_PATH], Path(folder)), version)
    except ThoraxError as error:
        return [Remark("problem", subject, error.message)]
    return []
