"""The journal, and the lock: what a kill leaves, and who is at it."""

import subprocess
import sys
from pathlib import Path

import pytest

from thorax.errors import InputError
from thorax.monitoring.loop.journal import Journal
from thorax.monitoring.loop.lock import BusyError, held


def test_lines_are_told_as_retrainings(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "j.jsonl")
    assert journal.retrainings() == []
    journal.append("a", "open", reason="drift", origin="alarm", incident="1-1", since="2026")
    journal.append("a", "begin", "collect")
    journal.append("a", "done", "collect", cases=3)
    journal.append("a", "begin", "revise")
    journal.append("a", "failed", "revise", message="no room", mend="")
    item = journal.unfinished()
    assert item is not None
    assert (item.id, item.next_step, item.done["collect"], item.begun) == (
        "a",
        "revise",
        {"cases": 3},
        {"collect": 1, "revise": 1},
    )
    assert item.failures == [{"step": "revise", "message": "no room", "mend": ""}]
    journal.append("a", "end", outcome="given up")
    assert journal.unfinished() is None
    assert journal.retrainings()[0].outcome == "given up"


def test_a_torn_last_line_was_never_said(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append("a", "open", reason="drift", origin="hand")
    with journal.path.open("a") as stream:
        stream.write('{"retraining": "a", "event": "do')
    assert len(journal.entries()) == 1
    journal.append("a", "begin", "collect")
    assert [entry.event for entry in journal.entries()] == ["open", "begin"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append("a", "open", reason="drift", origin="hand")
    journal.path.write_text(journal.path.read_text() + "nonsense\n")
    with pytest.raises(InputError, match=r"Line 2 of .*j\.jsonl cannot be read"):
        journal.retrainings()


_HOLDER = """
import sys, time
from pathlib import Path
from thorax.monitoring.loop.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_names_its_holder_and_goes_with_it(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=f"process {holder.pid} on "), held(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
    assert (tmp_path / "monitoring" / "loop.holder.json").exists(), "it died without clearing up"
    with held(tmp_path):
        pass
