"""Promote, reject, roll back: what a person decides about a version, and what is refused."""

from typing import TYPE_CHECKING, Any

from thorax.errors import GateError, RegistryError, ThoraxError
from thorax.registry.bundles import fetch_version
from thorax.registry.decisions import Decision, decide, heal
from thorax.registry.history import champions, ever_champion
from thorax.registry.tracking import client, locked, speaking
from thorax.registry.versions import CHAMPION, Version, aliases, resolve
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


def promote(settings: Settings, which: str, *, reason: str = "", force: bool = False) -> Decision:
    """Make a version the champion.

    Args:
        settings: where the registry is.
        which: its number or an alias, such as `challenger`.
        reason: why, in a person's words; needed with `force`.
        force: promote although a gate did not pass, or the version was rejected.

    Raises:
        GateError: it did not pass, or was rejected, and is not forced.
        RegistryError: no such version, or the registry cannot be reached.
        BundleError: its bundle is not what was registered.
    """
    if force and not reason.strip():
        raise GateError("A forced promotion needs a reason, which is recorded.", "Add --reason.")
    connection = client(settings)
    # Fetched before the lock is taken, so that nobody waits for a download; what has no sound bundle is no champion.
    fetch_version(settings, resolve(settings, which, connection))
    with locked(settings), speaking(settings):
        heal(settings, connection)
        version = resolve(settings, which, connection)
        previous = aliases(settings, connection).get(CHAMPION, "")
        if previous == version.version:
            return Decision("promote", version.version, previous, changed=False, entry=None)
        _require(version, force)
        failed = [gate.name for gate in version.gates if not gate.passed]
        evidence = {"gates": {gate.name: gate.passed for gate in version.gates}, "bundle": version.bundle_digest}
        if force and (failed or version.state == "rejected"):
            evidence["forced"] = failed or ["rejected"]
        return decide(settings, connection, "promote", previous, version.version, reason, evidence)


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


def _require(version: Version, force: bool) -> None:
    if force:
        return
    if version.state == "rejected":
        raise GateError(
            f"Version {version.version} was rejected.",
            "Promote it all the same with --force --reason, or choose another.",
        )
    failed = [gate for gate in version.gates if not gate.passed]
    if failed or not version.gates:
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
