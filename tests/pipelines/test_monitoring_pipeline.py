"""The monitoring pipeline: one file for a cluster's schedule, and the same steps here."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from pipelines.monitoring import NAME, arguments, compile_monitoring, schedule_monitoring
from thorax import steps
from thorax.errors import InputError, SettingsError
from thorax.settings import load


def test_compiling_twice_gives_the_same_bytes(home, tmp_path):
    first = compile_monitoring(load(home), tmp_path / "a.yaml").read_bytes()
    assert compile_monitoring(load(home), tmp_path / "b.yaml").read_bytes() == first


def test_the_training_pipeline_stands_whole_behind_the_decision(home, tmp_path):
    tree = next(yaml.safe_load_all(compile_monitoring(load(home), tmp_path / "p.yaml").read_text(encoding="utf-8")))
    assert tree["pipelineInfo"]["name"] == NAME
    outer = tree["root"]["dag"]["tasks"]
    assert set(outer) == {"drift", "decide", "condition-1"}
    assert "drift" in outer["decide"]["dependentTasks"]
    assert "== 'train'" in outer["condition-1"]["triggerPolicy"]["condition"]
    inner = tree["components"]["comp-condition-1"]["dag"]["tasks"]
    assert set(inner) == {"thorax-training", "settle"}
    assert "thorax-training" in inner["settle"]["dependentTasks"]
    training = tree["components"]["comp-thorax-training"]["dag"]["tasks"]
    assert {"check", "ingest", "validate", "preprocess", "select", "register"} <= set(training)


def test_what_watches_is_never_taken_from_the_cache(home, tmp_path):
    tree = next(yaml.safe_load_all(compile_monitoring(load(home), tmp_path / "p.yaml").read_text(encoding="utf-8")))
    outer = tree["root"]["dag"]["tasks"]
    inner = tree["components"]["comp-condition-1"]["dag"]["tasks"]
    for task in (outer["drift"], outer["decide"], inner["settle"]):
        assert not task["cachingOptions"].get("enableCache")
    assert tree["components"]["comp-thorax-training"]["dag"]["tasks"]["ingest"]["cachingOptions"]["enableCache"]


def test_its_arguments_are_those_of_the_file(home, tmp_path):
    settings = load(home)
    tree = next(yaml.safe_load_all(compile_monitoring(settings, tmp_path / "p.yaml").read_text(encoding="utf-8")))
    given = arguments(settings, steps.arguments(settings))
    assert set(tree["root"]["inputDefinitions"]["parameters"]) == set(given)
    assert json.loads(given["watch_settings"])["data"]["root"] == str(settings.data_root)


def test_a_cluster_runs_it_on_a_schedule_that_replaces_the_one_before(home, tmp_path):
    from kubeflow_server import kubeflow
    from versioned_data import versioned_data

    versioned_data(home, str(tmp_path / "remote"))
    there = ["cluster.root=/mnt/p/data", "cluster.var=/mnt/p/var", "cluster.volumes=[{claim: c, path: /mnt/p}]"]
    with kubeflow() as cluster:
        settings = load(home, [f"cluster.host={cluster.host}", *there, "registry.tracking_uri=http://mlflow:5000"])
        schedule_monitoring(settings, "0 * * * *", "loop", tmp_path)
        made = schedule_monitoring(settings, "*/15 * * * *", "loop", tmp_path)
        assert cluster.refused == []
        assert (made["cron"], made["on"]) == ("0 */15 * * * *", True)
        (kept,) = cluster.recurring
    handed = kept["runtime_config"]["parameters"]
    told = json.loads(handed["watch_settings"])
    assert (told["paths"]["var"], told["data"]["root"], handed["root"]) == ("/mnt/p/var", "/mnt/p/data", "/mnt/p/data")
    assert str(kept["max_concurrency"]) == "1"
    with pytest.raises(InputError, match="has 2 fields"):
        schedule_monitoring(settings, "15 minutes", "loop", tmp_path)
    with pytest.raises(SettingsError, match="a file of this machine"):
        schedule_monitoring(load(home, there), "* * * * *", "loop", tmp_path)


_RUN = """
import sys
from pathlib import Path
from pipelines.monitoring import run_here
from thorax.settings import load
run_here(load(sys.argv[1], ["monitor.resamples=100"]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_without_an_alarm_it_runs_here_and_trains_nothing(with_registry, tmp_path):
    from thorax.monitoring.history import History, history_path
    from thorax.prediction_log import PredictionLog, log_path

    PredictionLog(log_path(with_registry.var), ("Effusion",))  # a log without a prediction
    environment = {**os.environ, "THORAX_HOME": str(with_registry.home)}
    command = [sys.executable, "-c", _RUN, str(with_registry.home), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert "[decide] message: text nothing: there is no alarm" in said
    assert "ingest" not in said.split("[decide] end", 1)[1]
    assert History(history_path(with_registry.var)).windows() == []
