"""The monitoring pipeline: one file for a cluster's schedule, and the same steps here."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from pipelines.monitoring import NAME, arguments, compile_monitoring
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
    steps = tree["components"]["comp-thorax-training"]["dag"]["tasks"]
    assert {"ingest", "validate", "preprocess", "select", "register"} <= set(steps)


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
    assert set(tree["root"]["inputDefinitions"]["parameters"]) == set(arguments(settings))
    assert json.loads(arguments(settings)["watch_settings"])["data"]["root"] == str(settings.data_root)


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
