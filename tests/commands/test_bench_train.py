"""`make bench` measures what it says, and refuses what it cannot measure."""

import json

import pytest
from typer.testing import CliRunner

from commands.bench_train import Rate, show


def test_a_rate_is_images_over_seconds():
    assert Rate(images=96, seconds=1.5).per_second == 64
    assert Rate().per_second == 0


def test_the_table_names_every_rate_and_both_ratios(capsys):
    row = {"architecture": "resnet50", "precision": "bfloat16", "bare_step": 50.0, "thorax": 49.0, "plain_loop": 28.0}
    made = {"images": 512, "seconds": 2.0, "images_per_second": 256.0}
    row |= {"of_bare": 0.98, "over_plain": 1.75}
    show({"threads": 2, "size": 96, "batch": 32, "preprocessing": made, "training": [row]})
    printed = capsys.readouterr().out
    for text in ("256 images/s", "resnet50", "bfloat16", "50.0", "49.0", "28.0", "98%", "1.75×"):
        assert text in printed


@pytest.mark.slow
def test_it_runs_and_the_ratios_are_of_its_own_rates(monkeypatch, project):
    import typer

    from commands.bench_train import bench

    monkeypatch.chdir(project)
    app = typer.Typer()
    app.command()(bench)
    options = ["--images", "48", "--size", "32", "--batch", "8", "--seconds", "0.2", "--threads", "1", "--json"]
    result = CliRunner().invoke(app, ["--architecture", "custom_cnn", *options])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["preprocessing"]["images"] == 48
    (row,) = found["training"]
    assert row["over_plain"] == pytest.approx(row["thorax"] / row["plain_loop"])
    assert row["of_bare"] == pytest.approx(row["thorax"] / row["bare_step"])
