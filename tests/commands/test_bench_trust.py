"""`make bench-trust`: what a person sees, with and without real radiographs."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from commands import bench_trust, bench_trust_parts
from thorax.errors import InputError

APP = typer.Typer()
APP.command()(bench_trust.bench)
ROWS = [
    ("mean ECE-15", "0.0059", "≤ 0.0060", True),
    ("its size", "7 MB", "< 5 MB", False),
    ("for you to know", "1", "", None),
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("THORAX_HOME", str(home))
    monkeypatch.setattr(bench_trust_parts, "speed", lambda: ROWS)
    monkeypatch.setattr(bench_trust_parts, "published", lambda _: ROWS)


def test_without_real_radiographs_the_rest_is_measured_and_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(APP, ["--real", str(tmp_path)])
    assert result.exit_code == 0
    assert "No real radiographs" in result.output
    assert "speed" in result.output
    assert "published" not in result.output


def test_what_missed_is_told_from_what_was_reached(tmp_path: Path) -> None:
    for name in ("nih256", "labels"):
        (tmp_path / name).mkdir()
    result = CliRunner().invoke(APP, ["--real", str(tmp_path), "--part", "published", "--json"])
    rows = json.loads(result.output[result.output.index("{") :])["published"]
    assert [row["reached"] for row in rows] == [True, False, None]
    shown = CliRunner().invoke(APP, ["--real", str(tmp_path), "--part", "published"]).output
    assert "reached" in shown
    assert "missed" in shown


def test_an_unknown_part_is_named() -> None:
    result = CliRunner().invoke(APP, ["--part", "speeds"])
    assert isinstance(result.exception, InputError)
    assert "Did you mean speed?" in str(result.exception)
