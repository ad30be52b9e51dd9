"""The whole loop, as a person types it: phantoms, DVC, the pipeline, a killed run, the registry, predictions."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from own_project import SMALL, OwnProject

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Project(OwnProject):
    """A project of one's own that holds the pipeline's sources, as a clone does."""

    def __init__(self, folder: Path, source: Path) -> None:
        super().__init__(folder, source, SMALL)
        for name in ("dvc.yaml", ".gitignore"):
            shutil.copy(source / name, folder / name)
        for name in (
            "components",
            "pipelines",
            "presets",
            "thorax",
            "vocabularies",
        ):
            shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.commit("begin")

    def command(self, *arguments: str) -> list[str]:
        # The script, not the module: the folder's own copies of the sources must not be what runs.
        return [str(Path(sys.executable).with_name("thorax")), *arguments]

    def kill_in(self, step: str) -> None:
        """Start a run, and end it without mercy while a step is at work."""
        command = self.command("pipeline", "run")
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 200
        while not self.at_work(step):
            assert process.poll() is None and time.monotonic() < deadline, "the run ended before it could be killed"
            time.sleep(0.05)
        process.kill()
        process.wait()
        while _running(str(self.folder)):  # the steps notice that their run is gone
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _running(folder: str) -> bool:
    """Whether the runner of a project, or a step of it, is alive."""
    import psutil

    return any(folder in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


@pytest.fixture(scope="module")
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    source = Path(request.config.rootpath)
    made = Project(tmp_path_factory.mktemp("project"), source)
    phantoms = ["--count", "160", "--size", "64", "--seed", "3", "--findings", "chexpert-report"]
    made.thorax("data", "make-phantom", "--out", "data", *phantoms)
    made.dvc("add", "-q", "data")
    made.commit("data")
    return made


@pytest.fixture(scope="module")
def finished(project: Project) -> dict:
    """A run that was killed while it trained, and then run again to its end."""
    project.kill_in("train")
    done = project.thorax("pipeline", "run", "--reason", "first", "--json")
    run = json.loads(done.out)
    run["events"], run["log"] = project.events(), done.err
    return run


def test_a_killed_run_repeats_only_what_had_not_finished(finished: dict) -> None:
    assert finished["skipped"] == ["check", "ingest", "prepare 1/2", "prepare 2/2", "validate", "preprocess"]
    assert {step["step"] for step in finished["steps"]} == {"train", "calibrate", "evaluate", "select", "register"}


def test_training_prints_a_line_an_epoch_where_there_is_no_terminal(finished: dict) -> None:
    lines = [line for line in finished["log"].splitlines() if re.match(r"train \S+: epoch \d+/\d+: loss ", line)]
    assert lines and all("images/s" in line for line in lines), finished["log"]


def test_the_best_model_is_registered_with_its_evidence(project: Project, finished: dict) -> None:
    assert finished["version"] == "1"
    assert set(finished["aliases"]) == {"challenger", "champion"}, "no champion yet, and its gates passed"
    assert finished["synthetic"] is True
    listed = json.loads(project.thorax("models", "list", "--json").out)
    assert [version["version"] for version in listed] == ["1"]
    for name in (
        "metrics.json",
        "figures.json",
        "roc.csv",
        "reliability.csv",
        "curves.csv",
        "report.html",
        "comparison.html",
    ):
        assert (project.folder / "var" / "reports" / name).stat().st_size > 50, name


def test_a_rerun_with_nothing_changed_does_nothing_and_is_quick(project: Project, finished: dict) -> None:
    again = json.loads(project.thorax("pipeline", "run", "--reason", "first", "--json").out)
    assert again["steps"] == []
    assert again["version"] == finished["version"]
    assert again["seconds"] < 20


def test_the_version_is_made_again_to_the_last_digit(project: Project, finished: dict) -> None:
    again = json.loads(project.thorax("models", "reproduce", "1", "--json").out)
    assert again["equal"], [figure for figure in again["figures"] if not figure["equal"]][:10]
    assert len(again["figures"]) > 100
    equal = {item["what"]: item["equal"] for item in again["origin"]}
    assert equal["weights"]
    assert equal["data_revision"]
    assert [version["version"] for version in json.loads(project.thorax("models", "list", "--json").out)] == ["1"]


def test_mlflow_holds_a_parent_and_a_child_and_loads_the_champion_without_pickle(project: Project, finished: dict):
    script = """
import json, pathlib, mlflow, pandas as pd
from thorax.settings import load
mlflow.set_tracking_uri(load().tracking_uri)
runs = mlflow.search_runs(search_all_experiments=True)
kinds = runs["tags.mlflow.parentRunId"].notna() if "tags.mlflow.parentRunId" in runs else []
model = mlflow.pyfunc.load_model("models:/thorax@champion")
images = sorted(pathlib.Path("data/images").glob("*.png"))[:3]
answer = model.predict(pd.DataFrame({"path": [str(p) for p in images]}))
print(json.dumps({"children": int(sum(kinds)), "runs": len(runs), "answer": answer.to_dict("list")}, default=str))
"""
    environment = project.environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project.folder, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["children"] >= 1
    assert told["runs"] > told["children"]
    assert any("Edema" in column for column in told["answer"])


def test_predict_answers_for_an_image_with_a_heatmap(project: Project, finished: dict) -> None:
    image = sorted((project.folder / "data" / "images").glob("*.png"))[0]
    answer = json.loads(project.thorax("predict", str(image), "--out", "heat", "--json").out)
    assert "Edema" in json.dumps(answer)
    assert any(path.suffix == ".png" for path in (project.folder / "heat").iterdir())


def test_dvc_runs_the_same_pipeline_and_a_second_repro_does_nothing(project: Project, finished: dict) -> None:
    said = project.dvc("repro")
    assert "Nothing has changed: this is version 1" in said
    assert "up to date" in project.dvc("repro")
    listed = json.loads(project.thorax("models", "list", "--json").out)
    assert [version["version"] for version in listed] == ["1"]
    shown = json.loads(project.dvc("metrics", "show", "--json"))
    figures = shown[""]["data"][str(Path("var/reports/metrics.json"))]["data"]
    assert list(figures) == ["auprc", "auroc", "ece", "sensitivity", "specificity"]
    table = project.dvc("metrics", "show")
    assert max(map(len, table.splitlines())) <= 80, table
    project.commit("run")
    project.dvc("exp", "run", "-q", "-S", "calibration.target=0.8")
    changed = json.loads(project.dvc("metrics", "diff", "--json"))
    assert "var/reports/metrics.json" in json.dumps(changed)


def test_data_that_changed_behind_dvc_is_refused(project: Project, finished: dict) -> None:
    table = next((project.folder / "data").glob("Data_Entry_2017*.csv"))
    kept = table.read_text()
    try:
        table.write_text(kept + "\n")
        said = project.thorax("pipeline", "run", code=2).err
        assert "differs from revision" in said.replace("\n", " ")
    finally:
        table.write_text(kept)


def test_bad_data_stops_the_run_with_the_rows_named(project: Project, finished: dict) -> None:
    """Every second image is blank: the gate closes before anything is trained."""
    spoilt = project.folder / "spoilt"
    shutil.copytree(project.folder / "data", spoilt)
    for image in sorted((spoilt / "images").glob("*.png"))[::2]:
        image.write_bytes(image.read_bytes()[:200])
    said = project.thorax("pipeline", "run", "-S", f"data.root={spoilt}", code=3).err
    assert "did not pass validation" in said
    assert "failures.parquet" in said.replace("\n", "")
    assert "Traceback" not in said
