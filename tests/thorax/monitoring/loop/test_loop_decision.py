"""When an alarm is answered with a retraining, and what is said when it is not."""

from datetime import UTC, datetime, timedelta

import pytest

from thorax.monitoring.loop.decision import Alarm, Decision, decide
from thorax.monitoring.loop.journal import Retraining
from thorax.settings import Retrain

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALARM = Alarm("1-1-x", "1", "2026-11-22T08:00:00+00:00", "Drift in brightness")


def past(hours: float, *, closed: bool = True, incident: str = "0-0-x", version: str = "2", **changes) -> Retraining:
    opened = (NOW - timedelta(hours=hours)).isoformat()
    done = {step: {} for step in ("collect", "revise")} | {"train": {"version": version, "passed": True}, "promote": {}}
    item = Retraining(
        "r", opened, "why", "alarm", incident, done=done if closed else {}, closed=opened if closed else ""
    )
    for name, value in changes.items():
        setattr(item, name, value)
    return item


def told(alarm: Alarm | None = ALARM, before=(), cases: int = 100, challenger: str = "", **settings) -> Decision:
    return decide(Retrain(**settings), alarm, list(before), lambda: cases, challenger, NOW)


def test_an_alarm_with_enough_new_cases_retrains() -> None:
    made = told()
    assert (made.action, made.why) == ("retrain", "Drift in brightness; 100 new confirmed cases")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"auto": False}, "auto is off"),
        ({"cases": 49}, "49 new confirmed cases, of at least 50"),
        ({"before": [past(23)]}, "cool-down lasts 1 h 00 min more"),
        ({"before": [past(100), past(50)]}, "budget is spent: 2 retrainings in 7 days, of 2"),
        ({"max_per_week": 0}, "budget is spent: 0"),
        (
            {"before": [past(50, incident=ALARM.incident)], "challenger": "2"},
            "version 2, the answer to this alarm, waits",
        ),
    ],
)
def test_what_holds_it_is_said(given: dict, why: str) -> None:
    made = told(**given)
    assert made.action == "hold"
    assert why in made.why


def test_a_week_later_the_budget_is_new() -> None:
    assert told(before=[past(170), past(169)]).action == "retrain"


def test_a_challenger_of_another_alarm_or_one_that_failed_does_not_hold_it() -> None:
    assert told(before=[past(50)], challenger="2").action == "retrain"
    failed = past(50, incident=ALARM.incident)
    failed.done["train"]["passed"] = False
    assert told(before=[failed], challenger="2").action == "retrain"
    assert told(before=[past(50, incident=ALARM.incident)], challenger="7").action == "retrain"


def test_without_an_alarm_nothing_happens_and_no_case_is_counted() -> None:
    def count() -> int:
        raise AssertionError("looked into the folder for nothing")

    assert decide(Retrain(), None, [], count, "", NOW).action == "nothing"


def test_what_was_begun_is_finished_whatever_the_alarm_says_now() -> None:
    for alarm in (ALARM, None):
        made = told(alarm, before=[past(1, closed=False)], auto=False, max_per_week=0)
        assert made.action == "resume"
        assert "is not finished: collect" in made.why


def test_what_failed_is_tried_once_more_and_then_stops() -> None:
    failure = {"step": "train", "message": "no memory", "mend": ""}
    once = past(1, closed=False, failures=[failure])
    twice = past(1, closed=False, failures=[failure, failure])
    assert told(before=[once]).action == "resume"
    made = told(before=[twice])
    assert made.action == "hold"
    assert "train failed 2 times, the last time: no memory" in made.why
    assert told(None, before=[twice]).action == "nothing"


def test_a_step_that_kills_its_process_each_time_stops_too() -> None:
    assert told(before=[past(1, closed=False, begun={"collect": 4})]).action == "resume"
    made = told(before=[past(1, closed=False, begun={"collect": 5})])
    assert "collect was begun 5 times and never came to an end" in made.why
