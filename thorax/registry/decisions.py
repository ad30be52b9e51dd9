"""How a decision reaches the registry: whole or not at all, and recorded.

The order is: write the intent into the history, change the registry, write the outcome. A process may be killed
between any two of these; `heal`, which every decision begins with, carries the intent out.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thorax.errors import RegistryError
from thorax.registry.history import DONE, INTENT, Entry, History, champions
from thorax.registry.tracking import refused
from thorax.registry.versions import (
    AGAINST,
    APPROVED,
    CHALLENGER,
    CHAMPION,
    FORCED,
    GATE,
    STATE,
    VALIDATION,
    aliases,
    exists,
)
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: The state that a decision gives to the version it is about, and to the champion that it replaces.
_STATES = {
    "challenge": (CHALLENGER, None),
    "promote": (CHAMPION, "retired"),
    "rollback": (CHAMPION, "withdrawn"),
    "reject": ("rejected", None),
}


@dataclass(frozen=True)
class Decision:
    """What was decided: `changed` is False where the registry stood so already and nothing was written."""

    action: str
    version: str
    previous: str
    changed: bool
    entry: Entry | None


def history_of(settings: Settings) -> History:
    """Return the history of this installation."""
    return History(settings.var / "registry-history.jsonl")


def decide(
    settings: Settings,
    connection: "MlflowClient",
    action: str,
    source: str,
    target: str,
    reason: str,
    evidence: Mapping[str, Any],
) -> Decision:
    """Record and carry out one decision; the caller holds the lock and has healed.

    Raises:
        MlflowException: the registry refused, which is recorded and leaves nothing to be carried out; or it went away
            meanwhile, and the next decision carries this one out.
    """
    history = history_of(settings)
    facts: dict[str, Any] = {
        "model": settings.registry.name,
        "source": source,
        "target": target,
        "reason": reason.strip(),
        "evidence": evidence,
    }
    before = history.entries()
    intent = history.append(INTENT, action, **facts, before=before)
    begun = [*before, intent]
    try:
        _apply(settings, connection, intent)
    except Exception as error:
        if (refusal := refused(error)) is not None:
            # Otherwise the next user, who may have the right, would carry out what this one must not.
            facts["evidence"] = {**evidence, "wanted": action, "because": refusal}
            history.append(DONE, "refused", **facts, before=begun)
        raise
    done = history.append(DONE, action, **facts, before=begun)
    remember(settings, connection, done)
    return Decision(action, target, source, changed=True, entry=done)


def heal(settings: Settings, connection: "MlflowClient") -> list[Entry]:
    """Carry out what a killed process left undone, record what others changed, and return the history.

    The caller holds the lock.

    Raises:
        RegistryError: the history was changed or cut short.
    """
    history = history_of(settings)
    entries = history.entries()
    check_head(settings, connection, entries)
    pending = history.pending(entries)
    if pending is not None:
        entries.append(_finish(settings, connection, history, pending))
    named = aliases(settings, connection).get(CHAMPION, "")
    stack = champions(entries, settings.registry.name)
    believed = stack[-1] if stack else ""
    if named != believed:
        # Changed in MLflow's own page, or by another machine: the history says so and goes on from there.
        outside = history.append(
            DONE,
            "outside",
            model=settings.registry.name,
            source=believed,
            target=named,
            reason="the champion was changed outside of this history",
            who="unknown",
        )
        remember(settings, connection, outside)
        entries.append(outside)
    return entries


def check_head(settings: Settings, connection: "MlflowClient", entries: list[Entry]) -> None:
    """Compare the history with what the registry remembers of it.

    Raises:
        RegistryError: decisions that the registry knows of are missing.
    """
    text = _tags(settings, connection).get(_head_key(settings), "")
    sequence, _, digest = text.partition(":")
    if not sequence.isdigit():
        return
    number = int(sequence)
    if number > len(entries) or entries[number - 1].hash != digest:
        raise RegistryError(
            f"{history_of(settings).path} was cut short or replaced: the registry remembers {number} lines, "
            f"the file holds {len(entries)}.",
            "Restore it from a backup, or start a new chain: thorax models audit --accept --reason …",
        )


def _finish(settings: Settings, connection: "MlflowClient", history: History, pending: Entry) -> Entry:
    """Carry out an intent; where its version is gone by now, record that it was given up."""
    from mlflow.exceptions import MlflowException

    action, note = pending.action, "healed"
    try:
        _apply(settings, connection, pending)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        action, note = "abandon", "its version is gone"
    done = history.append(
        DONE,
        action,
        model=pending.model,
        source=pending.source,
        target=pending.target,
        reason=pending.reason,
        evidence={**pending.evidence, note: True},
        who=pending.who,
    )
    remember(settings, connection, done)
    return done


def _apply(settings: Settings, connection: "MlflowClient", entry: Entry) -> None:
    """Change the registry as an intent says; done twice, it gives the same."""
    name, target = settings.registry.name, entry.target
    if entry.action == "approve":
        connection.set_model_version_tag(name, target, APPROVED, json.dumps(entry.evidence["approvals"]))
        return
    alias = {"promote": CHAMPION, "rollback": CHAMPION, "challenge": CHALLENGER}.get(entry.action)
    if alias is not None:
        connection.set_registered_model_alias(name, alias, target)
    # The first champion stays challenger too: nobody is left without a version to look at.
    settled = entry.action == "reject" or (entry.action == "promote" and entry.source)
    if settled and aliases(settings, connection).get(CHALLENGER) == target:
        connection.delete_registered_model_alias(name, CHALLENGER)
    if entry.action == "promote" and entry.evidence.get("forced"):
        connection.set_model_version_tag(name, target, FORCED, entry.reason)
    for gate in entry.evidence.get("judged_anew", ()):
        connection.set_model_version_tag(name, target, f"{GATE}{gate['name']}", json.dumps(gate))
        connection.set_model_version_tag(name, target, AGAINST, entry.source)
        connection.set_model_version_tag(name, target, VALIDATION, "passed")
    if entry.action == "reject":
        connection.set_model_version_tag(name, target, APPROVED, "[]")
    superseded = str(entry.evidence.get("superseded", ""))
    if superseded not in {"", target} and connection.get_model_version(name, superseded).tags.get(STATE) == CHALLENGER:
        connection.set_model_version_tag(name, superseded, STATE, "registered")
    state, replaced = _STATES[entry.action]
    connection.set_model_version_tag(name, target, STATE, state)
    if replaced and entry.source not in {"", target} and exists(settings, entry.source, connection):
        connection.set_model_version_tag(name, entry.source, STATE, replaced)


def _head_key(settings: Settings) -> str:
    """Where the registry remembers this history; on a shared server each machine has its own."""
    return "thorax.history" if settings.tracking_uri.startswith("sqlite") else f"thorax.history.{socket.gethostname()}"


def _tags(settings: Settings, connection: "MlflowClient") -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        return dict(connection.get_registered_model(settings.registry.name).tags)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise


def remember(settings: Settings, connection: "MlflowClient", entry: Entry) -> None:
    """Let the registry remember the last line of the history, so that a shorter file shows."""
    value = f"{entry.sequence}:{entry.hash}"
    connection.set_registered_model_tag(settings.registry.name, _head_key(settings), value)
