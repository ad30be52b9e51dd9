"""Every table is readable at 80 columns: no word is broken, and a file or pipe, which has no width, is not wrapped."""

import ast
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_factory import prediction
from typer.testing import CliRunner

from commands import console
from commands.follow import Lines
from thorax.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
WORD = st.text("abcdefghijklmnopqrstuvwxyzäöü0123456789._-/:,%", min_size=1, max_size=30)
CELL = st.lists(WORD, max_size=6).map(" ".join)
TABLES = st.integers(1, 8).flatmap(
    lambda count: st.lists(st.lists(CELL, min_size=count, max_size=count), min_size=2, max_size=4)
)


@settings(max_examples=60, deadline=None)
@given(rows=TABLES, width=st.sampled_from([60, 80, 120]))
def test_no_table_breaks_a_word(rows: list[list[str]], width: int) -> None:
    columns, *rows = [[cell or "none" for cell in row] for row in rows]
    with pytest.MonkeyPatch.context() as patch, console.out.capture() as captured:
        patch.setenv("COLUMNS", str(width))
        console.table("Title", columns, rows)
    printed = set(captured.get().split())
    assert {word for row in (columns, *rows) for cell in row for word in cell.split()} <= printed


def test_a_row_that_does_not_fit_is_a_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    row = ("12", "challenger, champion", "timm:tf_efficientnet_lite0", "2026-12-01T07:24", "0.812")
    console.table("Versions", ("version", "state", "architecture", "created", "AUROC"), [row])
    lines = capsys.readouterr().out.splitlines()
    assert "architecture  timm:tf_efficientnet_lite0" in lines and "created       2026-12-01T07:24" in lines


def test_a_pipe_is_not_wrapped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    path = "/srv/" + "a long folder/" * 12 + "file.png"
    console.out.print(f"Report: {path}")
    console.table("Files", ("path", "state"), [(path, "read")])
    assert len([line for line in capsys.readouterr().out.splitlines() if path in line]) == 2


def test_tables_are_built_in_one_place() -> None:
    builders = {"commands/console.py", "commands/follow.py"}
    for path in (ROOT / "commands").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        if "rich.table" in imported:
            assert path.relative_to(ROOT).as_posix() in builders


#: Every command that prints a table and needs no more than a registry and a log.
COMMANDS = (
    *("models list", "models show", "models show 4", "models history", "models diff 1 2", "models compare 1 2"),
    *("models audit", "pipeline presets", "data validate --list", "serve keys list", "monitor incidents"),
    *("monitor history", "monitor retrainings", "log show"),
)


@pytest.fixture
def call(with_registry: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], str]:
    """Run a command of `thorax` in a project with four versions, at a width."""
    from commands.main import app
    from commands.serve import _keys_path
    from serving.security.keys import Keys
    from thorax.prediction import now
    from thorax.prediction_log import PredictionLog, log_path

    monkeypatch.setenv("THORAX_HOME", str(with_registry.home))
    with closing(PredictionLog(log_path(with_registry.var), ["Effusion"])) as log:
        log.write(prediction(0.7, time=now()), "d")
    Keys(_keys_path(with_registry)).create("radiology-information-system", ["predict", "feedback"])

    def run(command: str, width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        result = CliRunner().invoke(app, command.split())
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return run


def test_every_command_prints_whole_words_at_80_and_120_columns(call: Callable[[str, int], str]) -> None:
    for command in COMMANDS:
        whole = set(call(command, 1000).split())
        assert whole, command
        for width in (80, 120):
            text = call(command, width)
            broken = {word for word in text.split() if word not in whole and not set(word) <= set("─━—")}
            assert not broken, f"{command} at {width}: {broken}"
            wide = [line for line in text.splitlines() if len(line) > width]
            assert all(max(map(len, line.split())) > width / 2 for line in wide), f"{command} at {width}: {wide}"


def test_a_long_step_gives_a_sign_of_life_in_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "HEARTBEAT", 0.1)
    lines = Lines()
    with lines.heartbeat:
        lines({"time": time.time(), "step": "train", "label": "custom_cnn", "event": "begin"})
        lines(
            {"time": time.time(), "step": "train", "label": "custom_cnn", "event": "progress"}
            | {"done": 1, "total": 4, "text": "epoch 1/4"}
        )
        time.sleep(0.5)
    said = capsys.readouterr().err
    assert "train custom_cnn running for 0 s (25%, epoch 1/4)" in said
    with console.progress("Rendering phantoms", 8) as advance:
        advance(2)
        time.sleep(0.5)
    assert re.search(r"Rendering phantoms: 2 of 8, \d s, \d s left", capsys.readouterr().err)
