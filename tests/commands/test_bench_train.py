"""`make bench` measures what it says, and refuses what it cannot measure."""

import json

import pytest
from typer.testing import CliRunner

from commands.bench.train import show, to_markdown
from commands.bench.train_parts import Rate


def test_a_rate_is_images_over_seconds():
    assert Rate(images=96, seconds=1.5).per_second == 64
    assert Rate().per_second == 0


def test_the_table_names_every_rate_and_ratio(capsys):
    row = {"architecture": "resnet50", "precision": "bfloat16", "bare_step": 50.0, "thorax": 49.0, "plain_loop": 28.0}
    made = {"images": 512, "seconds": 2.0, "images_per_second": 256.0}
    row |= {"of_bare": 0.98, "over_plain": 1.75, "bare_mib": 800.0, "thorax_mib": 880.0, "memory": 1.1}
    row |= {"share_of_peak": 0.31}
    result = {"device": "CPU", "threads": 2, "size": 96, "batch": 32, "preprocessing": made, "training": [row]}
    show(result)
    printed = capsys.readouterr().out
    texts = ("256 images/s", "resnet50", "bfloat16", "50.0", "49.0", "28.0", "98%", "1.75×", "880 MiB", "1.10×", "31%")
    for text in texts:
        assert text in printed
        assert text in to_markdown(result)


@pytest.mark.slow
def test_it_runs_and_the_ratios_are_of_its_own_rates(monkeypatch, project, tmp_path):
    import typer

    from commands.bench.train import bench

    monkeypatch.chdir(project)
    app = typer.Typer()
    app.command()(bench)
    options = [
        "--markdown",
        str(tmp_path / "table.md"),
        "--images",
        "48",
        "--size",
        "32",
        "--batch",
        "8",
        "--seconds",
        "0.2",
        "--threads",
        "1",
        "--json",
    ]
    result = CliRunner().invoke(app, ["--architecture", "custom_cnn", *options])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["preprocessing"]["images"] == 48
    (row,) = found["training"]
    assert row["over_plain"] == pytest.approx(row["thorax"] / row["plain_loop"])
    assert row["of_bare"] == pytest.approx(row["thorax"] / row["bare_step"])
    assert row["memory"] == pytest.approx(row["thorax_mib"] / row["bare_mib"])
    assert row["bare_mib"] > 50
    assert "| custom_cnn |" in (tmp_path / "table.md").read_text()
