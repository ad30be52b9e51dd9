"""`thorax pretrain` makes starting weights from phantoms, once, and a run starts from them."""

import json
import shutil

import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from commands.main import app
from thorax.findings import NIH14
from thorax.models import build

SMALL = (
    "--count",
    "120",
    "--size",
    "48",
    "-S",
    "train.epochs=1",
    "-S",
    "train.device=cpu",
    "-S",
    "preprocess.workers=1",
)


def run(*options: str):
    return CliRunner().invoke(app, ["pretrain", *SMALL, *options])


@pytest.mark.slow
def test_weights_are_made_once_and_a_network_starts_from_them(home, project, monkeypatch):
    monkeypatch.chdir(home)
    shutil.copytree(project / "presets", home / "presets")
    result = run("--json")
    assert result.exit_code == 0, result.output
    (made,) = json.loads(result.stdout)
    assert made["synthetic"]
    file = home / "var" / "pretrained" / "custom_cnn.safetensors"
    with safe_open(file, framework="pt") as weights:
        assert json.loads(weights.metadata()["findings"]) == list(NIH14)
        trained = weights.get_tensor("head.weight")
    network = build("custom_cnn", 2, pretrained="phantom", names=("Edema", "Mass"), folder=file.parent)
    assert network.head.weight[1].tolist() == trained[NIH14.index("Mass")].tolist()
    # The same again takes what is there; another recipe makes it anew.
    stamp = file.stat().st_mtime_ns
    assert run().exit_code == 0
    assert file.stat().st_mtime_ns == stamp
    assert run("-S", "train.learning_rate=0.001").exit_code == 0
    assert file.stat().st_mtime_ns != stamp


def test_an_unknown_architecture_is_named_before_anything_is_rendered(home, project, monkeypatch):
    monkeypatch.chdir(home)
    shutil.copytree(project / "presets", home / "presets")
    result = run("--architecture", "resnet5")
    assert "Did you mean resnet50" in str(result.exception)
    assert not (home / "var").exists()
