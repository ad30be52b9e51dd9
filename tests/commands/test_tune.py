"""`thorax tune` runs trials, shows them in MLflow below one run, and leaves settings that a run can take."""

import json

import pytest
import typer
from trainable_store import write_store
from typer.testing import CliRunner

from commands import tune as command
from thorax.settings import load

SMALL = ["train.epochs=1", "train.overrides={}", "train.device=cpu", "train.architectures=[custom_cnn]"]
SPACE = "tune.space={learning_rate: {low: 0.001, high: 0.01, log: true}, augment.shift: [0.0, 0.05]}"


@pytest.fixture
def with_store(home, monkeypatch, tmp_path, mlflow_template):
    monkeypatch.chdir(home)
    store = write_store(tmp_path / "store", count=80)
    monkeypatch.setattr("commands.stores.built_store", lambda *_: (store, {"key": "k"}))
    mlflow_template(load(home))
    return home


def run(*options: str):
    app = typer.Typer()
    app.command()(command.tune)
    overrides = [part for setting in (*SMALL, SPACE) for part in ("-S", setting)]
    return CliRunner().invoke(app, [*overrides, *options])


@pytest.mark.slow
def test_trials_are_kept_shown_and_become_a_preset(with_store):
    from mlflow import MlflowClient

    result = run("--trials", "2", "--save", "found", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["trials"] == {"complete": 2, "pruned": 0, "failed": 0}
    assert told["override"] == str(with_store / "presets" / "found.yaml")
    settings = load(with_store, preset="found")
    assert settings.train.architectures == ("custom_cnn",)
    assert settings.train.learning_rate == pytest.approx(told["best"][0]["values"]["learning_rate"], rel=1e-3)
    assert settings.train.of("custom_cnn").augment.shift == told["best"][0]["values"]["augment.shift"]

    client = MlflowClient(load(with_store).tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("thorax").experiment_id])
    parent = next(run for run in runs if run.data.tags["mlflow.runName"] == "tune study")
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert parent.info.status == "FINISHED"
    assert sorted(child.data.tags["mlflow.runName"] for child in children) == ["trial 0", "trial 1"]
    for child in children:
        assert {"validation_auroc", "learning_rate", "gradient_norm", "best_validation_auroc"} <= set(
            child.data.metrics
        )
        assert "learning_rate" in child.data.params

    # The same name goes on; a number of trials in all leaves nothing to do once they are done.
    again = json.loads(run("--json", "-S", "tune.trials=3").stdout)
    assert again["trials"]["complete"] + again["trials"]["pruned"] == 3
    shown = run("-S", "tune.trials=3").stdout
    assert "3 complete" in shown or "2 complete, 1 pruned" in shown
    assert "thorax pipeline run --preset" in shown
    refused = run("--trials", "1", "-S", "train.epochs=2")
    assert "is of other settings: train.epochs was 1 and is 2" in str(refused.exception)


def test_an_unknown_architecture_is_named(home, monkeypatch):
    monkeypatch.chdir(home)
    assert "Did you mean resnet50" in str(run("--architecture", "resnet5").exception)
