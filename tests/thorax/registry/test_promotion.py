"""Decisions: what is refused, what is recorded, and what a kill at any point leaves."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from thorax.errors import GateError, RegistryError
from thorax.registry import decisions, promotion
from thorax.registry.audit import audit
from thorax.registry.decisions import history_of
from thorax.registry.gates import Gate
from thorax.registry.history import DONE, champions
from thorax.registry.promotion import approve, promote, reject, rollback
from thorax.registry.register import register
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


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_processes_that_promote_at_once_lose_nothing(with_registry: Settings) -> None:
    """A short form of `make bench-registry`, which runs eight processes of two hundred rounds."""
    from commands.bench.registry_parts import race

    (with_registry.home / "params.yaml").write_text(
        (with_registry.home / "params.yaml").read_text().replace("bootstrap: 1000", "bootstrap: 100")
    )
    found = race(with_registry.home, processes=4, rounds=8)
    assert found.problems == ()
    # A process that finds itself champion already has nothing to change: how often is the scheduler's business.
    assert 1 <= found.changed == found.recorded <= 32


def test_a_second_person_approves_where_that_is_asked_for(
    with_registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = with_registry.registry.model_copy(update={"require_approval": True})
    settings = with_registry.model_copy(update={"registry": registry})
    monkeypatch.setenv("THORAX_USER", "ann")
    with pytest.raises(GateError, match="approval of a second person"):
        promote(settings, "2")
    with pytest.raises(GateError, match="needs a reason"):
        approve(settings, "2", reason=" ")
    assert approve(settings, "2", reason="I trained it").changed
    with pytest.raises(GateError, match="ann has approved it, and cannot promote it too"):
        promote(settings, "2")
    with pytest.raises(GateError, match="approval of a second person"):
        promote(settings, "4", force=True, reason="forcing past a gate is no approval")
    monkeypatch.setenv("THORAX_USER", "bob")
    assert approve(settings, "2", reason="looked at fifty cases").changed
    assert not approve(settings, "2", reason="again").changed
    assert [item["who"] for item in resolve(settings, "2").approvals] == ["ann", "bob"]
    monkeypatch.setenv("THORAX_USER", "ann")
    entry = promote(settings, "2").entry
    assert entry is not None
    assert entry.who == "ann"
    assert [item["reason"] for item in entry.evidence["approvals"]] == ["I trained it", "looked at fifty cases"]
    approvals = [e for e in history_of(settings).entries() if e.action == "approve" and e.stage == DONE]
    assert [(e.who, e.target) for e in approvals] == [("ann", "2"), ("bob", "2")]
    assert rollback(settings).version == "1", "an emergency waits for nobody"


def test_a_rejection_takes_approvals_back(with_registry: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORAX_USER", "bob")
    approve(with_registry, "2", reason="fine")
    reject(with_registry, "2", reason="not fine")
    assert resolve(with_registry, "2").approvals == ()
    with pytest.raises(GateError, match="was rejected"):
        approve(with_registry, "2", reason="fine after all")


def test_the_first_champion_needs_an_approval_too(
    settings: Settings, registered: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = settings.registry.model_copy(update={"require_approval": True})
    monkeypatch.setattr(
        "registry_factory.register",
        lambda s, *a, **k: register(s.model_copy(update={"registry": registry}), *a, **k),
    )
    assert registered().aliases == ("challenger",)


def test_a_version_is_judged_anew_against_a_champion_that_it_never_met(
    with_registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions 2 and 3 were judged against version 1; when 2 is champion, 3 must beat 2."""
    settings = with_registry
    promote(settings, "2")
    worse = Gate("champion", False, -0.2, -0.01, "challenger − champion -0.150")
    with monkeypatch.context() as patch:
        patch.setattr(promotion, "against", lambda *_: worse)
        with pytest.raises(GateError, match=r"champion: challenger − champion -0\.150"):
            promote(settings, "3")
    assert champion(settings) == "2"
    found = promote(settings, "3")
    assert found.entry is not None
    anew = found.entry.evidence["judged_anew"][0]
    assert anew["passed"]
    assert "challenger − champion +0.000" in anew["note"]
    version = resolve(settings, "3")
    assert version.tags["thorax.judged.against"] == "2"
    assert next(gate for gate in version.gates if gate.name == "champion").note == anew["note"]


class Refusing:
    """A client whose n-th change fails as a server's answer would."""

    def __init__(self, real: Any, error: Exception) -> None:
        self._real, self._error = real, error

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("set_", "delete_")):
            raise self._error
        return getattr(self._real, name)


def test_a_refusal_is_recorded_and_never_carried_out_for_somebody_else(
    with_registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    settings = with_registry
    monkeypatch.setenv("THORAX_USER", "eve")
    with monkeypatch.context() as patch:
        error = MlflowException("Permission denied", PERMISSION_DENIED)
        patch.setattr(promotion, "client", lambda s: Refusing(client(s), error))
        with pytest.raises(RegistryError, match="eve does not have the right"):
            promote(settings, "2")
    last = history_of(settings).entries()[-1]
    assert (last.stage, last.action, last.target, last.who) == (DONE, "refused", "2", "eve")
    assert last.evidence["wanted"] == "promote"
    promote(settings, "3")
    assert states(settings)["2"] == "registered"


def test_a_registry_that_goes_away_in_between_is_named_and_healed(
    with_registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    settings = with_registry
    with monkeypatch.context() as patch:
        error = requests.ConnectionError("connection reset")
        patch.setattr(promotion, "client", lambda s: Refusing(client(s), error))
        with pytest.raises(RegistryError, match="connection reset"):
            promote(settings, "2", reason="cut off")
    assert champion(settings) == "1"
    assert any("interrupted" in remark.text for remark in audit(settings, bundles=False))
    assert promote(settings, "3").previous == "2", "what was begun is carried out first"
    assert [e.reason for e in history_of(settings).entries() if e.stage == DONE][-2] == "cut off"
