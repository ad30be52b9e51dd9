"""`make bench-trust`: what a person sees, with and without real radiographs."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from commands.bench import trust as bench_trust
from commands.bench import trust_own as bench_trust_own
from commands.bench import trust_parts as bench_trust_parts
from commands.bench.figures import Figure, at_most, told
from commands.bench.trust_strange import childlike
from thorax.errors import InputError

APP = typer.Typer()
APP.command()(bench_trust.bench)


def figures(part: str) -> list[Figure]:
    return [at_most(part, "mean ECE-15", 0.0059, 0.006, ".4f"), at_most(part, "its size", 7, 5), told(part, "n", 1)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("THORAX_HOME", str(home))
    monkeypatch.setenv("THORAX_REAL_DATA", str(home / "none"))
    monkeypatch.setattr(bench_trust_parts, "speed", lambda: figures("speed"))
    monkeypatch.setattr(bench_trust_parts, "published", lambda _: figures("published"))


@pytest.fixture
def real(tmp_path: Path) -> Path:
    (tmp_path / "nih256").mkdir()
    return tmp_path


def test_without_real_radiographs_the_rest_is_measured_and_it_says_so() -> None:
    result = CliRunner().invoke(APP, [])
    assert result.exit_code == 0
    assert "No real radiographs" in result.output
    assert "speed" in result.output
    assert "published" not in result.output


def test_what_missed_is_told_from_what_was_reached(real: Path) -> None:
    result = CliRunner().invoke(APP, ["--real", str(real), "--part", "published", "--json"])
    assert [one["good"] for one in json.loads(result.stdout)] == [True, False, None]
    shown = CliRunner().invoke(APP, ["--real", str(real), "--part", "published"]).output
    assert "reached" in shown
    assert "missed" in shown


def test_an_unknown_part_is_named() -> None:
    result = CliRunner().invoke(APP, ["--part", "speeds"])
    assert isinstance(result.exception, InputError)
    assert "Did you mean speed?" in str(result.exception)


def test_the_parts_are_listed_without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_trust_parts, "speed", lambda: pytest.fail("it measured"))
    shown = CliRunner().invoke(APP, ["--list"]).output
    assert all(name in shown for name in ("published", "own", "strange", "explain", "speed"))


def test_each_own_network_takes_the_epochs_that_were_asked_for_and_a_seed_of_its_own(home: Path) -> None:
    from thorax.settings import load

    made = bench_trust_own.Own(load(home), home, epochs=3, networks=2)
    recipes = [made.recipe(number).train for number in (1, 2)]
    assert [recipe.of("custom_cnn").epochs for recipe in recipes] == [3, 3]
    assert recipes[1].seed == recipes[0].seed + 1


def test_a_childlike_chest_is_smaller_and_goes_on_above_and_below() -> None:
    image = np.full((96, 96), 40, dtype=np.uint8)
    image[:, 20:76] = 200
    small = childlike(image)
    assert small.shape == image.shape
    assert small.dtype == np.uint8
    assert (small[48] > 120).sum() == pytest.approx(56 * 0.71, abs=4)
    assert (small[2] > 120).sum() == pytest.approx((small[48] > 120).sum(), abs=1)
    assert small[48, 2] == 40


def test_how_near_the_target_chance_alone_lets_a_sensitivity_be() -> None:
    draws = np.random.default_rng(0).binomial(60, 0.9, 200_000) / 60
    expected = (np.abs(draws - 0.9) <= 0.05 + 1e-12).mean()
    assert bench_trust_own._by_chance([60, 60], 0.9) == pytest.approx(expected, abs=0.005)


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_own_parts_train_and_measure(real_data: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thorax.settings import load

    # The page has tests of its own.
    undrawn = "thorax.evaluation.report.write_report"
    monkeypatch.setattr(undrawn, lambda _seen, _store, folder: (folder / "report.html").write_text("x" * 5000))
    # One epoch of small pictures: that every part runs through, not how well.
    small = ("preprocess.size=64", "evaluation.bootstrap=20", "evaluation.faithfulness=4")
    made = bench_trust_own.Own(load(home), real_data, epochs=1, networks=1, overrides=small)
    for part in (bench_trust_own.own, bench_trust_own.strange, bench_trust_own.explain):
        found = part(made)
        assert all(one.what and one.shown for one in found)
    equal = next(one for one in found if "before its rectifier" in one.what)
    assert equal.good is True
