"""The report: pages that open with no network, JSON, and what it refuses."""

import json
import re
from pathlib import Path

import pytest
from stream_factory import logged, stream

from thorax.errors import InputError
from thorax.monitoring.report import report
from thorax.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"monitor": {"resamples": 50}})


def test_the_page_says_the_verdict_and_the_json_holds_every_figure(settings: Settings, tmp_path: Path) -> None:
    found = report(settings, logged(400, 1, shift=0.8), stream(800), tmp_path / "r", distributions=False)
    page = found.page.read_text()
    assert "Drift in" in page
    assert "effusion" in page
    assert not re.findall(r"(?:src|href)=\"https?:", page)
    tree = json.loads((tmp_path / "r" / "drift.json").read_text())
    assert tree["verdict"] == "drift"
    assert tree["rows"] == 400
    assert len(tree["columns"]) == len(stream(1).columns)
    assert found.figures()["p_Effusion/score"] > 1
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["drift.json", "index.html"]


def test_only_predictions_of_the_version_are_compared(settings: Settings, tmp_path: Path) -> None:
    import pandas as pd

    log = pd.concat([logged(400, 1), logged(500, 2, shift=3.0, version="2")])
    found = report(settings, log, stream(800), tmp_path / "r", model_version="1", distributions=False)
    assert (found.drift.verdict, found.drift.rows, found.others) == ("quiet", 400, 500)
    with pytest.raises(InputError, match=r"version 3.*some of 1, 2"):
        report(settings, log, stream(800), tmp_path / "r", model_version="3", distributions=False)
    with pytest.raises(InputError, match="no prediction in this window"):
        report(settings, log.head(0), stream(800), tmp_path / "r", model_version="1", distributions=False)


@pytest.mark.slow
def test_evidently_draws_the_same_window_with_our_verdict_and_no_network(settings: Settings, tmp_path: Path) -> None:
    import numpy as np

    log = logged(400, 1, shift=0.8).assign(age=np.nan, view="unknown")
    found = report(settings, log, stream(800), tmp_path / "r")
    html = (tmp_path / "r" / "distributions.html").read_text()
    assert "Thorax score" in html
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?:", html)
    assert 'href="distributions.html"' in found.page.read_text()
