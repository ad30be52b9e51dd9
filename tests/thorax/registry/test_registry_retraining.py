"""What a retraining finds of itself in the registry after a kill, and that it promotes once."""

import pytest

from thorax.registry import promotion
from thorax.registry.decisions import history_of
from thorax.registry.history import DONE
from thorax.registry.retraining import challenger_of, made_by, promote_once
from thorax.registry.tracking import client
from thorax.registry.versions import aliases, resolve
from thorax.settings import Settings

MARK = "[retraining 20261122T100000-aaaa]"


def marked(settings: Settings, version: str) -> None:
    """Let a version's run bear the mark of a retraining."""
    run = resolve(settings, version).run_id
    client(settings).set_tag(run, "thorax.reason", f"drift in brightness {MARK}")


def test_nothing_is_found_before_a_version_is_made(with_registry: Settings) -> None:
    assert made_by(with_registry, MARK) is None


def test_a_version_that_was_made_before_a_kill_is_found_and_stands_as_challenger(with_registry: Settings) -> None:
    marked(with_registry, "3")
    assert challenger_of(with_registry) == "4"
    found = made_by(with_registry, MARK)
    assert found is not None
    assert (found["version"], found["passed"], found["aliases"]) == ("3", True, ["challenger"])
    assert challenger_of(with_registry) == "3"
    assert resolve(with_registry, "4").state == "registered"
    lines = len(history_of(with_registry).entries())
    assert made_by(with_registry, MARK) == found
    assert len(history_of(with_registry).entries()) == lines, "it stands already"


def test_it_is_promoted_once_even_if_somebody_rolls_it_back(with_registry: Settings) -> None:
    marked(with_registry, "3")
    made_by(with_registry, MARK)
    assert promote_once(with_registry, "3", MARK, f"drift {MARK}")
    assert promote_once(with_registry, "3", MARK, f"drift {MARK}"), "killed before it was noted, and run again"
    assert aliases(with_registry)["champion"] == "3"
    promotion.rollback(with_registry, reason="a person knows better")
    assert not promote_once(with_registry, "3", MARK, f"drift {MARK}")
    assert aliases(with_registry)["champion"] == "1"
    promoted = [e for e in history_of(with_registry).entries() if e.action == "promote" and MARK in e.reason]
    assert sum(e.stage == DONE for e in promoted) == 1


def test_what_did_not_pass_is_refused(with_registry: Settings) -> None:
    from thorax.errors import GateError

    with pytest.raises(GateError):
        promote_once(with_registry, "4", MARK, "drift")
