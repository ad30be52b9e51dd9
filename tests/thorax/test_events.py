"""Events: what a step tells reaches whoever follows it, whole, also when it fails."""

import subprocess
import sys

import pytest

from thorax.errors import InputError
from thorax.events import read_events, reporting


def test_a_step_tells_its_beginning_progress_and_end(tmp_path, monkeypatch):
    file = tmp_path / "events.jsonl"
    monkeypatch.setenv("THORAX_EVENTS", str(file))
    with reporting("train", "resnet50") as report:
        report.progress(1, 4, "epoch 1")
        report.say("done soon")
        advance = report.advancer(2)
        advance()
        advance()
    events, offset = read_events(file)
    assert [event["event"] for event in events] == ["begin", "progress", "message", "progress", "end"]
    assert {event["step"] for event in events} == {"train"}
    assert events[-1]["seconds"] >= 0
    assert read_events(file, offset) == ([], offset)


def test_a_refusal_is_told_with_its_mend_and_still_raised(tmp_path, monkeypatch):
    monkeypatch.setenv("THORAX_EVENTS", str(tmp_path / "e"))
    with pytest.raises(InputError), reporting("ingest"):
        raise InputError("No table.", "Add one.")
    with pytest.raises(ZeroDivisionError), reporting("ingest"):
        _ = 1 / 0
    errors = [event for event in read_events(tmp_path / "e")[0] if event["event"] == "error"]
    assert [(e["message"], e["mend"], e["kind"]) for e in errors] == [
        ("No table.", "Add one.", "InputError"),
        ("ZeroDivisionError: division by zero", "", "unexpected"),
    ]


def test_an_unfinished_line_waits_for_its_end(tmp_path):
    file = tmp_path / "e"
    file.write_bytes(b'{"a": 1}\n{"b"')
    events, offset = read_events(file)
    assert events == [{"a": 1}]
    file.write_bytes(b'{"a": 1}\n{"b": 2}\n')
    assert read_events(file, offset)[0] == [{"b": 2}]


TALK = """
import sys
from thorax.events import Reporter
report = Reporter("s", sys.argv[1])
for i in range(300):
    report.emit("message", text=f"{i} " + "x" * 200)
"""


def test_lines_of_several_processes_never_mix(tmp_path, monkeypatch):
    monkeypatch.setenv("THORAX_EVENTS", str(tmp_path / "e"))
    talkers = [subprocess.Popen([sys.executable, "-c", TALK, name]) for name in "ab"]
    assert [talker.wait(60) for talker in talkers] == [0, 0]
    assert len(read_events(tmp_path / "e")[0]) == 600


def test_without_a_follower_the_same_is_printed(capsys, monkeypatch):
    monkeypatch.delenv("THORAX_EVENTS", raising=False)
    with reporting("calibrate", "custom_cnn") as report:
        report.say("four findings")
    assert "[calibrate custom_cnn] message: text four findings" in capsys.readouterr().out
