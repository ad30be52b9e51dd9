"""`thorax monitor` and `thorax retrain`, as a person types them."""

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

from commands.monitor import DRIFT, _moment, app
from thorax.errors import InputError
from thorax.registry.bundles import fetch
from thorax.registry.tracking import client, initialise
from thorax.settings import Settings


def write_log(settings: Settings, rows: int, brighter: float = 0.0, version: str = "1") -> Path:
    """Write a prediction log drawn from the champion's own reference."""
    reference = pd.read_parquet(fetch(settings) / "reference.parquet")
    frame = reference.sample(rows, replace=True, random_state=1).reset_index(drop=True)
    frame["brightness"] += brighter * frame["brightness"].std()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [
        (start + timedelta(minutes=i)).isoformat(timespec="milliseconds").replace("+00:00", "Z") for i in range(rows)
    ]
    frame.insert(0, "time", times)
    frame.insert(0, "request_id", [f"r{i}" for i in range(rows)])
    frame.insert(2, "model_version", version)
    frame.insert(3, "image_digest", "0")
    path = settings.var / "serving" / "predictions.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database:
        frame.to_sql("predictions", database, index=False)
    return path


@pytest.fixture
def run(with_registry: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("THORAX_HOME", str(with_registry.home))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(app, ["report", *arguments, "-S", "monitor.resamples=60"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_a_quiet_window_ends_well_and_drift_ends_with_ten(run: Callable[..., Result], with_registry: Settings) -> None:
    write_log(with_registry, 400)
    quiet = run("--quick")
    assert (quiet.exit_code, "No drift" in quiet.stdout) == (0, True)
    write_log(with_registry, 400, brighter=1.0)
    drift = run("--quick", "--json")
    assert drift.exit_code == DRIFT
    tree = json.loads(drift.stdout)
    assert tree["alarms"] == ["brightness"]
    assert Path(tree["page"]).is_file()
    told = json.loads(CliRunner().invoke(app, ["history", "--json"]).stdout)
    assert "drift" in [item["verdict"] for item in told]
    assert "image: brightness" in CliRunner().invoke(app, ["history"]).stdout


def test_a_window_too_small_gives_no_verdict(run: Callable[..., Result], with_registry: Settings) -> None:
    write_log(with_registry, 400, brighter=1.0)
    found = run("--quick", "--since", "2026-01-01T05:00")
    assert found.exit_code == 0
    assert "Too few predictions for a verdict: 100 of at least 300" in found.stdout


def test_what_cannot_be_compared_is_said(run: Callable[..., Result], with_registry: Settings) -> None:
    with pytest.raises(InputError, match="no prediction log"):
        run("--quick")
    write_log(with_registry, 400, version="9")
    with pytest.raises(InputError, match="no prediction of version 1; it holds some of 9"):
        run("--quick")
    with pytest.raises(InputError, match="no moment"):
        run("--since", "yesterday")


def test_moments_are_read_as_people_write_them() -> None:
    assert _moment("2026-11-22") == datetime(2026, 11, 22, tzinfo=UTC)
    assert _moment("2026-11-22T08:00+01:00").astimezone(UTC).hour == 7
    assert abs(datetime.now(UTC) - timedelta(days=7) - _moment("7d")) < timedelta(seconds=5)


@pytest.mark.slow
def test_a_whole_report_is_drawn_and_stands_in_mlflow(run: Callable[..., Result], with_registry: Settings) -> None:
    write_log(with_registry, 400, brighter=1.0)
    tree = json.loads(run("--json").stdout)
    assert Path(tree["page"]).with_name("distributions.html").stat().st_size > 1e6
    (found,) = client(with_registry).search_runs([initialise(with_registry)], "tags.`thorax.kind` = 'monitoring'")
    assert found.data.tags["thorax.verdict"] == "drift"
    assert found.data.metrics["brightness/score"] > 1
    assert np.isfinite(list(found.data.metrics.values())).all()


def test_retraining_needs_a_reason_and_hands_it_on(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    import commands.pipeline
    from commands.monitor import retrain

    monkeypatch.setenv("THORAX_HOME", str(home))
    asked: list[str] = []
    monkeypatch.setattr(commands.pipeline, "train", lambda settings, reason: asked.append(reason))
    monkeypatch.setattr(commands.pipeline, "show", lambda run: None)
    retrain(reason="drift in brightness", set_=None, json=False)
    assert asked == ["drift in brightness"]
    with pytest.raises(InputError, match="needs a reason"):
        retrain(reason=" ", set_=None, json=False)
