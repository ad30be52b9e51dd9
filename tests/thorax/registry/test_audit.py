"""The audit: what it finds when history, registry and bundles do not agree, and how one goes on from there."""

import json
import shutil

import pytest

from thorax.errors import GateError, RegistryError
from thorax.registry.audit import accept, audit
from thorax.registry.decisions import history_of
from thorax.registry.history import INTENT
from thorax.registry.promotion import promote, rollback
from thorax.registry.tracking import client
from thorax.registry.versions import resolve
from thorax.settings import Settings


def found(settings: Settings, severity: str = "problem") -> dict[str, str]:
    return {remark.subject: remark.text for remark in audit(settings) if remark.severity == severity}


def test_a_sound_registry_gives_nothing(with_registry: Settings) -> None:
    promote(with_registry, "2")
    assert audit(with_registry) == []


def test_a_forced_champion_is_noted_and_an_unexplained_one_is_a_problem(with_registry: Settings) -> None:
    promote(with_registry, "4", force=True, reason="an emergency")
    assert "an emergency" in found(with_registry, "note")["version 4"]
    assert not found(with_registry)


def test_a_champion_changed_in_mlflow_shows(with_registry: Settings) -> None:
    client(with_registry).set_registered_model_alias("thorax", "champion", "4")
    problems = found(with_registry)
    assert "champion is 4, the history's is 1" in problems["alias champion"]
    assert problems["version 4"] == "did not pass"


def test_a_deleted_version_shows_where_it_was(with_registry: Settings) -> None:
    client(with_registry).delete_model_version("thorax", "2")
    assert "gone from the registry" in found(with_registry, "note")["version 2"]


def test_an_interrupted_decision_shows(with_registry: Settings) -> None:
    history_of(with_registry).append(INTENT, "promote", model="thorax", source="1", target="2", reason="killed")
    assert "interrupted" in found(with_registry, "note")["history"]


def test_a_changed_byte_and_a_deleted_artifact_show(with_registry: Settings) -> None:
    for path in list((with_registry.var / "mlartifacts").rglob("bundle.json")):
        if "2026-01-02" in path.read_text():
            path.with_name("model.onnx").write_bytes(b"changed")
        if "2026-01-03" in path.read_text():
            shutil.rmtree(path.parent)
    problems = found(with_registry)
    assert "model.onnx" in problems["version 2"]
    assert "cannot be fetched" in problems["version 3"]
    assert audit(with_registry, bundles=False) == []


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_history_shows_and_a_new_one_begins_with_a_reason(with_registry: Settings, damage: str) -> None:
    settings = with_registry
    promote(settings, "2")
    path = history_of(settings).path
    lines = path.read_text().splitlines(keepends=True)
    if damage == "changed":
        path.write_text("".join([json.dumps(json.loads(lines[0]) | {"who": "eve"}) + "\n", *lines[1:]]))
    elif damage == "cut":
        path.write_text("".join(lines[:-1]))
    else:
        path.unlink()
    assert "history" in found(settings)
    with pytest.raises(RegistryError):
        promote(settings, "3")
    with pytest.raises(GateError, match="needs a reason"):
        accept(settings, reason="")
    accept(settings, reason="the disk failed")
    assert not found(settings)
    assert len(list(settings.var.glob("*set-aside*"))) == (0 if damage == "gone" else 1)
    promote(settings, "3")
    assert rollback(settings).version == "2"
    first = history_of(settings).entries()[0]
    assert (first.action, first.target, first.reason) == ("accept", "2", "the disk failed")
    with pytest.raises(GateError, match="sound"):
        accept(settings, reason="again")


def test_a_bundle_digest_stands_on_every_version(with_registry: Settings) -> None:
    assert len({resolve(with_registry, str(number)).bundle_digest for number in (1, 2, 3, 4)}) == 4


def test_a_champion_that_nobody_approved_is_noted_where_approval_is_asked_for(with_registry: Settings) -> None:
    asked = with_registry.registry.model_copy(update={"require_approval": True})
    settings = with_registry.model_copy(update={"registry": asked})
    notes = [remark.text for remark in audit(settings, bundles=False)]
    assert notes == ["is champion, and no second person has approved it"]
