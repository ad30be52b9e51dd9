"""The bench of the data side runs through and says what it found and what it should be."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from commands.bench.data import bench

app = typer.Typer()
app.command()(bench)


@pytest.mark.slow
def test_parts_run_and_are_written_down(tmp_path: Path) -> None:
    arguments = ["--part", "memory", "--part", "dvc", "--count", "60", "--workers", "1"]
    result = CliRunner().invoke(app, [*arguments, "--json", "--markdown", str(tmp_path / "figures.md")])
    assert result.exception is None, result.exception
    found = json.loads(result.stdout)
    assert {figure["part"].split(":")[0].split(" ")[0] for figure in found} == {"Memory", "DVC"}
    assert all(figure["found"] >= 0 for figure in found)
    assert "| in shards: pulled |" in (tmp_path / "figures.md").read_text()


def test_an_unknown_part_is_refused_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["--part", "sped"])
    assert "Did you mean speed?" in str(result.exception)
