"""A cluster as a person meets it: submit, schedule, look, stop, read; and what is refused before any long work."""

import json
import re
import shlex
import shutil

import pytest
import yaml
from kubeflow_server import Kubeflow, faults, kubeflow
from typer.testing import CliRunner
from versioned_data import versioned_data

from commands.main import app
from pipelines import cluster
from pipelines.compile import compile_training
from thorax import steps
from thorax.datasets import arrival, versioning
from thorax.errors import InputError, SettingsError
from thorax.settings import Settings, load

FACTS = [
    "registry.tracking_uri=http://mlflow:5000",
    "cluster.volumes=[{claim: radiographs, path: /mnt/thorax}]",
    "cluster.secrets=[{name: mlflow, variables: {password: MLFLOW_TRACKING_PASSWORD}}]",
    "cluster.image=registry.example/thorax:1",
    "cluster.environment={HTTPS_PROXY: proxy.example}",
    "cluster.steps.train.tolerations=[{key: nvidia.com/gpu, effect: NoSchedule}]",
    "cluster.steps.train.node_selector={pool: gpu}",
    "cluster.steps.train.retries=2",
]


@pytest.fixture
def server():
    with kubeflow() as state:
        yield state


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder whose data have a recorded revision, on a remote."""
    made = tmp_path_factory.mktemp("versioned")
    versioned_data(made, str(tmp_path_factory.mktemp("remote")))
    return made


@pytest.fixture
def versioned(home, template):
    """A project whose data folder has a recorded revision."""
    shutil.copytree(template, home, dirs_exist_ok=True)
    return home


@pytest.fixture
def revision(template) -> str:
    return versioning.recorded(template / "data.dvc")


@pytest.fixture
def settings(versioned, server) -> Settings:
    return load(versioned, [*FACTS, f"cluster.host={server.host}"])


def thorax(settings: Settings, *arguments: str):
    given = [f"cluster.host={settings.cluster.host}", *FACTS]
    return CliRunner().invoke(
        app, [*arguments, *(f"--set={one}" for one in given)], env={"THORAX_HOME": str(settings.home)}
    )


def test_a_step_gets_what_the_settings_say_of_it(settings, tmp_path):
    spec, platform = yaml.safe_load_all(compile_training(settings, tmp_path / "p.yaml").read_text(encoding="utf-8"))
    executors = spec["deploymentSpec"]["executors"]
    train = executors["exec-train"]["container"]
    assert train["image"] == "registry.example/thorax:1"
    assert train["resources"]["resourceCpuLimit"] == train["resources"]["resourceCpuRequest"] == "8"
    assert train["resources"]["resourceMemoryLimit"] == "32Gi"
    assert train["resources"]["accelerator"] == {
        "count": "1", "resourceCount": "1", "type": "nvidia.com/gpu", "resourceType": "nvidia.com/gpu"
    }  # fmt: skip
    assert {"name": "HTTPS_PROXY", "value": "proxy.example"} in train["env"]
    assert "accelerator" not in executors["exec-ingest"]["container"]["resources"]
    assert executors["exec-ingest"]["container"]["resources"]["resourceMemoryLimit"] == "8Gi"
    loop = spec["components"]["comp-for-loop-2"]["dag"]["tasks"]
    assert loop["train"]["retryPolicy"]["maxRetryCount"] == 2
    assert "retryPolicy" not in loop["evaluate"]
    there = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(there) == 10
    for one in there.values():
        assert one["pvcMount"][0]["constant"] == "radiographs"
        assert one["secretAsEnv"][0]["keyToEnv"] == [{"envVar": "MLFLOW_TRACKING_PASSWORD", "secretKey": "password"}]
    assert there["exec-train"]["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert there["exec-train"]["tolerations"] == [
        {"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}
    ]
    assert there["exec-train"]["activeDeadlineSeconds"] == "172800"
    assert there["exec-train"]["emptyDirMounts"][0]["mountPath"] == "/dev/shm"
    assert there["exec-ingest"]["activeDeadlineSeconds"] == "14400"
    # What checks, checks such a machine as will train.
    assert there["exec-check"]["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert executors["exec-check"]["container"]["resources"]["accelerator"]["count"] == "1"
    assert executors["exec-check"]["container"]["resources"]["resourceMemoryLimit"] == "8Gi"


def test_submit_sends_a_run_that_the_published_api_accepts(settings, server: Kubeflow, revision):
    result = thorax(settings, "pipeline", "submit", "--reason", "new scanner")
    assert result.exit_code == 0, result.output
    assert not server.refused
    [run] = server.runs
    assert revision[:8] in run["display_name"]
    assert "new scanner" in run["display_name"]
    assert server.experiments[0]["display_name"] == "thorax"
    arguments = run["runtime_config"]["parameters"]
    assert arguments["root"] == "/mnt/thorax/data"
    assert arguments["revision"] == revision
    told = arrival.consign(settings.data_root)
    for step in ("check", "ingest"):
        handed = json.loads(arguments[f"{step}_settings"])
        assert handed["data"] == {"size": told.size, "files": 3, "remote": told.remote}
    assert json.loads(arguments["train_settings"])["gpus"] == json.loads(arguments["check_settings"])["gpus"] == 1
    assert set(json.loads(arguments["check_settings"])["codes"]) == set(steps.READS)
    assert steps.settings_of(arguments["train_settings"]).var.as_posix() == "/mnt/thorax/var"
    assert set(arguments) == set(run["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"])
    assert "runs-1" in result.output


def test_status_and_cancel_take_the_newest_run(settings, server: Kubeflow):
    for reason in ("first", "second"):
        assert thorax(settings, "pipeline", "submit", "--reason", reason).exit_code == 0
    server.end("runs-2", "FAILED", [
        {"display_name": "validate", "state": "FAILED", "start_time": "2026-01-01T10:00:00Z",
         "end_time": "2026-01-01T10:01:40Z", "error": {"code": 3, "message": "the data gate closed"}},
        {"display_name": "ingest", "state": "SUCCEEDED", "start_time": "2026-01-01T09:00:00Z",
         "end_time": "2026-01-01T09:00:05Z"},
    ])  # fmt: skip
    seen = thorax(settings, "pipeline", "status")
    assert seen.exit_code == 1
    assert "second" in seen.output
    assert seen.output.index("ingest") < seen.output.index("validate")
    assert "100" in seen.output
    assert "the data gate closed" in seen.output
    assert thorax(settings, "pipeline", "cancel", "runs-1").exit_code == 0
    assert server.runs[0]["state"] == "CANCELED"
    listed = thorax(settings, "pipeline", "runs")
    assert listed.output.index("second") < listed.output.index("first")


def test_a_schedule_of_the_same_name_is_replaced(settings, server: Kubeflow):
    for cron in ("30 2 * * 1", "0 15 4 * * *"):
        result = thorax(settings, "pipeline", "schedule", cron, "--name", "weekly")
        assert result.exit_code == 0, result.output
    assert not server.refused
    [kept] = server.recurring
    assert kept["trigger"]["cron_schedule"]["cron"] == "0 15 4 * * *"
    assert kept["no_catchup"] is True
    assert "weekly" in thorax(settings, "pipeline", "schedules").output
    assert thorax(settings, "pipeline", "unschedule", "weekly").exit_code == 0
    assert server.recurring == []
    with pytest.raises(InputError, match="No schedule is called weekly"):
        cluster.unschedule(settings, "weekly")


def test_a_cron_of_three_fields_is_refused_with_an_example(settings):
    with pytest.raises(InputError, match="has 3 fields"):
        cluster.schedule(settings, "2 * *", "weekly", "", settings.home)


@pytest.fixture
def kubernetes(server: Kubeflow, tmp_path, monkeypatch):
    """Kubernetes' client finds the stand-in."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": server.host}}],
        "users": [{"name": "me", "user": {}}],
    }))  # fmt: skip
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))


@pytest.mark.slow
def test_every_command_of_the_page_does_what_it_says(versioned, server: Kubeflow, kubernetes, project, monkeypatch):
    """From the settings on the page to a run and a schedule, line by line, in the order in which they are typed."""
    page = (project / "docs" / "cluster.md").read_text(encoding="utf-8")
    [written] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    tree = yaml.safe_load((versioned / "params.yaml").read_text(encoding="utf-8"))
    for section, said in yaml.safe_load(written).items():
        tree[section] |= said
    tree["cluster"]["host"] = server.host  # the one thing that cannot be as it is written
    (versioned / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    monkeypatch.chdir(versioned)
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    typed = [shlex.split(line) for line in lines if line]
    known = {"compile", "submit", "status", "logs", "runs", "cancel", "schedule", "schedules", "unschedule"}
    assert known <= {words[2] for words in typed}
    for words in typed:
        if words[2] == "logs":
            server.pods = {"p-system-container-impl-train-1": {"run_id": "runs-1", "log": "validation AUROC 0.9\n"}}
        result = CliRunner().invoke(app, words[1:], env={"THORAX_HOME": str(versioned)})
        assert result.exit_code == 0, f"{words}: {result.output} {result.exception}"
        assert words[2] != "logs" or "validation AUROC 0.9" in result.output
    assert not server.refused
    assert (versioned / "pipeline.yaml").is_file()
    [run] = server.runs
    assert (run["state"], "new cases of March" in run["display_name"]) == ("CANCELED", True)
    assert server.recurring == []


def test_logs_are_those_of_the_step(settings, server: Kubeflow, kubernetes):
    server.pods = {
        "thorax-training-system-container-impl-train-1": {"run_id": "r", "log": "validation AUROC 0.9\n"},
        "thorax-training-system-container-driver-train-2": {"run_id": "r", "log": "driver\n"},
        "thorax-training-system-container-impl-ingest-3": {"run_id": "r", "log": "2,400 images\n"},
    }
    assert [text for _, text in cluster.logs(settings, "r", "train")] == ["validation AUROC 0.9\n"]
    assert len(list(cluster.logs(settings, "r"))) == 2
    with pytest.raises(InputError, match="No pod of run other"):
        list(cluster.logs(settings, "other"))


def test_a_token_and_cookies_are_sent(settings, server: Kubeflow, monkeypatch):
    server.token = "right"
    monkeypatch.setenv(cluster.TOKEN, "expired")
    with pytest.raises(cluster.ClusterError, match="does not accept the credentials") as caught:
        cluster.connect(settings)
    assert "expired" in caught.value.mend
    monkeypatch.setenv(cluster.TOKEN, "right")
    cluster.connect(settings)
    server.token, server.cookies = None, "authservice_session=abc"
    monkeypatch.setenv(cluster.COOKIES, "authservice_session=abc")
    cluster.connect(settings)


def test_a_cluster_that_is_not_there_is_named(settings, server: Kubeflow):
    gone = load(settings.home, [*FACTS, "cluster.host=http://127.0.0.1:9"])
    with pytest.raises(cluster.ClusterError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        cluster.connect(gone)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["registry.tracking_uri=null"], "a file of this machine"),
        (["cluster.volumes=[]"], "no volume is mounted there"),
        (["train.processes=4"], r"train\.processes is 4, and cluster\.steps\.train\.gpu is 1"),
    ],
)
def test_what_would_fail_on_the_cluster_is_found_here(settings, server: Kubeflow, overrides, words):
    wrong = load(settings.home, [*FACTS, f"cluster.host={server.host}", *overrides])
    with pytest.raises(SettingsError, match=words):
        cluster.submit(wrong, "", settings.home)
    assert not server.asked


def test_data_without_a_revision_are_not_sent(settings):
    (settings.home / "data.dvc").unlink()
    with pytest.raises(InputError, match="is not versioned"):
        cluster.check(settings)


def test_a_revision_that_the_remote_does_not_have_is_not_sent(settings, server: Kubeflow, revision):
    (settings.home / "data" / "images" / "3.png").write_text("new")
    with pytest.raises(InputError, match="differs from revision"):
        cluster.check(settings)
    versioning.track(settings.home, settings.data_root)
    with pytest.raises(InputError, match="is not on the remote") as refused:
        cluster.submit(settings, "", settings.home)
    assert "dvc push" in refused.value.mend
    assert not server.asked
    versioning.push(settings.home, settings.data_root)
    assert cluster.check(settings).files == 4
    shutil.rmtree(settings.data_root)  # whoever submits need not have the data
    assert cluster.check(settings).revision != revision


def test_an_image_with_other_code_is_refused(settings):
    handed = steps.arguments(settings)["select_settings"]
    steps.settings_of(handed)
    with pytest.raises(InputError, match="not the code that the run was begun with"):
        steps.settings_of(handed.replace('"code": "', '"code": "0'))


def test_the_stand_in_refuses_what_the_api_does_not_know():
    assert faults({"display_name": "x", "colour": "red"}, "V2beta1Run") == ["V2beta1Run has no colour"]
    assert faults({"mode": "SOMETIMES"}, "V2beta1RecurringRun")
    assert not faults({"mode": "ENABLE", "max_concurrency": "1"}, "V2beta1RecurringRun")
