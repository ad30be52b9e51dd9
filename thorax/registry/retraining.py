"""What a retraining left in the registry: its version, found again after a kill, and its promotion, made once."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thorax.registry import promotion
from thorax.registry.decisions import decide, heal, history_of
from thorax.registry.history import DONE
from thorax.registry.tracking import client, initialise, locked, speaking
from thorax.registry.versions import CHALLENGER, CHAMPION, UNCHANGED, Version, aliases, exists, resolve
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


def made_by(settings: Settings, mark: str) -> dict[str, Any] | None:
    """Return the version whose run was made for a reason that holds `mark`, as `facts_of`; None where there is none.

    A run that made nothing new points to the version that its bundle was registered as before.
    A version that was created by a run which was then killed is not yet challenger: it becomes so here.

    Raises:
        RegistryError: the registry cannot be reached.
    """
    experiment = initialise(settings)
    connection = client(settings)
    with speaking(settings):
        runs = connection.search_runs([experiment], f"tags.`thorax.reason` LIKE '%{mark}%'", max_results=50)
        numbers = [
            str(item.version)
            for run in runs
            for item in connection.search_model_versions(
                f"name = '{settings.registry.name}' and run_id = '{run.info.run_id}'"
            )
        ]
    if not numbers:
        same = [run.data.tags["thorax.version"] for run in runs if UNCHANGED in run.data.tags]
        same = [number for number in same if exists(settings, number, connection)]
        return facts_of(resolve(settings, same[0], connection), new=False) if same else None
    version = resolve(settings, max(numbers, key=int), connection)
    if version.state == "registered" and version.gates:
        _stand(settings, connection, version, mark)
        version = resolve(settings, version.version, connection)
    return facts_of(version)


def facts_of(version: Version, new: bool = True) -> dict[str, Any]:
    """Return what the loop keeps of a version: number, gates, aliases, and whether the retraining made it."""
    return {
        "version": version.version,
        "passed": version.passed,
        "gates": [asdict(gate) for gate in version.gates],
        "aliases": list(version.aliases),
        "new": new,
    }


def promote_once(settings: Settings, version: str, mark: str, reason: str) -> bool:
    """Promote a version, unless that was done for this mark before; return whether it is champion now.

    Raises:
        GateError: it did not pass, was rejected, or a second person must approve it.
        RegistryError: the registry cannot be reached.
    """
    before = any(
        entry.action == "promote" and entry.stage == DONE and entry.target == version and mark in entry.reason
        for entry in history_of(settings).entries()
    )
    if not before:
        promotion.promote(settings, version, reason=reason)
    # Done before, and no longer so: somebody rolled it back, who knows better.
    return aliases(settings).get(CHAMPION, "") == version


def challenger_of(settings: Settings) -> str:
    """Return the version that stands as challenger beside a champion; "" where there is none."""
    named = aliases(settings)
    challenger = named.get(CHALLENGER, "")
    return "" if challenger == named.get(CHAMPION) else challenger


def _stand(settings: Settings, connection: "MlflowClient", version: Version, mark: str) -> None:
    """Do what registering a version ends with: it stands as challenger, or as champion where there is none."""
    with locked(settings), speaking(settings):
        heal(settings, connection)
        named = aliases(settings, connection)
        if version.version in named.values():
            return
        champion = named.get(CHAMPION, "")
        verdict: dict[str, Any] = {"gates": {gate.name: gate.passed for gate in version.gates}}
        verdict |= {"bundle": version.bundle_digest}
        if not champion and version.passed and not settings.registry.require_approval:
            decide(settings, connection, "promote", "", version.version, mark, verdict)
        else:
            verdict["superseded"] = named.get(CHALLENGER, "")
            decide(settings, connection, "challenge", champion, version.version, mark, verdict)
