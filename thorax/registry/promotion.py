"""Approve, promote, reject, roll back: what a person decides about a version, and what is refused."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from thorax.errors import GateError, RegistryError, ThoraxError
from thorax.registry.bundles import fetch_version
from thorax.registry.contrast import against
from thorax.registry.decisions import Decision, decide, heal
from thorax.registry.gates import Gate
from thorax.registry.history import champions, ever_champion, user
from thorax.registry.tracking import client, locked, speaking
from thorax.registry.versions import AGAINST, CHAMPION, Version, aliases, resolve
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: How often a promotion starts over because the champion changed while it compared with it.
_TRIES = 5


def approve(settings: Settings, which: str, *, reason: str) -> Decision:
    """Say, as a second person, that a version may be promoted.

    Where `registry.require_approval` is set, a version is promoted only with the approval of somebody else than who
    promotes it. Forcing past a gate does not replace it; a rejection takes every approval back.

    Raises:
        GateError: no reason is given, or the version was rejected.
        RegistryError: no such version, or the registry cannot be reached.
    """
    if not reason.strip():
        raise GateError("An approval needs a reason, which is recorded.", "Add --reason.")
    connection = client(settings)
    with locked(settings), speaking(settings):
        heal(settings, connection)
        version = resolve(settings, which, connection)
        current = aliases(settings, connection).get(CHAMPION, "")
        if version.state == "rejected":
            raise GateError(f"Version {version.version} was rejected.", "Choose another version.")
        if any(item["who"] == user() for item in version.approvals):
            return Decision("approve", version.version, current, changed=False, entry=None)
        mine = {"who": user(), "time": datetime.now(UTC).isoformat(timespec="seconds"), "reason": reason.strip()}
        evidence = {"approvals": [*version.approvals, mine], "bundle": version.bundle_digest}
        return decide(settings, connection, "approve", current, version.version, reason, evidence)


def promote(settings: Settings, which: str, *, reason: str = "", force: bool = False) -> Decision:
    """Make a version the champion.

    Args:
        settings: where the registry is.
        which: its number or an alias, such as `challenger`.
        reason: why, in a person's words; needed with `force`.
        force: promote although a gate did not pass, or the version was rejected.

    A version that was judged against another champion than the present one is first judged anew, on the answers that
    both have kept.

    Raises:
        GateError: it did not pass, or was rejected, and is not forced; or a second person must approve it.
        RegistryError: no such version, or the registry cannot be reached.
        BundleError: its bundle is not what was registered.
    """
    if force and not reason.strip():
        raise GateError("A forced promotion needs a reason, which is recorded.", "Add --reason.")
    connection = client(settings)
    # Fetched before the lock is taken, so that nobody waits for a download; what has no sound bundle is no champion.
    fetch_version(settings, resolve(settings, which, connection))
    for _ in range(_TRIES):
        version = resolve(settings, which, connection)
        judged = aliases(settings, connection).get(CHAMPION, "")
        # A comparison may take seconds, so it too is made before the lock is taken.
        anew = None if force else _judge_anew(settings, version, judged)
        with locked(settings), speaking(settings):
            heal(settings, connection)
            version = resolve(settings, which, connection)
            previous = aliases(settings, connection).get(CHAMPION, "")
            if previous == version.version:
                return Decision("promote", version.version, previous, changed=False, entry=None)
            if previous == judged or force:
                return _promote(settings, connection, version, previous, anew, reason, force)
    raise RegistryError("The champion changed again and again meanwhile.", "Run the command again.")


def rollback(settings: Settings, to: str | None = None, *, reason: str = "") -> Decision:
    """Make an earlier champion the champion again: the last one that is still sound, or the one named.

    Raises:
        RegistryError: there is no earlier champion, or the one named never was one.
        BundleError: the bundle of the one named is not what was registered.
    """
    connection = client(settings)
    with locked(settings), speaking(settings):
        entries = heal(settings, connection)
        stack = champions(entries, settings.registry.name)
        current = aliases(settings, connection).get(CHAMPION, "")
        earlier = [version for version in reversed(stack) if version != current]
        skipped: dict[str, str] = {}
        if to is not None:
            target = resolve(settings, to, connection)
            if target.version == current:
                return Decision("rollback", current, current, changed=False, entry=None)
            if target.version not in ever_champion(entries, settings.registry.name):
                raise RegistryError(
                    f"Version {target.version} never was champion, so there is nothing to go back to.",
                    f"Use: thorax models promote {target.version}",
                )
            fetch_version(settings, target)
            chosen = target.version
        else:
            chosen = _soundest(settings, connection, earlier, skipped)
        evidence: dict[str, Any] = {"skipped": skipped} if skipped else {}
        return decide(settings, connection, "rollback", current, chosen, reason, evidence)


def reject(settings: Settings, which: str, *, reason: str) -> Decision:
    """Say that a version must not be promoted.

    Raises:
        GateError: it is the champion, or no reason is given.
        RegistryError: no such version, or the registry cannot be reached.
    """
    if not reason.strip():
        raise GateError("A rejection needs a reason, which is recorded.", "Add --reason.")
    connection = client(settings)
    with locked(settings), speaking(settings):
        heal(settings, connection)
        version = resolve(settings, which, connection)
        current = aliases(settings, connection).get(CHAMPION, "")
        if version.version == current:
            raise GateError(
                f"Version {current} is the champion and cannot be rejected.", "Roll back first: thorax models rollback."
            )
        if version.state == "rejected":
            return Decision("reject", version.version, current, changed=False, entry=None)
        return decide(settings, connection, "reject", current, version.version, reason, {})


def _judge_anew(settings: Settings, version: Version, champion: str) -> Gate | None:
    """Judge a version against the present champion; None where its stored verdict is of this champion already."""
    if version.version == champion or version.tags.get(AGAINST) == champion or not version.gates:
        return None
    return against(settings, version, champion)


def _promote(
    settings: Settings,
    connection: "MlflowClient",
    version: Version,
    previous: str,
    anew: Gate | None,
    reason: str,
    force: bool,
) -> Decision:
    gates = [anew if anew is not None and gate.name == anew.name else gate for gate in version.gates]
    _require(version, gates, force)
    if settings.registry.require_approval:
        _require_approval(version)
    failed = [gate.name for gate in gates if not gate.passed]
    evidence: dict[str, Any] = {"gates": {gate.name: gate.passed for gate in gates}, "bundle": version.bundle_digest}
    if anew is not None:
        evidence["judged_anew"] = [asdict(anew)]
    if version.approvals:
        evidence["approvals"] = list(version.approvals)
    if force and (failed or version.state == "rejected"):
        evidence["forced"] = failed or ["rejected"]
    return decide(settings, connection, "promote", previous, version.version, reason, evidence)


def _require_approval(version: Version) -> None:
    if any(item["who"] != user() for item in version.approvals):
        return
    own = f" {user()} has approved it, and cannot promote it too." if version.approvals else ""
    raise GateError(
        f"Version {version.version} needs the approval of a second person (registry.require_approval).{own}",
        f"Ask another user to look at it and run: thorax models approve {version.version} --reason …",
    )


def _require(version: Version, gates: Sequence[Gate], force: bool) -> None:
    if force:
        return
    if version.state == "rejected":
        raise GateError(
            f"Version {version.version} was rejected.",
            "Promote it all the same with --force --reason, or choose another.",
        )
    failed = [gate for gate in gates if not gate.passed]
    if failed or not gates:
        lines = "\n  ".join(f"{gate.name}: {gate.note}" for gate in failed) or "it has no gates"
        raise GateError(
            f"Version {version.version} did not pass what was agreed:\n  {lines}",
            "Train a better one, or promote it all the same with --force --reason.",
        )


def _soundest(settings: Settings, connection: "MlflowClient", earlier: list[str], skipped: dict[str, str]) -> str:
    """Return the last earlier champion whose bundle is whole; note in `skipped` why others are passed over."""
    for number in dict.fromkeys(earlier):
        try:
            version = resolve(settings, number, connection)
            if version.state == "rejected":
                skipped[number] = "it was rejected"
                continue
            fetch_version(settings, version)
        except ThoraxError as error:
            skipped[number] = error.message
            continue
        return number
    because = "; ".join(f"version {number}: {why}" for number, why in skipped.items())
    raise RegistryError(
        f"There is no earlier champion to go back to{': ' + because if because else ''}.",
        "Name one with --to, or promote another version.",
    )
