"""`make bench-registry`, in its shortest form: it runs through and says what it found."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from commands.bench.registry import bench
from commands.bench.registry_parts import Race, race_figures
from thorax.errors import InputError, RegistryError


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("THORAX_HOME", str(home))
    made = typer.Typer()
    made.command()(bench)
    return made


@pytest.mark.slow
def test_it_measures_the_race_and_the_simulation(app: typer.Typer, sample_bundle: Path) -> None:
    short = ["--processes", "2", "--rounds", "2", "--pairs", "10", "--patients", "60"]
    parts = ["--part", "race", "--part", "simulation", "--bundle", str(sample_bundle)]
    result = CliRunner().invoke(app, [*short, *parts, "--json"])
    assert result.exception is None, result.output
    found = json.loads(result.stdout)
    assert [one["good"] for one in found if one["part"] == "race"] == [True, True, None]
    assert sum(one["part"] == "simulation" for one in found) == 8


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_times_whole_commands_and_the_loading(app: typer.Typer, sample_bundle: Path) -> None:
    arguments = ["--part", "speed", "--part", "load", "--bundle", str(sample_bundle), "--repeats", "1"]
    result = CliRunner().invoke(app, [*arguments, "--processes", "2", "--json"])
    assert result.exception is None, result.output
    found = json.loads(result.stdout)
    assert [one["wanted"] for one in found] == ["≤ 4 s", "≤ 4 s", "≤ 0.6 s", "≤ 1.5 s", "", "", ""]


def test_an_unknown_part_and_an_empty_registry_are_named(app: typer.Typer, home: Path, mlflow_template: object) -> None:
    from thorax.settings import load

    mlflow_template(load(home))  # type: ignore[operator]
    assert isinstance(CliRunner().invoke(app, ["--part", "sped"]).exception, InputError)
    assert isinstance(CliRunner().invoke(app, ["--part", "speed"]).exception, RegistryError)


def test_what_a_race_lost_is_shown() -> None:
    found = race_figures(Race(8, 200, 9, 8, 1.0, ("a promotion did not replace the one before it",)))
    assert [one.good for one in found] == [False, False, None, False]
