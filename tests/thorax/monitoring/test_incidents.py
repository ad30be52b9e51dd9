"""Incidents: told once, looked after, over."""

from pathlib import Path

import pytest

from thorax.errors import InputError
from thorax.monitoring.history import History
from thorax.monitoring.incidents import Followed, Incidents
from thorax.monitoring.verdict import Alarm, Verdict, Window


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.db")


def follow(history: History, day: int, status: str, figure: str = "noise", version: str = "1") -> Followed:
    window = Window(version, f"2026-01-{day:02d}T00", f"2026-01-{day:02d}T23", 500)
    alarms = (Alarm(figure, "image", 2.0, 1.0, 2.0, 2),) if status == "alarm" else ()
    verdict = Verdict(status, window, alarms)  # type: ignore[arg-type]
    history.keep(verdict)
    return Incidents(history).follow(verdict, close_after=2)


def test_an_alarm_that_goes_on_is_one_incident_until_it_has_been_calm(history: History) -> None:
    first = follow(history, 1, "alarm")
    assert first.incident is not None
    assert (first.opened, first.incident.state) == (True, "open")
    second = follow(history, 2, "alarm", "border")
    assert second.incident is not None
    assert (second.opened, second.incident.id, second.incident.figures) == (False, 1, ("noise", "border"))
    assert follow(history, 3, "quiet").closed is False
    assert follow(history, 4, "alarm").opened is False
    assert follow(history, 5, "quiet").closed is False
    over = follow(history, 6, "warning")
    assert over.incident is not None
    assert (over.closed, over.incident.note) == (True, "2 windows in a row without an alarm")
    assert follow(history, 7, "quiet").incident is None
    new = follow(history, 8, "alarm").incident
    assert new is not None
    assert new.id == 2


def test_the_same_verdict_again_says_the_same_and_changes_nothing(history: History) -> None:
    follow(history, 1, "alarm")
    assert follow(history, 1, "alarm").opened
    (incident,) = Incidents(history).all()
    assert len(incident.windows) == 1


def test_a_person_acknowledges_and_another_version_ends_it(history: History) -> None:
    incidents = Incidents(history)
    with pytest.raises(InputError, match="No incident lasts"):
        incidents.acknowledge(None, "ann")
    follow(history, 1, "alarm")
    seen = incidents.acknowledge(None, "ann", "the new detector")
    assert (seen.state, seen.who, seen.note) == ("acknowledged", "ann", "the new detector")
    assert follow(history, 2, "alarm").opened is False
    with pytest.raises(InputError, match=r"no incident 7\. These last: 1"):
        incidents.acknowledge(7, "ann")
    (closed,) = incidents.close_others("2")
    assert (closed.state, closed.note) == ("closed", "the new detector")
    with pytest.raises(InputError, match="was closed"):
        incidents.acknowledge(1, "ann")
    assert incidents.current() is None


def test_a_file_that_is_no_history_is_named(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_text("no database" * 100)
    with pytest.raises(InputError, match="is not a monitoring history"):
        History(tmp_path / "history.db")
