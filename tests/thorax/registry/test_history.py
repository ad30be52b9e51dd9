"""The history: whole lines, an unbroken chain, and what a killed or dishonest hand leaves."""

import json
from pathlib import Path

import pytest

from thorax.errors import RegistryError
from thorax.registry.history import DONE, GENESIS, INTENT, History, champions, ever_champion, user


def write(history: History, action: str, target: str, source: str = "", stage: str = DONE) -> None:
    history.append(stage, action, model="thorax", source=source, target=target, reason="because", who="ann")


@pytest.fixture
def history(tmp_path: Path) -> History:
    found = History(tmp_path / "history.jsonl")
    for number in ("1", "2", "3"):
        write(found, "promote", number)
    return found


def test_lines_are_chained_from_the_first_on(history: History) -> None:
    entries = history.entries()
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert entries[0].link == GENESIS
    assert [entry.link for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert entries[0].tool.startswith("thorax ")


@pytest.mark.parametrize("key", ["who", "reason", "target", "time", "evidence"])
def test_a_changed_line_shows_whatever_was_changed(history: History, key: str) -> None:
    lines = history.path.read_text().splitlines()
    tree = json.loads(lines[1])
    tree[key] = {"x": 1} if key == "evidence" else "changed"
    lines[1] = json.dumps(tree)
    history.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RegistryError, match=r"Line 2 .* its own hash"):
        history.entries()


def test_a_changed_line_with_a_new_hash_shows_in_the_next(history: History) -> None:
    lines = history.path.read_text().splitlines()
    from dataclasses import replace

    forged = replace(history.entries()[1], who="mallory")
    tree = json.loads(lines[1]) | {"who": "mallory", "hash": forged.sealed()}
    history.path.write_text("\n".join([lines[0], json.dumps(tree), lines[2]]) + "\n")
    with pytest.raises(RegistryError, match=r"Line 3 .* does not follow"):
        history.entries()


def test_a_removed_line_shows(history: History) -> None:
    lines = history.path.read_text().splitlines()
    history.path.write_text("\n".join([lines[0], lines[2]]) + "\n")
    with pytest.raises(RegistryError, match=r"Line 2 .* removed"):
        history.entries()


def test_nothing_is_appended_to_a_broken_chain(history: History) -> None:
    history.path.write_text("{}\n" + history.path.read_text())
    before = history.path.read_text()
    with pytest.raises(RegistryError, match=r"Line 1"):
        write(history, "promote", "4")
    assert history.path.read_text() == before


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_line_torn_by_a_kill_is_left_out_and_overwritten(history: History, kept: int) -> None:
    data = history.path.read_bytes()
    last = data.splitlines(keepends=True)[-1]
    history.path.write_bytes(data[: -len(last)] + last[:kept])
    assert [entry.target for entry in history.entries()] == ["1", "2"]
    write(history, "promote", "5")
    assert [entry.target for entry in history.entries()] == ["1", "2", "5"]


def test_an_intent_is_pending_until_its_outcome(history: History) -> None:
    assert history.pending() is None
    write(history, "promote", "4", stage=INTENT)
    pending = history.pending()
    assert pending is not None
    assert pending.target == "4"
    write(history, "promote", "4")
    assert history.pending() is None


def test_rollbacks_go_back_through_promotions_like_a_stack(history: History) -> None:
    assert champions(history.entries(), "thorax") == ["1", "2", "3"]
    write(history, "rollback", "2", "3")
    assert champions(history.entries(), "thorax") == ["1", "2"]
    write(history, "promote", "4", "2")
    write(history, "rollback", "1", "4")
    assert champions(history.entries(), "thorax") == ["1"]
    write(history, "reject", "4")
    write(history, "outside", "3", "1")
    assert champions(history.entries(), "thorax") == ["1", "3"]
    assert champions(history.entries(), "another") == []
    assert ever_champion(history.entries(), "thorax") == {"1", "2", "3", "4"}


def test_an_intent_alone_makes_nobody_champion(history: History) -> None:
    write(history, "promote", "9", stage=INTENT)
    assert champions(history.entries(), "thorax")[-1] == "3"


def test_who_is_at_work_is_what_they_say_then_whom_the_server_knows_then_the_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import getpass

    monkeypatch.setattr(getpass, "getuser", lambda: "account")
    for name in ("THORAX_USER", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert user() == "account"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "server")
    assert user() == "server"
    monkeypatch.setenv("THORAX_USER", "ann")
    assert user() == "ann"
