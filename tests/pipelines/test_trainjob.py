"""Training on several nodes: the manifest is what Kubeflow Trainer knows, and what it starts trains as one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from safetensors.numpy import load_file
from trainable_store import quick_recipe, write_store
from typer.testing import CliRunner

from commands.main import app
from pipelines.trainjob import order, train_job, write_train_jobs
from thorax.errors import SettingsError
from thorax.settings import Settings, Train, load

FACTS = [
    "cluster.namespace=radiology",
    "cluster.image=registry.example/thorax:1",
    "cluster.service_account=trainer",
    "cluster.volumes=[{claim: radiographs, path: /mnt/thorax}]",
    "cluster.secrets=[{name: mlflow, variables: {password: MLFLOW_TRACKING_PASSWORD}}]",
    "cluster.environment={NCCL_DEBUG: WARN}",
    "cluster.steps.train.gpu=4",
    "cluster.steps.train.tolerations=[{key: nvidia.com/gpu, effect: NoSchedule}]",
    "cluster.steps.train.node_selector={pool: gpu}",
    "cluster.trainer.nodes=3",
    "train.architectures=[densenet121, 'timm:resnet18.a1_in1k']",
]


@pytest.fixture
def settings(home) -> Settings:
    return load(home, FACTS)


@pytest.fixture
def written(settings, tmp_path) -> list[dict]:
    write_train_jobs(settings, tmp_path / "jobs.yaml")
    return list(yaml.safe_load_all((tmp_path / "jobs.yaml").read_text(encoding="utf-8")))


def test_a_job_asks_for_what_the_settings_say(written):
    assert [one["kind"] for one in written] == ["ConfigMap", "TrainJob"] * 2
    config, job = written[:2]
    spec, trainer = job["spec"], job["spec"]["trainer"]
    assert spec["runtimeRef"]["name"] == "torch-distributed"
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (3, 4)
    assert trainer["image"] == "registry.example/thorax:1"
    assert trainer["resourcesPerNode"]["limits"] == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "4"}
    assert trainer["resourcesPerNode"]["requests"] == trainer["resourcesPerNode"]["limits"]
    assert {"name": "NCCL_DEBUG", "value": "WARN"} in trainer["env"]
    secret = {"secretKeyRef": {"name": "mlflow", "key": "password"}}
    assert {"name": "MLFLOW_TRACKING_PASSWORD", "valueFrom": secret} in trainer["env"]
    assert spec["activeDeadlineSeconds"] == 2880 * 60
    [patched] = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = patched["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["serviceAccountName"] == "trainer"
    assert pod["securityContext"]["runAsNonRoot"] is True
    mounted = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {"/etc/thorax-order", "/mnt/thorax", "/dev/shm"}
    assert pod["volumes"][0]["configMap"]["name"] == config["metadata"]["name"] == job["metadata"]["name"]
    assert job["metadata"]["namespace"] == "radiology"


def test_its_order_is_what_the_worker_reads(written, settings):
    asked = json.loads(written[0]["data"]["order.json"])
    recipe = Train.model_validate(asked["train"])
    assert recipe.architectures == ("densenet121",)
    assert recipe.learning_rate == settings.train.learning_rate
    assert asked["store"] == "/mnt/thorax/store"
    for folder in ("out", "checkpoints", "pretrained"):
        assert asked[folder].startswith("/mnt/thorax/var/")


def test_names_are_dns_names_and_tell_settings_apart(written, settings, home):
    names = [one["metadata"]["name"] for one in written if one["kind"] == "TrainJob"]
    assert names[1].startswith("thorax-timm-resnet18-a1-in1k-")
    assert all(len(name) <= 63 and name.replace("-", "").isalnum() and name.islower() for name in names)
    assert train_job(settings, "densenet121")["metadata"]["name"] == names[0]
    other = load(home, [*FACTS, "train.loss=bce"])
    assert train_job(other, "densenet121")["metadata"]["name"] != names[0]


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """What Kubeflow Trainer's models know, as a schema that refuses all else; see the file's comment."""
    text = (Path(__file__).parents[1] / "support" / "trainjob_schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def test_kubeflow_trainer_knows_every_field(written, schema):
    for one in written:
        if one["kind"] == "TrainJob":
            schema.validate(one)


def test_so_do_its_own_models(written):
    models = pytest.importorskip("kubeflow_trainer_api.models")
    # They let unknown fields pass: what comes out again is what they know.
    assert models.TrainerV1alpha1TrainJob.from_dict(written[1]).to_dict() == written[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"numberOfNodes": 3}, "numberOfNodes"), ({"numNodes": "three"}, "three"), ({"env": [{"value": "x"}]}, "name")],
)
def test_a_wrong_field_would_be_seen(written, schema, change, said):
    written[1]["spec"]["trainer"] |= change
    with pytest.raises(ValidationError, match=said):
        schema.validate(written[1])


def test_the_order_is_a_config_map_that_kubernetes_knows(written):
    import kubernetes_validate

    kubernetes_validate.validate(written[0], "1.33", strict=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("cluster.volumes=[]", "no volume is mounted there"),
        ("cluster.trainer.store=/data/store", r"cluster.trainer.store is /data/store"),
        ("cluster.trainer.nodes=9", "9 nodes of 4 processes cannot share batches of 16 images"),
    ],
)
def test_what_could_not_train_is_refused_before_it_is_sent(home, change, said):
    with pytest.raises(SettingsError, match=said):
        train_job(load(home, [*FACTS, change]), "densenet121")


def test_the_command_writes_and_names_them(home, tmp_path):
    given = [f"-S{one}" for one in FACTS]
    out = tmp_path / "jobs.yaml"
    run = CliRunner().invoke(
        app,
        ["pipeline", "trainjob", "--out", str(out), "--architecture", "resnet50", "--json", *given],
        env={"THORAX_HOME": str(home)},
    )
    assert run.exit_code == 0, run.output
    [name] = json.loads(run.stdout)["jobs"]
    assert name.startswith("thorax-resnet50-")
    assert out.read_text(encoding="utf-8").count("kind: TrainJob") == 1
    wrong = CliRunner().invoke(
        app, ["pipeline", "trainjob", "--architecture", "resnet5", *given], env={"THORAX_HOME": str(home)}
    )
    assert "resnet50" in str(wrong.exception)


@pytest.mark.slow
@pytest.mark.timeout(300)  # two torchruns and their processes import PyTorch anew
def test_two_nodes_train_as_one_process_does(home, tmp_path):
    """What the job starts is started here twice, with the variables by which the runtime makes them nodes."""
    from thorax.training import train

    store = write_store(tmp_path / "store", count=60)
    recipe = quick_recipe(dropout=0.0, epochs=2, batch_size=15)
    base = load(home, [*FACTS, "cluster.steps.train.gpu=0", f"cluster.volumes=[{{claim: x, path: {tmp_path}}}]"])
    cluster = base.cluster.model_copy(
        update={
            "var": str(tmp_path / "var"),
            "trainer": base.cluster.trainer.model_copy(update={"store": str(store), "nodes": 2}),
        }
    )
    settings = base.model_copy(update={"cluster": cluster, "train": recipe})
    asked = tmp_path / "order.json"
    asked.write_text(json.dumps(order(settings, "custom_cnn", tmp_path / "results")), encoding="utf-8")
    trainer = train_job(settings, "custom_cnn")["spec"]["trainer"]
    command = [sys.executable, *trainer["command"][1:], *trainer["args"][:-1], str(asked)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {
        "PET_NNODES": str(trainer["numNodes"]),
        "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    nodes = [
        subprocess.Popen(
            command, env={**os.environ, **meeting, "PET_NODE_RANK": str(number)}, stderr=subprocess.PIPE, text=True
        )
        for number in range(2)
    ]
    try:
        for node in nodes:
            _, told = node.communicate(timeout=240)
            assert node.returncode == 0, told
    finally:
        for node in nodes:
            node.kill()
    facts = json.loads((tmp_path / "results" / "network" / "network.json").read_text())
    assert facts["processes"] == 2

    train(store, "custom_cnn", recipe, tmp_path / "alone")
    one, two = (
        json.loads((place / "curves.json").read_text()) for place in (tmp_path / "alone", tmp_path / "results/network")
    )
    for name in ("train_loss", "validation_loss"):
        assert [epoch[name] for epoch in two] == pytest.approx([epoch[name] for epoch in one], abs=1e-4), name
    assert load_file(tmp_path / "results/network/weights.safetensors").keys()
