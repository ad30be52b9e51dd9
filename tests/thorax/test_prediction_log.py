"""The log keeps what is allowed, loses nothing that was acknowledged, and grows with the models that write it."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from prediction_factory import START, prediction

from thorax.errors import InputError, RoomError
from thorax.prediction_log import (
    IDENTITY,
    PredictionLog,
    columns_of,
    count,
    one_answer,
    prune,
    read_feedback,
    read_log,
    read_shadow,
)
from thorax.prediction_log.streaming import stream


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "predictions.db"


def test_what_is_written_is_read_back(path: Path) -> None:
    log = PredictionLog(path, ["Effusion"])
    one = prediction(0.8, age=97.4)
    log.write(one, log.digest(b"image"))
    row = read_log(path).iloc[0]
    assert row["request_id"] == one.request_id
    assert row["time"].to_pydatetime() == START
    assert row["p_Effusion"] == 0.8
    assert (row["d_Effusion"], row["c_Effusion"], row["heat_y_Effusion"]) == (1, "present", 0.6)
    assert row["age"] == 90.0  # the very old are few
    assert row["image_digest"] != log.digest(b"another")


def test_only_allowed_columns_exist(path: Path) -> None:
    log = PredictionLog(path, ["Effusion"])
    log.write(prediction(), "d")
    assert set(read_log(path).columns) == set(IDENTITY) | set(columns_of(["Effusion"]))
    stored = path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
    assert b"summary" not in stored
    assert b"refer" not in stored


def test_digests_are_the_installation_s_own(path: Path, tmp_path: Path) -> None:
    here, there = PredictionLog(path, []), PredictionLog(tmp_path / "other" / "p.db", [])
    assert here.digest(b"image") == PredictionLog(path, []).digest(b"image")
    assert here.digest(b"image") != there.digest(b"image")
    assert (path.parent / "salt").stat().st_mode & 0o077 == 0


def test_a_new_model_s_findings_get_columns(path: Path) -> None:
    PredictionLog(path, ["Effusion"]).write(prediction(), "d")
    log = PredictionLog(path)
    other = PredictionLog(path)
    log.write(prediction(minutes=1, findings=("Effusion", "Hernia")), "d")
    log.write(prediction(minutes=2, findings=("Mass",)), "d")
    other.write(prediction(minutes=3, findings=("Mass", "Hernia")), "d")
    table = read_log(path)
    assert table["p_Hernia"].isna().tolist() == [True, False, True, False]
    assert table["p_Mass"].isna().tolist() == [True, True, False, False]


def test_reads_a_span_of_time(path: Path) -> None:
    log = PredictionLog(path, ["Effusion"])
    for minutes in (3, 1, 2, 0):
        log.write(prediction(minutes / 10, minutes), "d")
    span = read_log(path, START + timedelta(minutes=1), START + timedelta(minutes=3))
    assert span["p_Effusion"].tolist() == [0.1, 0.2]
    assert len(read_log(path, datetime(2030, 1, 1, tzinfo=UTC))) == 0
    naive = read_log(path, (START + timedelta(minutes=3)).replace(tzinfo=None))
    assert len(naive) == 1


def test_no_log_says_what_to_do(path: Path) -> None:
    with pytest.raises(InputError, match="thorax serve"):
        read_log(path)
    assert count(path) == 0
    path.parent.mkdir()
    path.write_text("not a database, whatever its name says, and long enough to be looked at as one")
    with pytest.raises(InputError, match="not a prediction log"):
        read_log(path)


def test_feedback_belongs_to_a_prediction(path: Path) -> None:
    log = PredictionLog(path, ["Effusion"])
    one = prediction()
    log.write(one, "d")
    log.write_feedback(one.request_id, {"Effusion": True, "Edema": False}, "radiologist", START)
    kept = read_feedback(path)
    assert dict(zip(kept["finding"], kept["present"], strict=True)) == {"Effusion": 1, "Edema": 0}
    with pytest.raises(InputError, match="no prediction"):
        log.write_feedback("unknown", {"Effusion": True}, None, START)
    assert len(read_feedback(path)) == 2


def test_pruning_takes_the_old_and_their_feedback(path: Path) -> None:
    log = PredictionLog(path, ["Effusion"])
    old, new = prediction(minutes=0), prediction(minutes=60)
    for one in (old, new):
        log.write(one, "d")
        log.write_feedback(one.request_id, {"Effusion": True}, None, START)
    assert prune(path, START + timedelta(minutes=30)) == 1
    assert read_log(path)["request_id"].tolist() == [new.request_id]
    assert read_feedback(path)["request_id"].tolist() == [new.request_id]


def test_a_full_disk_is_said_and_nothing_is_acknowledged(path: Path) -> None:
    log = PredictionLog(path, ["Effusion"])
    log.write(prediction(), "d")
    database = log._store.connection  # type: ignore[attr-defined]
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count={pages}")
    written = 1
    with pytest.raises(RoomError, match="disk is full"):
        for _ in range(1000):
            log.write(prediction(), "d")
            written += 1
    assert count(path) == written


def test_threads_and_processes_write_at_once(path: Path) -> None:
    logs = [PredictionLog(path, ["Effusion"]) for _ in range(2)]

    def work(log: PredictionLog) -> None:
        for _ in range(25):
            log.write(prediction(), "d")

    threads = [threading.Thread(target=work, args=(log,)) for log in logs for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(path) == 100


def test_a_killed_writer_loses_nothing_that_it_acknowledged(path: Path, project: Path) -> None:
    program = (
        "import sys\n"
        "from prediction_factory import prediction\n"
        "from thorax.prediction_log import PredictionLog\n"
        f"log = PredictionLog({str(path)!r}, ['Effusion'])\n"
        "while True:\n"
        "    one = prediction()\n"
        "    log.write(one, 'd')\n"
        "    print(one.request_id, flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{project}{os.pathsep}{project / 'tests' / 'support'}"}
    acknowledged: list[str] = []
    for pause in (0.05, 0.12):
        writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
        assert writer.stdout is not None
        acknowledged.append(writer.stdout.readline().decode().strip())
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().decode().split("\n")
        acknowledged += [line for line in rest[:-1] if line]
        writer.wait()
    kept = read_log(path)["request_id"]
    assert set(acknowledged) <= set(kept)
    assert kept.is_unique
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_same_feedback_twice_counts_once_and_a_change_of_mind_is_kept(path: Path) -> None:
    log = PredictionLog(path, ["Effusion"])
    one = prediction()
    log.write(one, "d")
    assert log.write_feedback(one.request_id, {"Effusion": True}, "radiologist", START) == 1
    assert log.write_feedback(one.request_id, {"Effusion": True}, "radiologist", START) == 0  # sent again
    assert log.write_feedback(one.request_id, {"Effusion": True}, "physician", START) == 1  # of another reader
    assert log.write_feedback(one.request_id, {"Effusion": False}, "radiologist", START) == 1
    kept = read_feedback(path)
    assert kept["present"].tolist() == [1, 1, 0]
    assert kept[kept["role"] == "radiologist"]["present"].iloc[-1] == 0


def test_a_clock_that_jumps_back_keeps_the_sequence_and_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from thorax.prediction_log import writing

    log = PredictionLog(path, ["Effusion"])
    log.write(prediction(0.1, minutes=60), "d")
    real = writing.clock.time
    monkeypatch.setattr(writing.clock, "time", lambda: real() - 3600)
    log.write(prediction(0.2, minutes=0), "d")
    assert "clock jumped by -3600" in caplog.text
    rows = read_log(path)
    assert rows["p_Effusion"].tolist() == [0.2, 0.1]  # by time
    assert rows.sort_values("sequence")["p_Effusion"].tolist() == [0.1, 0.2]  # as it was


def test_an_older_file_is_carried_over(path: Path) -> None:
    """The layout before rows had a sequence; read as it is, and carried over by the first writer."""
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE predictions (request_id TEXT PRIMARY KEY, time TEXT NOT NULL, model_version TEXT, "
            "image_digest TEXT, p_Effusion REAL)"
        )
        old.execute("CREATE INDEX predictions_time ON predictions (time)")
        rows = [(name, f"2026-01-0{day}T00:00:00.000Z", "1", "d", 0.5) for day, name in ((2, "a"), (1, "b"))]
        old.executemany("INSERT INTO predictions VALUES (?, ?, ?, ?, ?)", rows)
        old.execute(
            "CREATE TABLE feedback (request_id TEXT NOT NULL, time TEXT NOT NULL, role TEXT, finding TEXT NOT NULL, "
            "present INTEGER NOT NULL)"
        )
        old.execute("INSERT INTO feedback VALUES ('a', '2026-01-02T00:00:00.000Z', 'other', 'Effusion', 1)")
    old.close()
    assert read_log(path)["request_id"].tolist() == ["b", "a"]
    log = PredictionLog(path, ["Effusion"])
    log.write(prediction(0.9, minutes=10_000), "d")
    table = read_log(path)
    assert table["request_id"].tolist()[:2] == ["b", "a"]
    assert table["sequence"].tolist() == [2, 1, 3]
    assert table["p_Effusion"].tolist() == [0.5, 0.5, 0.9]
    assert len(read_feedback(path)) == 1
    with sqlite3.connect(path) as now:
        assert now.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_file_of_a_newer_layout_is_left_alone(path: Path) -> None:
    PredictionLog(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="newer Thorax"):
        PredictionLog(path)


def test_a_shadow_is_kept_beside_the_answer(path: Path) -> None:
    log = PredictionLog(path, ["Effusion"])
    answered = prediction(0.8, findings=("Effusion", "Edema"))
    log.write(answered, "d")
    log.write_shadow(answered, prediction(0.3, findings=("Effusion", "Mass")))
    row = read_shadow(path).iloc[0]
    assert len(read_shadow(path)) == 1  # of what both assess
    assert (row["finding"], row["p"], row["shadow_p"], row["d"], row["shadow_d"]) == ("Effusion", 0.8, 0.3, 1, 0)


def test_rows_of_the_release_before_have_one_answer(path: Path) -> None:
    earlier = pd.DataFrame({"d_Edema": [0, 1, 1, 0], "c_Edema": ["present", "absent", "present", "uncertain"]})
    assert one_answer(earlier)["c_Edema"].tolist() == ["uncertain", "uncertain", "present", "uncertain"]
    PredictionLog(path).write(prediction(), "")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE predictions SET d_Effusion = 0")
    assert read_log(path)["c_Effusion"].tolist() == ["uncertain"]
    (batch,) = stream(path, ["c_Effusion", "d_Effusion"])
    assert batch["c_Effusion"].tolist() == ["uncertain"]
