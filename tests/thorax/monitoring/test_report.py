"""A whole examination of a log: the pages, the JSON, and what the log may hold that it should not."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stream_factory import embedded, logged, reference_bundle, write_log

from thorax.errors import InputError
from thorax.monitoring.examine import Examination, examine
from thorax.monitoring.history import History, history_path
from thorax.prediction_log import PredictionLog
from thorax.settings import Settings

DAY = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"home": tmp_path, "monitor": {"resamples": 100}})


@pytest.fixture
def look(settings: Settings, tmp_path: Path) -> Any:
    bundle = reference_bundle(tmp_path / "bundle")

    def call(frame: pd.DataFrame | None = None, **values: Any) -> Examination:
        if frame is not None:
            write_log(tmp_path / "log.db", frame)
        given = {"bundle": bundle, "version": "1", "place": tmp_path / "log.db", "quick": True} | values
        return examine(settings, **given)

    return call


def some(rows: int, seed: int, shift: float = 0.0, **values: Any) -> pd.DataFrame:
    return embedded(logged(rows, seed, shift, **values), seed)


def test_the_page_says_the_verdict_and_the_json_holds_every_figure(look: Any, tmp_path: Path) -> None:
    found = look(some(400, 1, shift=1.2), out=tmp_path / "r")
    page = found.page.read_text()
    assert found.verdict.status == "alarm"
    assert "Alarm: probability of effusion" in page
    assert "thorax monitor ack 1" in page
    assert not re.findall(r"(?:src|href)=\"https?:", page)
    tree = json.loads((tmp_path / "r" / "drift.json").read_text())
    assert tree["status"] == "alarm"
    assert tree["window"]["rows"] == 400
    assert {"p_Effusion", "noise", "embedding", "age"} <= {column["column"] for column in tree["drift"]["columns"]}
    assert found.series()["p_Effusion/score"] > 1
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["drift.json", "index.html"]
    assert look().verdict == found.verdict  # the same window again is the same verdict
    assert len(History(history_path(tmp_path / "var")).windows()) == 1


def test_a_model_that_has_seen_phantoms_alone_is_marked_as_such(look: Any, tmp_path: Path) -> None:
    assert "Synthetic." not in look(some(400, 1), out=tmp_path / "r").page.read_text()
    (tmp_path / "bundle" / "bundle.json").write_text('{"synthetic": true}')
    found = look(out=tmp_path / "s")
    assert "Synthetic." in found.page.read_text()
    assert found.as_dict()["synthetic"] is True


def test_only_predictions_of_the_version_are_compared(look: Any) -> None:
    found = look(pd.concat([some(400, 1), some(500, 2, shift=3.0, version="2")]))
    assert (found.verdict.status, found.verdict.window.rows, found.verdict.window.others) == ("quiet", 400, 500)
    none = look(version="3")
    assert (none.verdict.status, none.verdict.window.others) == ("too_few", 900)


def test_an_empty_log_a_missing_one_and_three_rows_give_no_verdict(look: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prediction log"):
        look()
    PredictionLog(tmp_path / "log.db").close()
    empty = look(out=tmp_path / "r")
    assert empty.verdict.status == "too_few"
    assert "No prediction of version 1" in empty.page.read_text()
    three = look(some(3, 1, shift=9.0), out=tmp_path / "r")
    assert (three.verdict.status, three.verdict.window.rows) == ("too_few", 3)
    assert "Too few predictions for a verdict: 3" in three.page.read_text()


def test_a_log_of_another_models_findings_is_refused(look: Any) -> None:
    other = some(300, 1).rename(columns=lambda name: name.replace("Effusion", "Hernia"))
    with pytest.raises(InputError, match=r"lacks p_Effusion.*another model"):
        look(other)
    # The table keeps a column of each finding that any model ever answered for.
    with pytest.raises(InputError, match=r"lacks p_Effusion.*another model"):
        look(some(300, 2, version="2"))


def test_a_missing_reference_is_named(look: Any, tmp_path: Path) -> None:
    write_log(tmp_path / "log.db", some(300, 1))
    (tmp_path / "bundle" / "reference.parquet").unlink()
    with pytest.raises(InputError, match=r"has no reference.*Register the model anew"):
        look()


def test_predictions_from_the_future_are_left_out_and_counted(look: Any, tmp_path: Path) -> None:
    frame = some(400, 1)
    frame.loc[300:, "time"] += pd.Timedelta(days=700)
    found = look(frame, now=datetime(2026, 1, 3, tzinfo=UTC), out=tmp_path / "r")
    assert (found.verdict.window.rows, found.verdict.window.skewed) == (300, 100)
    assert "100 predictions have a time in the future" in found.page.read_text()


def test_a_long_window_is_looked_at_evenly(look: Any, settings: Settings, tmp_path: Path) -> None:
    monitor = settings.monitor.model_copy(update={"sample_rows": 1000})
    write_log(tmp_path / "log.db", some(3500, 1))
    sampled = settings.model_copy(update={"monitor": monitor})
    found = examine(sampled, bundle=tmp_path / "bundle", version="1", place=tmp_path / "log.db", quick=True)
    assert (found.verdict.window.rows, found.verdict.window.looked_at) == (3500, 875)
    assert found.verdict.status == "quiet"


def test_failures_and_latency_alarm_by_themselves(look: Any, tmp_path: Path) -> None:
    write_log(tmp_path / "log.db", some(400, 1).assign(took_ms=5000.0))
    log = PredictionLog(tmp_path / "log.db")
    for number in range(60):
        log.write_failure(f"{number:032x}", 500, DAY - timedelta(hours=20))
    log.close()
    found = look(out=tmp_path / "r")
    assert [item.figure for item in found.verdict.warnings] == ["failures", "latency"] or found.verdict.alarms
    assert found.service.failed == 60
    assert "60 with 500" in found.page.read_text()


def test_a_window_is_read_between_its_moments(look: Any) -> None:
    found = look(some(400, 1), since=datetime(2026, 1, 1, 1, tzinfo=UTC), until=datetime(2026, 1, 1, 5))
    assert found.verdict.window.rows == 240
    assert found.verdict.window.since.startswith("2026-01-01T01:00")


@pytest.mark.slow
def test_evidently_draws_the_same_window_with_our_verdict_and_no_network(look: Any, tmp_path: Path) -> None:
    found = look(some(400, 1, shift=0.8).assign(age=np.nan, view="unknown"), out=tmp_path / "r", quick=False)
    html = (tmp_path / "r" / "distributions.html").read_text()
    assert "Thorax score" in html
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?:", html)
    assert 'href="distributions.html"' in found.page.read_text()
    assert json.loads((tmp_path / "r" / "distributions.json").read_text())["metrics"]
    assert found.classifier == pytest.approx(0.5, abs=0.12)
    assert list((tmp_path / "var" / "monitoring" / "workspace").rglob("*.json"))
