"""The pipeline as it is written: one file for this machine and a cluster, and steps that repeat only for a reason."""

import json

import pytest
import yaml

from pipelines.compile import compile_training
from thorax import steps
from thorax.settings import load


@pytest.fixture
def compiled(home, tmp_path):
    return yaml.safe_load_all(compile_training(load(home), tmp_path / "p.yaml").read_text(encoding="utf-8"))


def test_compiling_twice_gives_the_same_bytes(home, tmp_path):
    first = compile_training(load(home), tmp_path / "a.yaml").read_bytes()
    assert compile_training(load(home), tmp_path / "b.yaml").read_bytes() == first


def test_the_steps_run_in_the_order_of_the_flow(compiled):
    tree = next(compiled)
    outer = tree["root"]["dag"]["tasks"]
    parts, architectures = (tree["components"][f"comp-for-loop-{n}"]["dag"]["tasks"] for n in (1, 2))
    assert set(outer) == {"check", "ingest", "for-loop-1", "validate", "preprocess", "for-loop-2", "select", "register"}
    assert "check" in outer["ingest"]["dependentTasks"]
    assert set(parts) == {"prepare"}
    assert set(architectures) == {"train", "calibrate", "evaluate"}
    assert "ingest" in outer["for-loop-1"]["dependentTasks"]
    assert "for-loop-1" in outer["validate"]["dependentTasks"]
    assert "validate" in outer["preprocess"]["dependentTasks"]
    assert "preprocess" in outer["for-loop-2"]["dependentTasks"]
    assert "for-loop-2" in outer["select"]["dependentTasks"]
    assert "select" in outer["register"]["dependentTasks"]


def test_nothing_is_installed_when_a_step_runs(compiled):
    executors = next(compiled)["deploymentSpec"]["executors"]
    assert len(executors) == 10
    for executor in executors.values():
        assert "pip install" not in " ".join(executor["container"]["command"])
        assert executor["container"]["image"].startswith("thorax-python:")


@pytest.mark.parametrize(("start", "skipped"), [("none", True), ("registry:3", True), ("registry:champion", False)])
def test_training_from_an_alias_is_never_taken_from_the_cache(home, tmp_path, start, skipped):
    package = compile_training(load(home, [f"train.pretrained={start}"]), tmp_path / "p.yaml")
    (spec,) = [one for one in yaml.safe_load_all(package.read_text(encoding="utf-8")) if "components" in one]
    tasks = {
        name: task for one in spec["components"].values() for name, task in one.get("dag", {}).get("tasks", {}).items()
    }
    assert bool(tasks["train"]["cachingOptions"].get("enableCache")) is skipped
    assert tasks["calibrate"]["cachingOptions"]["enableCache"]


def test_caching_can_be_turned_off(home, tmp_path):
    on = compile_training(load(home), tmp_path / "on.yaml").read_text(encoding="utf-8")
    off = compile_training(load(home, ["pipeline.caching=false"]), tmp_path / "off.yaml").read_text(encoding="utf-8")
    assert on.count("enableCache: true") == 10
    assert "enableCache: true" not in off


def changed(home, override):
    before, after = steps.arguments(load(home)), steps.arguments(load(home, [override]))
    different = {name for name in before if before[name] != after[name]}
    return {name.removesuffix("_settings") for name in different if name.endswith("_settings")}


@pytest.mark.parametrize(
    ("override", "repeated"),
    [
        ("serve.port=4000", set()),
        ("monitor.min_rows=400", set()),
        ("preprocess.workers=3", set()),
        ("train.architectures=[custom_cnn]", {"register"}),
        ("evaluation.bootstrap=50", {"evaluate", "register"}),
        ("calibration.target=0.8", {"calibrate"}),
        ("validation.min_positives=9", {"validate"}),
        ("pipeline.parts=3", set()),
        # The gate looks at the images as they were prepared, at the size that the store has.
        ("preprocess.size=64", {"check", "prepare", "validate", "preprocess"}),
    ],
)
def test_a_setting_repeats_only_the_steps_that_read_it(home, override, repeated):
    assert changed(home, override) - {"register"} == repeated - {"register"}


def test_the_parts_of_the_images_are_a_parameter_of_the_run(home, tmp_path):
    assert steps.arguments(load(home))["parts"] == ["1/1"]
    assert steps.arguments(load(home, ["pipeline.parts=3"]))["parts"] == ["1/3", "2/3", "3/3"]
    one = compile_training(load(home), tmp_path / "1.yaml").read_bytes()
    assert compile_training(load(home, ["pipeline.parts=3"]), tmp_path / "3.yaml").read_bytes() == one


def test_a_step_gets_back_the_settings_it_was_handed(home):
    settings = load(home, ["train.epochs=3", "data.findings=[Edema, Mass]"])
    handed = steps.arguments(settings)
    assert steps.settings_of(handed["train_settings"]).train.epochs == 3
    assert steps.settings_of(handed["ingest_settings"]).data.findings == ("Edema", "Mass")
    assert len(json.loads(handed["train_settings"])["code"]) == 64
