"""The log in PostgreSQL keeps the promises that it keeps in a file."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from postgres import postgres
from prediction_factory import START, prediction

from thorax.errors import InputError, RoomError
from thorax.prediction_log import PredictionLog, count, read_feedback, read_log, read_shadow
from thorax.prediction_log.places import LogError, shown
from thorax.prediction_log.rotation import move

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as address:
        yield address


@pytest.fixture
def place(server: str) -> str:
    """An empty database's address."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server


@pytest.fixture
def log(place: str, tmp_path: Path) -> Iterator[PredictionLog]:
    made = PredictionLog(place, ["Effusion"], salt=tmp_path / "salt")
    yield made
    made.close()


def test_both_databases_give_the_same_tables(log: PredictionLog, place: str, tmp_path: Path) -> None:
    file = PredictionLog(tmp_path / "predictions.db", ["Effusion"], salt=tmp_path / "salt")
    for minutes in (3, 1, 2):
        one = prediction(minutes / 10, minutes, findings=("Effusion", "Mass"), age=95.2)
        for each in (log, file):
            each.write(one, each.digest(b"image"))
            each.write_feedback(one.request_id, {"Mass": True, "Effusion": False}, "physician", START)
            each.write_shadow(one, prediction(0.4))
    for read in (read_log, read_feedback, read_shadow):
        here, there = read(place), read(tmp_path / "predictions.db")
        pd.testing.assert_frame_equal(here, there[list(here.columns)])
        assert set(here.columns) == set(there.columns)
    assert read_log(place, START + timedelta(minutes=2))["p_Mass"].tolist() == [0.2, 0.3]
    assert count(place) == 3


def test_feedback_belongs_to_a_prediction_and_counts_once(log: PredictionLog, place: str) -> None:
    one = prediction()
    log.write(one, "d")
    assert log.write_feedback(one.request_id, {"Effusion": True}, "other", START) == 1
    assert log.write_feedback(one.request_id, {"Effusion": True}, "other", START) == 0
    with pytest.raises(InputError, match="no prediction"):
        log.write_feedback("0" * 32, {"Effusion": True}, "other", START)
    assert len(read_feedback(place)) == 1


def test_threads_write_at_once_and_columns_grow(log: PredictionLog, place: str, tmp_path: Path) -> None:
    other = PredictionLog(place, ["Edema"], salt=tmp_path / "salt")

    def work(each: PredictionLog, finding: str) -> None:
        for _ in range(20):
            each.write(prediction(findings=(finding,)), "d")

    jobs = [threading.Thread(target=work, args=(each, name)) for each in (log, other) for name in ("Mass", "Nodule")]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert count(place) == 80
    assert read_log(place)["p_Nodule"].notna().sum() == 40
    other.close()


def test_a_server_that_went_away_is_said_and_found_again(log: PredictionLog, place: str) -> None:
    with psycopg.connect(place, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'thorax' "
            "AND pid <> pg_backend_pid()"
        )
    log.write(prediction(), "d")  # on a connection of its own making
    assert count(place) == 1
    with pytest.raises(LogError, match="cannot be used") as told:
        read_log("postgresql://thorax:secret@127.0.0.1:1/thorax")
    assert "secret" not in str(told.value)
    assert shown("postgresql://thorax:secret@h:1/d") == "postgresql://thorax@h:1/d"


def test_a_full_disk_of_the_server_is_said(log: PredictionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    monkeypatch.setattr(psycopg.Connection, "execute", full)
    with pytest.raises(RoomError, match="disk is full"):
        log.write(prediction(), "d")


def test_old_rows_move_and_those_written_meanwhile_stay(log: PredictionLog, place: str, tmp_path: Path) -> None:
    for minutes in (0, 60):
        one = prediction(minutes=minutes)
        log.write(one, "d")
        log.write_feedback(one.request_id, {"Effusion": True}, "other", START + timedelta(days=1))
    late = prediction(minutes=1)
    moved = move(place, START + timedelta(minutes=30), tmp_path / "a", advance=lambda _: log.write(late, "d"))
    assert moved.rows == 1
    assert read_log(place)["request_id"].tolist() == [late.request_id, one.request_id]
    assert len(read_log(place, archive=tmp_path / "a")) == 3
    assert len(read_feedback(place)) == 1
    assert len(read_feedback(place, archive=tmp_path / "a")) == 2


def test_a_killed_writer_loses_nothing_that_it_acknowledged(place: str, project: Path, tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from prediction_factory import prediction\n"
        "from thorax.prediction_log import PredictionLog\n"
        f"log = PredictionLog({place!r}, ['Effusion'], salt=pathlib.Path({str(tmp_path / 'salt')!r}))\n"
        "while True:\n"
        "    one = prediction()\n"
        "    log.write(one, 'd')\n"
        "    print(one.request_id, flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{project}{os.pathsep}{project / 'tests' / 'support'}"}
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().decode().strip()]
    time.sleep(0.1)
    writer.send_signal(signal.SIGKILL)
    acknowledged += [line for line in writer.stdout.read().decode().split("\n")[:-1] if line]
    writer.wait()
    kept = read_log(place)["request_id"]
    assert set(acknowledged) <= set(kept)
    assert kept.is_unique
