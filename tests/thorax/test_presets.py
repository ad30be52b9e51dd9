"""A preset lies over params.yaml and under what is set by hand; every preset of the project is whole."""

import shutil

import pytest
import yaml
from typer.testing import CliRunner

from thorax.errors import SettingsError
from thorax.settings import list_presets, load

NAMES = ("best", "chexnet", "chexpert-report", "fast", "nih-report")


@pytest.fixture
def with_presets(home, project):
    shutil.copytree(project / "presets", home / "presets")
    return home


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_valid_and_says_what_it_is(with_presets, name):
    settings = load(with_presets, preset=name)
    assert settings.preset == name
    assert list_presets(with_presets)[name]
    written = yaml.safe_load((with_presets / "presets" / f"{name}.yaml").read_text())
    assert settings.train.learning_rate == written["train"]["learning_rate"]


def test_a_preset_wins_over_the_file_and_an_override_over_the_preset(with_presets):
    settings = load(with_presets, ["train.epochs=3"], preset="chexnet")
    assert (settings.train.architectures, settings.train.loss) == (("densenet121",), "bce")
    assert settings.train.epochs == 3
    assert settings.train.seed == load(with_presets).train.seed


def test_overrides_of_an_architecture_do_not_leak_into_a_preset(with_presets):
    assert load(with_presets).train.of("resnet50").epochs == 2
    assert load(with_presets, preset="nih-report").train.of("resnet50").epochs == 15


def test_the_key_in_the_file_is_the_same_as_the_option(with_presets):
    # `dvc exp run -S preset=chexnet` writes the key.
    tree = yaml.safe_load((with_presets / "params.yaml").read_text())
    (with_presets / "params.yaml").write_text(yaml.safe_dump(tree | {"preset": "chexnet"}))
    by_file = load(with_presets)
    assert by_file == load(with_presets, preset="chexnet") == load(with_presets, ["preset=chexnet"])
    assert by_file.train.loss == "bce"
    assert load(with_presets, preset="fast").preprocess.size == 64


def test_an_unknown_preset_is_answered_with_the_nearest(with_presets):
    with pytest.raises(SettingsError, match=r"no preset 'chexnett'.*Did you mean chexnet\?"):
        load(with_presets, preset="chexnett")


def test_a_preset_with_a_wrong_key_is_named(with_presets):
    (with_presets / "presets" / "mine.yaml").write_text("train: {epoch: 3}\n")
    with pytest.raises(SettingsError, match=r"train.epoch: unknown key. Did you mean epochs"):
        load(with_presets, preset="mine")
    (with_presets / "presets" / "list.yaml").write_text("- 1\n")
    with pytest.raises(SettingsError, match=r"list.yaml must hold sections"):
        load(with_presets, preset="list")


def test_the_command_lists_them_and_takes_one(with_presets, monkeypatch):
    import commands.pipeline as pipeline

    monkeypatch.chdir(with_presets)
    listed = CliRunner().invoke(pipeline.app, ["presets"]).stdout
    assert all(name in listed for name in NAMES)
    given = {}
    monkeypatch.setattr(pipeline, "train", lambda settings, reason: given.update(settings=settings) or 1 / 0)
    CliRunner().invoke(pipeline.app, ["run", "--preset", "chexnet", "-S", "train.epochs=2"])
    assert (given["settings"].train.loss, given["settings"].train.epochs) == ("bce", 2)
