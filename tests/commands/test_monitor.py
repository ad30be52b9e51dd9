"""`thorax monitor`, as a person types it."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from commands.moments import read_moment
from commands.monitor import ALARM, app
from thorax.errors import InputError
from thorax.prediction_log import PredictionLog, log_path, read_feedback
from thorax.registry.bundles import fetch
from thorax.registry.tracking import client, initialise
from thorax.settings import Settings

FINDINGS = ("Effusion", "Edema", "Cardiomegaly")
START = datetime(2026, 1, 1, tzinfo=UTC)


def write_log(
    settings: Settings, rows: int, brighter: float = 0.0, version: str = "1", begin: datetime = START
) -> Path:
    """Write predictions drawn from the champion's own reference, one a minute."""
    reference = pd.read_parquet(fetch(settings) / "reference.parquet").drop(columns="group")
    frame = reference.sample(rows, replace=True, random_state=1).reset_index(drop=True)
    frame["brightness"] += brighter * frame["brightness"].std()
    times = [(begin + timedelta(minutes=i)).isoformat(timespec="milliseconds")[:-6] + "Z" for i in range(rows)]
    frame.insert(0, "time", times)
    frame.insert(0, "request_id", [f"{begin:%d}-{brighter}-{i}" for i in range(rows)])
    frame.insert(2, "model_version", version)
    frame.insert(3, "image_digest", "0")
    path = log_path(settings.var)
    PredictionLog(path, FINDINGS).close()
    with closing(sqlite3.connect(path)) as database, database:
        frame.to_sql("predictions", database, index=False, if_exists="append")
    return path


@pytest.fixture
def call(with_registry: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("THORAX_HOME", str(with_registry.home))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, [*arguments, "-S", "monitor.resamples=60"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_a_quiet_window_ends_well_and_an_alarm_ends_with_ten(
    call: Callable[..., Result], with_registry: Settings
) -> None:
    write_log(with_registry, 400)
    quiet = call("report", "--quick")
    assert (quiet.exit_code, "No drift" in quiet.stdout) == (0, True)
    write_log(with_registry, 400, brighter=2.0, begin=START + timedelta(days=1))
    alarm = call("report", "--quick", "--since", "2026-01-02", "--json")
    assert alarm.exit_code == ALARM
    tree = json.loads(alarm.stdout)
    assert [item["figure"] for item in tree["alarms"]] == ["brightness"]
    assert tree["incident"]["state"] == "open"
    assert Path(tree["page"]).is_file()
    assert "looked after" in call("ack", "--note", "new detector").stdout
    assert "acknowledged" in call("incidents").stdout
    told = json.loads(call("history", "--json").stdout)
    assert [item["status"] for item in told] == ["quiet", "alarm"]
    shown = call("history").stdout
    assert "image: brightness" in shown
    page = (with_registry.var / "monitoring" / "history.html").read_text()
    assert "new detector" in page
    assert "version 1 promoted" in page or "Promotions" in page


def test_an_alarm_is_told_once_and_a_server_that_is_not_there_does_not_fail_the_run(
    call: Callable[..., Result], with_registry: Settings
) -> None:
    write_log(with_registry, 400, brighter=2.0)
    where = ["monitor.alerts.webhook.url=http://127.0.0.1:1/", "monitor.alerts.textfile=gauges.prom"]
    options = [word for text in where for word in ("-S", text)]
    first = call("report", "--quick", *options)
    assert first.exit_code == ALARM
    assert "The webhook cannot be reached" in first.output
    assert "It is kept, and tried again with the next run." in first.output.replace("\n", " ")
    gauges = (with_registry.home / "gauges.prom").read_text()
    assert 'thorax_monitor_status{status="alarm",version="1"} 1.0' in gauges
    assert 'thorax_monitor_incident{version="1"} 1.0' in gauges
    call("report", "--quick", *options)
    waits = call("incidents").output.replace("\n", " ")
    assert "Not delivered by webhook after 2 tries" in waits
    assert waits.count("Not delivered") == 1


def test_a_window_too_small_gives_no_verdict(call: Callable[..., Result], with_registry: Settings) -> None:
    write_log(with_registry, 400, brighter=1.0)
    found = call("report", "--quick", "--since", "2026-01-01T05:00")
    assert found.exit_code == 0
    assert "Too few predictions for a verdict: 100" in found.stdout


def test_what_cannot_be_compared_is_said(call: Callable[..., Result], with_registry: Settings) -> None:
    with pytest.raises(InputError, match="no prediction log"):
        call("report", "--quick")
    write_log(with_registry, 400, version="9")
    other = call("report", "--quick")
    assert (other.exit_code, "holds 400 of other versions" in other.stdout) == (0, True)
    with pytest.raises(InputError, match="no moment"):
        call("report", "--since", "yesterday")


def test_moments_are_read_as_people_write_them() -> None:
    assert read_moment("2026-11-22") == datetime(2026, 11, 22, tzinfo=UTC)
    assert read_moment("2026-11-22T08:00+01:00").astimezone(UTC).hour == 7
    assert abs(datetime.now(UTC) - timedelta(days=7) - read_moment("7d")) < timedelta(seconds=5)


def test_confirmed_findings_come_in_and_what_cannot_be_used_is_said(
    call: Callable[..., Result], with_registry: Settings, tmp_path: Path
) -> None:
    place = write_log(with_registry, 6)
    rows = [
        "request_id,Effusion,edema",
        "01-0.0-0,1,0",
        "01-0.0-0,1,",
        "01-0.0-1,1,",
        "01-0.0-1,0,",
        "nobody,1,1",
        "01-0.0-2,,yes",
    ]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    found = call("label", str(tmp_path / "labels.csv"))
    assert "3 findings of 2 answers kept; 0 were known already." in found.stdout
    assert "1 rows repeat others." in found.output
    assert "Rows contradict each other, left out: 01-0.0-1." in found.output
    assert "Not in the log, left out: nobody." in found.output
    assert set(read_feedback(place)["role"]) == {"confirmed"}
    again = json.loads(call("label", str(tmp_path / "labels.csv"), "--json").stdout)
    assert (again["kept"], again["known"]) == (0, 3)
    (tmp_path / "labels.csv").write_text("request_id,Hernia\nx,1")
    with pytest.raises(InputError, match="'Hernia' is no finding of this model"):
        call("label", str(tmp_path / "labels.csv"))


@pytest.mark.slow
def test_a_whole_report_is_drawn_and_stands_in_mlflow(call: Callable[..., Result], with_registry: Settings) -> None:
    write_log(with_registry, 400, brighter=2.0)
    tree = json.loads(call("report", "--json").stdout)
    assert Path(tree["page"]).with_name("distributions.html").stat().st_size > 1e6
    (found,) = client(with_registry).search_runs([initialise(with_registry)], "tags.`thorax.kind` = 'monitoring'")
    assert found.data.tags["thorax.verdict"] == "alarm"
    assert found.data.metrics["largest/score"] > 1
    assert np.isfinite(list(found.data.metrics.values())).all()


@pytest.mark.slow
def test_evidently_s_pages_start_on_loopback_with_the_workspace(
    call: Callable[..., Result], with_registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, command: started.append(command))
    call("ui", "--port", "8123")
    ((*_, host, port_option, port),) = started
    assert (host, port_option, port) == ("127.0.0.1", "--port", "8123")
    assert (with_registry.var / "monitoring" / "workspace").is_dir()
