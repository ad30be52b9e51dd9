"""Decisions: what is refused, what is recorded, and what a kill at any point leaves."""

import shutil
import subprocess
import sys
from typing import Any

import pytest

from thorax.errors import GateError, RegistryError
from thorax.registry import decisions, promotion
from thorax.registry.decisions import history_of
from thorax.registry.history import DONE, champions
from thorax.registry.promotion import promote, reject, rollback
from thorax.registry.tracking import client
from thorax.registry.versions import aliases, list_versions, resolve
from thorax.settings import Settings


def champion(settings: Settings) -> str:
    return aliases(settings).get("champion", "")


def states(settings: Settings) -> dict[str, str]:
    return {item.version: item.state for item in list_versions(settings)}


def test_promotion_replaces_the_champion_and_says_so(with_registry: Settings) -> None:
    settings = with_registry
    found = promote(settings, "2", reason="better on every finding")
    assert (found.version, found.previous, found.changed) == ("2", "1", True)
    assert aliases(settings) == {"champion": "2", "challenger": "4"}
    assert states(settings) == {"1": "retired", "2": "champion", "3": "registered", "4": "challenger"}
    last = history_of(settings).entries()[-1]
    assert (last.action, last.stage, last.source, last.target) == ("promote", DONE, "1", "2")
    assert last.reason == "better on every finding"
    assert last.evidence["gates"]["mean_auroc"] is True
    assert not promote(settings, "2").changed


def test_what_did_not_pass_is_refused_unless_forced_with_a_reason(with_registry: Settings) -> None:
    settings = with_registry
    with pytest.raises(GateError, match="mean_auroc"):
        promote(settings, "4")
    with pytest.raises(GateError, match="needs a reason"):
        promote(settings, "4", force=True, reason=" ")
    assert champion(settings) == "1"
    promote(settings, "4", force=True, reason="an emergency")
    assert champion(settings) == "4"
    assert history_of(settings).entries()[-1].evidence["forced"] == ["mean_auroc"]
    version = resolve(settings)
    assert (version.passed, version.forced, version.servable) == (False, "an emergency", True)


def test_a_rejected_version_is_refused_and_the_champion_cannot_be_rejected(with_registry: Settings) -> None:
    settings = with_registry
    with pytest.raises(GateError, match="Roll back first"):
        reject(settings, "1", reason="old")
    with pytest.raises(GateError, match="needs a reason"):
        reject(settings, "4", reason="")
    reject(settings, "challenger", reason="looks at the ribs")
    assert aliases(settings) == {"champion": "1"}
    assert not reject(settings, "4", reason="again").changed
    with pytest.raises(GateError, match="was rejected"):
        promote(settings, "4")


def test_rollback_goes_back_step_by_step_and_not_in_circles(with_registry: Settings) -> None:
    settings = with_registry
    promote(settings, "2"), promote(settings, "3")
    assert rollback(settings, reason="worse in the clinic").version == "2"
    assert states(settings)["3"] == "withdrawn"
    assert rollback(settings).version == "1"
    with pytest.raises(RegistryError, match="no earlier champion"):
        rollback(settings)
    assert rollback(settings, to="3").version == "3"
    assert champion(settings) == "3"


def test_rollback_goes_only_to_what_was_champion_and_is_sound(with_registry: Settings) -> None:
    settings = with_registry
    promote(settings, "2"), promote(settings, "3")
    with pytest.raises(RegistryError, match="Version 4 never was champion"):
        rollback(settings, to="4")
    # The bundle of version 2 is deleted from the store and from this machine.
    version = resolve(settings, "2")
    for path in list((settings.var / "mlartifacts").rglob("bundle.json")):
        if "2026-01-02" in path.read_text():
            shutil.rmtree(path.parent)
    shutil.rmtree(settings.var / "bundles" / version.bundle_digest)
    found = rollback(settings)
    assert found.version == "1"
    assert found.entry is not None
    assert "2" in found.entry.evidence["skipped"]


def test_a_version_without_its_bundle_is_not_promoted(with_registry: Settings) -> None:
    settings = with_registry
    shutil.rmtree(settings.var / "mlartifacts")
    with pytest.raises(RegistryError, match="cannot be fetched"):
        promote(settings, "2")
    assert champion(settings) == "1"
    with pytest.raises(RegistryError, match="no version 9"):
        promote(settings, "9")


def test_a_champion_set_in_mlflow_itself_is_recorded_and_can_be_rolled_back(with_registry: Settings) -> None:
    settings = with_registry
    client(settings).set_registered_model_alias("thorax", "champion", "2")
    promote(settings, "3")
    actions = [(e.action, e.source, e.target) for e in history_of(settings).entries() if e.stage == DONE]
    assert actions[-2:] == [("outside", "1", "2"), ("promote", "2", "3")]
    assert rollback(settings).version == "2"


def test_a_history_cut_short_stops_every_decision(with_registry: Settings) -> None:
    settings = with_registry
    history = history_of(settings)
    lines = history.path.read_text().splitlines(keepends=True)
    history.path.write_text("".join(lines[:-2]))
    with pytest.raises(RegistryError, match="cut short"):
        promote(settings, "2")
    history.path.unlink()
    with pytest.raises(RegistryError, match="cut short"):
        rollback(settings)
    assert champion(settings) == "1"


class Killed(BaseException):
    """Stands for a process that is gone: nothing catches it."""


class Mortal:
    """A client, and a history, that die before their n-th change."""

    def __init__(self, real: Any, lives: list[int]) -> None:
        self._real, self._lives = real, lives

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if not name.startswith(("set_", "delete_", "append")):
            return method

        def mortal(*args: Any, **kwargs: Any) -> Any:
            if self._lives[0] == 0:
                raise Killed
            self._lives[0] -= 1
            return method(*args, **kwargs)

        return mortal


@pytest.mark.slow
@pytest.mark.parametrize("action", ["promote", "rollback", "reject"])
def test_a_kill_at_any_point_is_healed_by_the_next_decision(
    with_registry: Settings, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_registry
    finished, lives = False, 0
    while not finished:
        reason = f"killed before change {lives}"
        promote(settings, "2", force=True, reason="set up")
        with monkeypatch.context() as patch:
            left = [lives]
            patch.setattr(promotion, "client", lambda s, left=left: Mortal(client(s), left))
            patch.setattr(decisions, "history_of", lambda s, left=left: Mortal(history_of(s), left))
            try:
                if action == "promote":
                    promotion.promote(settings, "3", reason=reason, force=True)
                elif action == "rollback":
                    promotion.rollback(settings, to="1", reason=reason)
                else:
                    promotion.reject(settings, "3", reason=reason)
                finished = True
            except Killed:
                pass
        # The next command is about something else, and finds what the killed one began carried out.
        before = {"promote": "3", "rollback": "1", "reject": "2"}[action] if lives > 0 else "2"
        other = "1" if before != "1" else "3"
        assert promote(settings, other, force=True, reason="next").previous == before, reason
        entries = history_of(settings).entries()
        assert sum(e.reason == reason and e.stage == DONE for e in entries) == (1 if lives > 0 else 0), reason
        assert champions(entries, "thorax")[-1] == champion(settings) == other
        assert list(states(settings).values()).count("champion") == 1
        client(settings).set_model_version_tag("thorax", "3", "thorax.state", "challenger")
        lives += 1
    assert lives >= 5


_WORKER = """
import sys
from thorax.settings import load
from thorax.registry.promotion import promote
settings, rounds = load(sys.argv[1]), int(sys.argv[3])
print(sum(promote(settings, sys.argv[2], reason="race", force=True).changed for _ in range(rounds)))
"""


@pytest.mark.slow
def test_processes_that_promote_at_once_lose_nothing(with_registry: Settings) -> None:
    settings = with_registry
    processes, rounds = 4, 25
    start = [sys.executable, "-c", _WORKER, str(settings.home)]
    running = [
        subprocess.Popen([*start, str(number + 1), str(rounds)], stdout=subprocess.PIPE, text=True)
        for number in range(processes)
    ]
    changed = [int(process.communicate(timeout=100)[0]) for process in running]
    entries = history_of(settings).entries()
    recorded = [e for e in entries if e.reason == "race" and e.stage == DONE]
    assert len(recorded) == sum(changed)
    # A process that is quick to start may find itself champion already, and have nothing to change.
    assert len({e.target for e in recorded}) > 1
    # Each replaced the one before it, without a gap.
    assert [e.source for e in recorded] == ["1", *[e.target for e in recorded[:-1]]]
    assert champion(settings) == recorded[-1].target
    assert list(states(settings).values()).count("champion") == 1
