"""`thorax monitor run`, `watch` and `retrainings`, and `thorax retrain`, as a person types them."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from commands.main import app
from commands.monitor import loop as monitor_loop
from commands.monitor.loop import ALARM, seconds_of
from thorax.errors import InputError, RegistryError, ThoraxError
from thorax.monitoring.loop.journal import Journal, journal_path
from thorax.registry.bundles import fetch
from thorax.settings import Settings, load

Call = Callable[..., Result]


@pytest.fixture
def call(with_registry: Settings, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("THORAX_HOME", str(with_registry.home))

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(app, [*arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def write_log(settings: Settings, rows: int, brighter: float = 0.0, hours_ago: float = 10.0) -> None:
    """Add predictions to the log, drawn from the champion's own reference."""
    from thorax.prediction_log import PredictionLog, log_path

    path = log_path(settings.var)
    PredictionLog(path, ("Effusion",))
    reference = pd.read_parquet(fetch(settings) / "reference.parquet")
    frame = reference.sample(rows, replace=True, random_state=int(hours_ago)).reset_index(drop=True)
    frame["brightness"] += brighter * frame["brightness"].std()
    start = datetime.now(UTC) - timedelta(hours=hours_ago)
    with closing(sqlite3.connect(path)) as database, database:
        known = {row[1] for row in database.execute("PRAGMA table_info(predictions)")}
        for name in frame.columns:
            if name not in known:
                database.execute(f'ALTER TABLE predictions ADD COLUMN "{name}"')
        frame = frame[[name for name in frame.columns if name != "patient"]]
        times = [(start + timedelta(seconds=i)).isoformat(timespec="milliseconds") for i in range(rows)]
        frame.insert(0, "time", [text.replace("+00:00", "Z") for text in times])
        frame.insert(0, "request_id", [f"{hours_ago}-{i}" for i in range(rows)])
        frame.insert(2, "model_version", "1")
        frame.insert(3, "image_digest", "0")
        frame.to_sql("predictions", database, index=False, if_exists="append")


QUICK = ("monitor", "run", "--quick", "-S", "monitor.resamples=100", "-S", "monitor.false_alarm_rate=0.001")


def test_each_run_looks_at_what_was_answered_since_the_last(call: Call, with_registry: Settings) -> None:
    write_log(with_registry, 300, hours_ago=10)
    first = json.loads(call(*QUICK, "--json").stdout)
    assert (first["rows"], first["action"]) == (300, "nothing")
    assert first["status"] in ("quiet", "warning")
    again = json.loads(call(*QUICK, "--json").stdout)
    assert (again["rows"], again["status"]) == (0, "too_few")
    write_log(with_registry, 250, brighter=3.0, hours_ago=5)
    alarm = call(*QUICK, "--json")
    assert alarm.exit_code == ALARM
    told = json.loads(alarm.stdout)
    assert (told["rows"], told["status"], told["action"]) == (250, "alarm", "hold")
    assert "0 new confirmed cases, of at least 50" in told["why"]
    assert "brightness" in told["headline"]
    # The alarm lasts while nothing new is answered, and is no news.
    assert json.loads(call(*QUICK, "--json").stdout)["action"] == "hold"
    assert "Not retrained: 0 new confirmed cases" in call(*QUICK).stdout


def test_confirmed_cases_are_counted_from_the_log_and_the_folder(call: Call, with_registry: Settings) -> None:
    from thorax.prediction_log import PredictionLog, log_path

    write_log(with_registry, 250, brighter=3.0, hours_ago=5)
    log = PredictionLog(log_path(with_registry.var))
    for number in range(3):
        labels = dict.fromkeys(("Effusion", "Edema", "Cardiomegaly"), number == 1)
        log.write_feedback(f"5-{number}", labels, "radiologist", datetime.now(UTC))
        place = with_registry.home / "aside" / f"patient{number}"
        place.mkdir(parents=True)
        (place / f"5-{number}.png").write_bytes(bytes([number]))
    told = json.loads(call(*QUICK, "-S", "monitor.confirmed_dir=aside", "--json").stdout)
    assert told["action"] == "hold"
    assert "3 new confirmed cases, of at least 50" in told["why"]


def test_an_alarm_that_may_not_retrain_says_so(call: Call, with_registry: Settings) -> None:
    write_log(with_registry, 250, brighter=3.0)
    found = call(*QUICK, "-S", "monitor.retrain.auto=false")
    assert found.exit_code == ALARM
    assert "Not retrained: monitor.retrain.auto is off: `thorax retrain` retrains" in found.stdout


def test_what_is_missing_is_said(call: Call, with_registry: Settings) -> None:
    with pytest.raises(InputError, match="no prediction log"):
        call(*QUICK)
    write_log(with_registry, 250)
    folder = fetch(with_registry)
    folder.chmod(0o755)
    (folder / "reference.parquet").unlink()
    # A damaged copy is fetched anew from the registry, and nobody notices.
    assert call(*QUICK).exit_code == 0


def test_without_a_champion_there_is_nothing_to_watch(
    home: Path, mlflow_template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THORAX_HOME", str(home))
    mlflow_template(load(home))
    result = CliRunner().invoke(app, [*QUICK])
    assert isinstance(result.exception, RegistryError)
    assert "has no 'champion'" in str(result.exception)


def test_retraining_by_hand_needs_a_reason_and_can_be_given_up(call: Call, with_registry: Settings) -> None:
    with pytest.raises(InputError, match="needs a reason"):
        call("retrain", "--reason", " ")
    journal = Journal(journal_path(with_registry.var))
    journal.append("20261122T100000-aaaa", "open", reason="drift", origin="alarm")
    journal.append("20261122T100000-aaaa", "begin", "collect")
    journal.append("20261122T100000-aaaa", "failed", "collect", message="no room", mend="")
    listed = call("monitor", "retrainings").stdout
    assert "not finished: collect (collect failed: no room)" in listed
    assert "given up: repaired" in call("retrain", "--give-up", "--reason", "repaired").stdout
    assert "given up: repaired" in call("monitor", "retrainings").stdout
    assert json.loads(call("monitor", "retrainings", "--json").stdout)[0]["outcome"] == "given up: repaired"


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("1.5h", 5400), ("1d", 86400)])
def test_spans_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "m", "0m", "-3m", "15 min"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no span of time"):
        seconds_of(text)


def test_a_round_that_fails_does_not_end_the_watch(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter((ThoraxError("The registry cannot be reached.", "Wait."), ValueError("a bug"), None))

    def one_round(settings: Settings, *, quick: bool) -> SimpleNamespace:
        error = next(rounds)
        if error is not None:
            raise error
        return SimpleNamespace()

    monkeypatch.setattr(monitor_loop, "one_round", one_round)
    monkeypatch.setattr(monitor_loop, "tell", lambda found: None)
    result = call("monitor", "watch", "--every", "0.01s", "--rounds", "3")
    assert result.exit_code == 0
    for said in ("The registry cannot be reached.", "→ Wait.", "ValueError: a bug", "Ended after 3 rounds."):
        assert said in result.output


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_the_watch_well(home: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "commands.main", "monitor", "watch", "--every", "1h"]
    environment = {**os.environ, "THORAX_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, "")), daemon=True)
    reader.start()
    deadline = time.monotonic() + 90
    while not any(line.startswith("→") for line in said):  # the round has failed: there is no model yet
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=60) == 0
    reader.join(timeout=10)
    assert said[-1] == "Ended after 1 round.\n"
