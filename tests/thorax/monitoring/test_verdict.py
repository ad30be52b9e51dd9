"""The verdict over several windows: an alarm needs company or distance, and a repeated run changes nothing."""

from pathlib import Path

import pytest

from thorax.monitoring.history import History
from thorax.monitoring.verdict import Figure, Verdict, Window, decide
from thorax.settings import Monitor

SETTINGS = Monitor(persistence=2, at_once=3.0)


def window(day: int, version: str = "1") -> Window:
    return Window(version, f"2026-01-{day:02d}T00:00:00.000+00:00", f"2026-01-{day:02d}T23:00:00.000+00:00", 500, 500)


def figure(score: float, name: str = "noise", level: str = "alarm") -> Figure:
    return Figure(name, "image", level, score, 1.0, score, warned=score > 0.8, crossed=score > 1)  # type: ignore[arg-type]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.db")


def judge(history: History, day: int, *figures: Figure, version: str = "1", too_few: bool = False) -> Verdict:
    found = decide(window(day, version), figures, SETTINGS, history, too_few=too_few)
    history.keep(found)
    return found


def test_one_window_warns_and_the_second_in_a_row_alarms(history: History) -> None:
    first = judge(history, 1, figure(1.4))
    assert (first.status, first.alarms, first.warnings[0].figure) == ("warning", (), "noise")
    second = judge(history, 2, figure(1.2))
    assert (second.status, second.alarms[0].windows) == ("alarm", 2)
    assert judge(history, 3, figure(0.2)).status == "quiet"
    assert judge(history, 4, figure(1.2)).status == "warning"


def test_two_figures_in_turn_are_not_one_that_lasts(history: History) -> None:
    judge(history, 1, figure(1.4, "noise"))
    assert judge(history, 2, figure(1.4, "border")).status == "warning"


def test_what_is_very_far_out_alarms_at_once(history: History) -> None:
    assert judge(history, 1, figure(3.0)).status == "alarm"


def test_what_is_only_to_be_warned_of_never_alarms(history: History) -> None:
    for day in (1, 2, 3):
        assert judge(history, day, figure(9.0, level="warn")).status == "warning"


def test_a_window_with_too_few_neither_breaks_a_row_nor_makes_one(history: History) -> None:
    judge(history, 1, figure(1.4))
    assert judge(history, 2, too_few=True).status == "too_few"
    assert judge(history, 3, figure(1.4)).status == "alarm"


def test_other_versions_and_overlapping_windows_are_no_second_witness(history: History) -> None:
    judge(history, 1, figure(1.4), version="1")
    assert judge(history, 2, figure(1.4), version="2").status == "warning"
    late = Window("1", "2026-01-01T12:00:00.000+00:00", "2026-01-02T12:00:00.000+00:00", 500)
    assert decide(late, [figure(1.4)], SETTINGS, history).status == "warning"


def test_a_window_judged_again_replaces_itself(history: History) -> None:
    judge(history, 1, figure(1.4))
    again = judge(history, 1, figure(1.4))
    assert again.status == "warning"
    (kept,) = history.windows()
    assert Verdict.from_dict({k: v for k, v in kept.items() if k not in ("made", "page")}) == again
