"""What is handed to a cluster or a container engine is valid before it gets there, and locked down."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from thorax.settings.loading import parse

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
OVERLAYS = sorted(path.parent for path in (DEPLOY / "kustomize" / "overlays").glob("*/kustomization.yaml"))
#: Storage that a cluster may be given, beside the base.
COMPONENT = [
    path for path in sorted((DEPLOY / "kustomize" / "components").rglob("*.yaml")) if path.stem != "kustomization"
]
BASE = [
    path
    for path in sorted((DEPLOY / "kustomize" / "base").glob("*.yaml"))
    if path.stem not in ("kustomization", "params")
]


def documents(text: str) -> list[dict]:
    return [one for one in yaml.safe_load_all(text) if one]


def pods(kinds: list[dict]) -> list[dict]:
    found = []
    for one in kinds:
        spec = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one.get("spec", {})
        if "template" in spec:
            found.append(spec["template"]["spec"])
    return found


@pytest.fixture(params=OVERLAYS, ids=lambda path: path.name)
def built(request) -> list[dict]:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", str(request.param)]
    return documents(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_mlflow_hears_the_pods_that_ask_it(built):
    """Its network policy goes by a label: the pods have it, and not their deployments alone."""
    [policy] = [one for one in built if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "mlflow"]
    wanted = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    for one in built:
        if one["kind"] in ("Deployment", "CronJob"):
            spec = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one["spec"]
            assert wanted.items() <= spec["template"]["metadata"]["labels"].items(), one["metadata"]["name"]


def test_the_overlay_to_try_holds_its_own_storage(built):
    found = {one["metadata"]["name"]: one for one in built if one["kind"] == "StatefulSet"}
    settings = [one["data"]["params.yaml"] for one in built if "params.yaml" in one.get("data", {})]
    assert ("postgres" in found) == ("@postgres:5432" in settings[0]) == ("objects" in found)


@pytest.mark.parametrize("path", [*BASE, *COMPONENT], ids=lambda path: path.name)
def test_every_manifest_is_what_kubernetes_knows(path):
    import kubernetes_validate

    for one in documents(path.read_text(encoding="utf-8")):
        kubernetes_validate.validate(one, "1.33", strict=True)


def test_a_wrong_manifest_would_be_seen():
    import kubernetes_validate

    [deployment] = [
        one for one in documents((BASE[0].parent / "serve.yaml").read_text()) if one["kind"] == "Deployment"
    ]
    deployment["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.33", strict=True)


def test_every_overlay_builds_and_is_valid(built):
    import kubernetes_validate

    for one in built:
        kubernetes_validate.validate(one, "1.33", strict=True)
    assert {"Deployment", "Service", "CronJob", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"} <= {
        one["kind"] for one in built
    }


def test_every_container_is_locked_down_and_bounded():
    found = pods([one for path in [*BASE, *COMPONENT] for one in documents(path.read_text(encoding="utf-8"))])
    assert len(found) == 5
    for pod in found:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            guard = container["securityContext"]
            assert guard["readOnlyRootFilesystem"] is True
            assert guard["allowPrivilegeEscalation"] is False
            assert guard["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])


def test_no_secret_is_written_down():
    for path in DEPLOY.rglob("*.yaml"):
        for one in documents(path.read_text(encoding="utf-8")):
            assert one.get("kind") != "Secret", path
    base = documents((DEPLOY / "kustomize" / "base" / "serve.yaml").read_text(encoding="utf-8"))
    for pod in pods(base):
        for variable in pod["containers"][0]["env"]:
            if "PASSWORD" in variable["name"] or "SECRET" in variable["name"]:
                assert "secretKeyRef" in variable["valueFrom"]


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("params.yaml")), ids=lambda path: path.parent.name)
def test_the_settings_of_a_cluster_are_settings(path):
    settings = parse(yaml.safe_load(path.read_text(encoding="utf-8")), path.parent, str(path))
    assert settings.serve.require_keys
    assert settings.var == Path("/mnt/thorax/var")


def test_the_dockerfile_passes_its_linter():
    hadolint = Path(sys.executable).parent / "hadolint"
    result = subprocess.run([str(hadolint), str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    wrong = subprocess.run(
        [str(hadolint), "-"], input="FROM debian\nRUN cd /tmp && sudo ls", capture_output=True, text=True
    )
    assert wrong.returncode != 0


def test_the_image_ends_without_root_and_without_a_compiler():
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    assert any(line.startswith("USER 10001") for line in last)
    assert not any("gcc" in line or "build-essential" in line for line in lines)


@pytest.mark.parametrize(
    ("variant", "has", "lacks"),
    [
        ("cuda", {"torch", "nvidia-cublas", "kfp", "mlflow", "bentoml"}, {"pytest", "ruff", "moto", "mkdocs"}),
        (
            "cpu",
            {"kfp", "mlflow", "bentoml", "great-expectations", "timm", "nvidia-ml-py"},
            {"torch", "nvidia-cublas", "pytest"},
        ),
        (
            "serve",
            {"onnxruntime", "bentoml", "gradio", "mlflow", "psycopg", "nvidia-ml-py"},
            {"torch", "kfp", "dvc", "onnx", "evidently", "timm", "nvidia-cublas"},
        ),
    ],
)
def test_an_image_holds_what_its_variant_needs(variant, has, lacks):
    root = DEPLOY.parent
    command = [sys.executable, "deploy/requirements.py", variant, "requirements.lock", "pyproject.toml"]
    printed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    names = {line.split("==")[0] for line in printed.splitlines() if "==" in line and not line.startswith(" ")}
    assert has <= names
    assert not lacks & names
    assert printed.count("--hash=sha256:") > 2 * len(names)


@pytest.mark.slow
def test_the_bento_holds_the_service_and_starts_it_as_the_command_does(tmp_path):
    root = DEPLOY.parent
    (root / "var").mkdir(exist_ok=True)
    command = [sys.executable, "deploy/requirements.py", "serve", "requirements.lock", "pyproject.toml"]
    with (root / "var" / "requirements-serve.txt").open("w") as locked:
        subprocess.run(command, cwd=root, check=True, stdout=locked)
    bentoml = str(Path(sys.executable).parent / "bentoml")
    built = subprocess.run(
        [bentoml, "build", "--bentofile", "deploy/bentofile.yaml", "--output", "tag"],
        cwd=root,
        env={**os.environ, "BENTOML_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "True"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    [bento] = [path.parent for path in tmp_path.rglob("bento.yaml")]
    assert (bento / "src" / "serving" / "service.py").is_file()
    assert (bento / "src" / "params.yaml").is_file()
    assert not {"var", "data", "tests"} & {path.name for path in (bento / "src").iterdir()}
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    last = [line for line in dockerfile.splitlines() if line.startswith(("USER", "ENTRYPOINT"))][-2:]
    assert last[0] == "USER bentoml"
    assert '"commands.main", "serve"' in last[1]
    assert "torch==" not in (bento / "env" / "python" / "requirements.txt").read_text(encoding="utf-8")


def test_compose_is_yaml_that_names_its_volumes():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    named = {mount.split(":")[0] for one in compose["services"].values() for mount in one["volumes"]}
    assert named == set(compose["volumes"])
    assert compose["services"]["thorax"]["read_only"] is True


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [("vendor.github-workflows", ".github/workflows/*.yaml"), ("vendor.compose-spec", "deploy/compose.yaml")],
)
def test_workflows_and_compose_are_what_their_schemas_say(schema, pattern):
    checker = Path(sys.executable).parent / "check-jsonschema"
    files = sorted(str(path) for path in DEPLOY.parent.glob(pattern))
    assert files
    result = subprocess.run([str(checker), "--builtin-schema", schema, *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_a_workflow_puts_no_typed_text_into_a_script():
    for path in (DEPLOY.parent / ".github" / "workflows").glob("*.yaml"):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            for step in job["steps"]:
                assert "${{ inputs" not in step.get("run", ""), f"{path.name}: {step}"
                assert "${{ github" not in step.get("run", ""), f"{path.name}: {step}"
