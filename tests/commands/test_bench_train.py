"""`make bench` measures what it says, and refuses what it cannot measure."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from commands.bench.figures import tables_of
from commands.bench.page import keep, show
from commands.bench.train import figures
from commands.bench.train_parts import Rate


def test_a_rate_is_images_over_seconds():
    assert Rate(images=96, seconds=1.5).per_second == 64
    assert Rate().per_second == 0


def test_the_tables_name_every_rate_and_say_what_falls_short(capsys, tmp_path):
    row = {"architecture": "resnet50", "precision": "bfloat16", "bare_step": 50.0, "thorax": 49.0, "plain_loop": 28.0}
    made = {"images": 512, "seconds": 2.0, "images_per_second": 256.0}
    row |= {"of_bare": 0.98, "over_plain": 1.75, "bare_mib": 800.0, "thorax_mib": 1200.0, "memory": 1.5}
    row |= {"share_of_peak": 0.31}
    found = figures({"preprocessing": made, "training": [row]})
    assert [(one.what, one.good) for one in found if one.good is not None] == [
        ("Thorax over the bare step", True),
        ("Thorax over the plain loop", True),
        ("memory over the bare step's", False),
    ]
    for title, one in tables_of(found).items():
        show(title, one)
    keep(tmp_path / "page.md", tables_of(found))
    printed, kept = capsys.readouterr().out, (tmp_path / "page.md").read_text()
    for text in ("256", "resnet50, bfloat16", "50.0", "49.0", "28.0", "98.0%", "1.75", "1,200", "1.50", "31%"):
        assert text in printed
        assert text in kept


def test_peak_memory_is_that_of_the_program_alone():
    """Not what the process that started it held."""
    held = bytearray(300 * 2**20)
    script = "from commands.bench.watch import peak_mib; a = bytearray(40 * 2**20); print(peak_mib())"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 50 < float(told.stdout) < 250
    assert len(held) == 300 * 2**20


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
    told = {one["what"]: one["found"] for one in json.loads(result.stdout)}
    assert told["PNG files read, checked and made smaller"] == 48
    bare, thorax, plain = (
        told[f"images/s, {name}"]
        for name in ("bare step on tensors in memory", "Thorax, from the image store", "plain loop over PNG files")
    )
    assert told["Thorax over the bare step"] == pytest.approx(thorax / bare)
    assert told["Thorax over the plain loop"] == pytest.approx(thorax / plain)
    assert told["MiB at the peak, bare step"] > 50
    assert told["memory over the bare step's"] == pytest.approx(
        told["MiB at the peak, Thorax"] / told["MiB at the peak, bare step"]
    )
    assert "### custom_cnn, " in (tmp_path / "table.md").read_text()
