"""`thorax predict`: answers on the screen, for machines, as heatmaps, and as a table that survives a crash."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from bundle_factory import FINDINGS
from dicom_factory import radiograph_dicom
from PIL import Image
from typer.testing import CliRunner, Result

from commands import batch
from commands.answerers import Local
from commands.predict import predict
from thorax.bundle import Bundle
from thorax.errors import ImageError, InputError
from thorax.imaging import read_image
from thorax.prediction_log import columns_of

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(predict)


@pytest.fixture
def images(sample_bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted((sample_bundle / "examples").glob("*.png")):
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def run(home: Path, sample_bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THORAX_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(home)

    def call(*arguments: object, bundle: Path | None = sample_bundle) -> Result:
        words = [*map(str, arguments), *(["--bundle", str(bundle)] if bundle else [])]
        return CliRunner().invoke(app, words, catch_exceptions=True)

    return call


def test_a_table_a_summary_and_heatmaps(run, images: Path, home: Path) -> None:
    done = run(images / "1-positive.png", "--out", "heat")
    assert done.exit_code == 0, done.exception
    assert "effusion" in done.stdout
    assert "Highest probability: " in done.stdout
    for finding in FINDINGS:
        with Image.open(home / "heat" / f"1-positive-{finding}.png") as picture:
            assert picture.size[0] > 64


def test_json_is_json_and_nothing_else(run, images: Path, sample_bundle: Path) -> None:
    done = run(images, "--json")
    answers = json.loads(done.stdout)
    assert [Path(one["file"]).name for one in answers] == sorted(path.name for path in images.iterdir())
    direct = Bundle.load(sample_bundle).predict([read_image(Path(answers[0]["file"]))])[0]
    assert answers[0]["findings"][0]["probability"] == pytest.approx(direct.findings[0].probability, abs=1e-9)
    assert all(Path(path).is_file() for path in answers[0]["heatmaps"].values())


def test_of_a_study_in_a_folder_the_frontal_image_is_answered_for(run, images: Path, tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    disc.mkdir()
    pixels = np.asarray(Image.open(images / "1-positive.png").convert("L"))
    for name, tags in (("IM1", {"ViewPosition": "LL"}), ("IM2", {"PatientAge": "61", "Modality": "OT"})):
        (disc / name).write_bytes(radiograph_dicom(pixels, BodyPartExamined="TORAX", **tags))
    done = run(disc, "--json")
    (answer,) = json.loads(done.stdout)
    assert (Path(answer["file"]).name, answer["image"]["age"]) == ("IM2", 61)
    assert "Left out" in done.stderr
    assert "LATERAL view" in " ".join(done.stderr.split())
    assert len(json.loads(run(disc, "--json", "--every-image").stdout)) == 2


def test_wrong_arguments_say_what_to_do(run, images: Path, tmp_path: Path) -> None:
    assert "does not exist" in str(run(tmp_path / "none.png").exception)
    (tmp_path / "empty").mkdir()
    assert "no radiograph" in str(run(tmp_path / "empty").exception)
    assert isinstance(run(images, "--version", "3").exception, InputError)
    (images / "bad.png").write_text("no image")
    bad = run(images / "bad.png").exception
    assert isinstance(bad, ImageError)
    assert "bad.png" in str(bad)


def test_a_folder_becomes_a_table_and_a_bad_file_a_row(run, images: Path, home: Path, sample_bundle: Path) -> None:
    (images / "0-bad.png").write_text("no image")
    done = run(images, "--out", "answers.parquet")
    assert done.exit_code == 0, done.exception
    table = pd.read_parquet(home / "answers.parquet")
    assert len(table) == 6
    assert {name for name in columns_of(FINDINGS) if not name.startswith("e_")} <= set(table.columns)
    assert "not a PNG" in table["reason"].iloc[0]
    assert table["answered"].tolist() == [False] + [True] * 5
    assert ((table["reason"].iloc[1:] != "") == table["refer"].iloc[1:].astype(bool)).all()
    direct = Bundle.load(sample_bundle).predict([read_image(table["file"].iloc[1])])[0]
    assert table["p_Effusion"].iloc[1] == pytest.approx(direct.of("Effusion").probability, abs=1e-6)


def test_a_run_that_was_cut_off_goes_on(
    images: Path, tmp_path: Path, sample_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Bundle.load(sample_bundle)
    files, out = sorted(images.glob("*.png")), tmp_path / "out.parquet"
    whole = model.predict
    calls = []

    def cut_off(pictures: list) -> list:
        calls.append(len(pictures))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(pictures)

    monkeypatch.setattr(batch, "BATCH", 2)
    monkeypatch.setattr(model, "predict", cut_off)
    with pytest.raises(KeyboardInterrupt):
        batch.predict_table(Local(model), files, out)
    assert not out.exists()
    part = next(tmp_path.glob(".out*"))
    part.write_text(part.read_text() + '{"file": "half a li')
    calls.append(0)
    batch.predict_table(Local(model), files, out)
    assert calls[3:] == [2, 1]  # the first two were not done again
    assert len(pd.read_parquet(out)) == 5
    assert not part.exists()


def test_rows_of_another_model_are_not_mixed_in(images: Path, tmp_path: Path, sample_bundle: Path) -> None:
    (tmp_path / ".out.parquet.part.jsonl").write_text('{"file": "a", "model_version": "old"}\n')
    with pytest.raises(InputError, match="version old"):
        batch.predict_table(Local(Bundle.load(sample_bundle)), sorted(images.glob("*.png")), tmp_path / "out.parquet")


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    images: Path, tmp_path: Path, sample_bundle: Path, home: Path, project: Path
) -> None:
    """By SIGKILL, at a moment when some files are done and some are not."""
    pixels = np.random.default_rng(0).integers(0, 255, (1200, 1200), dtype=np.uint8)
    for number in range(64):
        Image.fromarray(np.roll(pixels, number)).save(images / f"{number:03d}.tif")
    words = [sys.executable, "-m", "commands.main", "predict", str(images), "--bundle", str(sample_bundle), "--out"]
    environment = os.environ | {"PYTHONPATH": str(project), "THORAX_HOME": str(home)}
    part = tmp_path / ".killed.parquet.part.jsonl"
    with subprocess.Popen(
        [*words, str(tmp_path / "killed.parquet")], env=environment, stderr=subprocess.DEVNULL
    ) as run:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
        run.kill()
    done = part.read_text().count("\n")
    assert 0 < done < 69
    again = subprocess.run([*words, str(tmp_path / "killed.parquet")], env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "Going on behind" in again.stderr
    model = Local(Bundle.load(sample_bundle))
    batch.predict_table(model, sorted(images.iterdir()), tmp_path / "whole.parquet")
    killed, whole = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("killed", "whole"))
    pd.testing.assert_frame_equal(killed, whole, check_exact=False, atol=1e-9)


def test_a_table_holds_reasons_and_every_column_is_documented(
    images: Path, tmp_path: Path, sample_bundle: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(images / "noise.png")
    for withhold in (False, True):
        model = Local(Bundle.load(sample_bundle), withhold=withhold)
        batch.predict_table(model, sorted(images.glob("*.png")), tmp_path / "out.parquet")
        table = pd.read_parquet(tmp_path / "out.parquet")
        row = table[table["file"].str.endswith("noise.png")].iloc[0]
        assert row["refer"]
        assert "outside the model's training data" in row["reason"]
        assert row["answered"] == (not withhold)
        assert pd.isna(row["p_Effusion"]) == withhold
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    section = text.split("<!-- table columns -->")[1].split("<!-- /table columns -->")[0]
    lines = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    told = {name for cell in lines for name in re.findall("`([^`]+)`", cell)}
    found = {name.replace("_Effusion", "_FINDING") for name in table if not name.endswith(FINDINGS[1:])}
    assert {re.sub(r"^e_\d\d$", "e_NN", name) for name in found} == told
