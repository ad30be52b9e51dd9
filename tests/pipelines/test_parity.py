"""The YAML that a cluster gets, run here: every feature of Kubeflow that our pipelines use, seen at work.

What is used is read from the compiled pipelines; the features are then tried on a pipeline of steps that take no time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.base import component
from pipelines.compile import compile_training, write_pipeline
from pipelines.monitoring import compile_monitoring
from pipelines.resources import equip
from thorax.settings import load

#: What a cluster alone can give; here it is passed over, and the run is the same.
FACTS = [
    "cluster.image=registry.example/other:1",
    "cluster.volumes=[{claim: radiographs, path: /mnt/thorax}]",
    "cluster.secrets=[{name: mlflow, variables: {password: MLFLOW_TRACKING_PASSWORD}}]",
    "cluster.environment={TOLD: from the settings}",
    "cluster.every_step={cpu: '64', memory: 900Gi, gpu: 8, retries: 1, shared_memory: 8Gi, timeout_minutes: 1, "
    "node_selector: {pool: gpu}, tolerations: [{key: nvidia.com/gpu}]}",
]


@component
def measure(name: str, notes: str, measured: Output[Dataset]) -> None:
    """Leave a file; one of the names fails at the first try."""
    import os
    from pathlib import Path

    tries = Path(notes, f"{name}.tries")
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    if name == "second" and tries.read_text() == "x":
        raise RuntimeError("at the first try")
    Path(measured.path).write_text(os.environ["TOLD"])
    measured.metadata["name"] = name


@component
def gather(several: Input[list[Dataset]], notes: str, gathered: Output[Artifact]) -> str:
    """Write down what came in; say what the condition waits for."""
    import json
    from pathlib import Path

    found = [[item.metadata["name"], Path(item.path).read_text()] for item in several]
    Path(gathered.path).write_text(json.dumps(found))
    with Path(notes, "gathered").open("a") as file:
        file.write(json.dumps(found) + "\n")
    return "go" if len(found) == 3 else "stop"


@component
def follow_up(word: str, notes: str) -> None:
    """Leave a mark that the branch was taken."""
    from pathlib import Path

    Path(notes, word).touch()


def features(source: Path) -> set[str]:
    """What a compiled pipeline asks of its runner, beyond tasks in an order."""
    spec, *_ = yaml.safe_load_all(source.read_text(encoding="utf-8"))
    found = set()
    bodies = [spec["root"], *spec["components"].values()]
    for task in [task for body in bodies for task in body.get("dag", {}).get("tasks", {}).values()]:
        trigger = task.get("triggerPolicy", {})
        found |= {"fan-out"} if "parameterIterator" in task else set()
        found |= {"condition"} if "condition" in trigger else set()
        found |= {"exit handler"} if trigger.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED" else set()
        found |= {"retries"} if "retryPolicy" in task else set()
        found |= {"caching"} if task.get("cachingOptions", {}).get("enableCache") else set()
    listed = [kind for body in bodies for kind in body.get("inputDefinitions", {}).get("artifacts", {}).values()]
    found |= {"fan-in"} if any(kind.get("isArtifactList") for kind in listed) else set()
    found |= {"environment"} if any(one["container"].get("env") for one in executors(spec)) else set()
    return found


def executors(spec: dict) -> list[dict]:
    return list(spec["deploymentSpec"]["executors"].values())


def compiled(folder: Path, home: Path) -> Path:
    """A pipeline with a fan-out, a fan-in, a condition that holds and one that does not, equipped like ours."""
    cluster = load(home, FACTS).cluster

    def equipped(task: dsl.PipelineTask) -> dsl.PipelineTask:
        task.set_caching_options(True)
        return equip(task, cluster)

    def pipeline(names: list[str], notes: str) -> Artifact:  # type: ignore[return]
        with dsl.ParallelFor(items=names, name="names", parallelism=2) as name:
            one = equipped(measure(name=name, notes=notes))
        all_of_them = equipped(gather(several=dsl.Collected(one.outputs["measured"]), notes=notes))
        with dsl.If(all_of_them.outputs["Output"] == "go", name="taken"):
            equipped(follow_up(word="taken", notes=notes))
        with dsl.If(all_of_them.outputs["Output"] == "stop", name="passed"):
            equipped(follow_up(word="passed-by", notes=notes))
        return all_of_them.outputs["gathered"]

    source = write_pipeline(lambda: dsl.pipeline(pipeline, name="parity"), folder / "parity.yaml")
    # Half a minute between two tries is right for a cluster, and long for a test.
    source.write_text(source.read_text(encoding="utf-8").replace("backoffDuration: 30s", "backoffDuration: 0s"))
    return source


def run(source: Path, var: Path, **arguments: object) -> subprocess.CompletedProcess[str]:
    script = (
        "import json, sys; from pathlib import Path; from pipelines.local import run_compiled; "
        "print('LEFT', run_compiled(Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])).output.path)"
    )
    command = [sys.executable, "-c", script, str(source), json.dumps(arguments), str(var)]
    environment = {key: value for key, value in os.environ.items() if key != "TOLD"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_nothing_is_used_that_is_not_tried_here(home, tmp_path):
    settings = load(home, FACTS)
    used = features(compile_training(settings, tmp_path / "t.yaml"))
    used |= features(compile_monitoring(settings, tmp_path / "m.yaml"))
    assert used == {"fan-out", "fan-in", "condition", "retries", "caching", "environment"}
    assert used == features(compiled(tmp_path, home))


@pytest.mark.slow
def test_every_feature_behaves_here_as_it_does_on_a_cluster(home, tmp_path):
    source = compiled(tmp_path, home)
    notes = tmp_path / "notes"
    notes.mkdir()
    names = ["first", "second", "third"]
    done = run(source, tmp_path / "var", names=names, notes=str(notes))
    assert done.returncode == 0, done.stdout + done.stderr
    told = [[name, "from the settings"] for name in names]
    left = Path(done.stdout.rpartition("LEFT ")[2].strip())
    assert json.loads(left.read_text()) == told, "each once, in order, with the environment that the settings name"
    assert (notes / "second.tries").read_text() == "xx", "a step that failed was tried again"
    assert (notes / "taken").exists() and not (notes / "passed-by").exists()
    assert "no effect" not in done.stdout + done.stderr

    again = run(source, tmp_path / "var", names=names, notes=str(notes))
    assert again.returncode == 0, again.stderr
    assert (notes / "first.tries").read_text() == "x", "unchanged steps are not repeated"
    assert (notes / "gathered").read_text().count("\n") == 1
    more = run(source, tmp_path / "var", names=[*names, "fourth"], notes=str(notes))
    assert more.returncode == 0, more.stderr
    assert (notes / "first.tries").read_text() == "x" and (notes / "fourth.tries").exists()
    assert (notes / "passed-by").exists(), "another answer, the other branch"


@pytest.mark.slow
def test_a_step_that_goes_on_failing_ends_the_run_and_what_hangs_on_it(home, tmp_path):
    source = compiled(tmp_path, home)
    done = run(source, tmp_path / "var", names=["first"], notes=str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "Inner task failed" in done.stderr
    assert "Executing task 'gather'" not in done.stdout + done.stderr
