"""Training on several nodes: a TrainJob for Kubeflow Trainer (v2), made from the settings that a pod's training takes.

For each architecture there are two documents: a ConfigMap with the order that `thorax.training.worker` carries out, and
the TrainJob, which refers to a runtime of the cluster, mounts the order and the volumes, and starts torchrun on every
node. The runtime tells torchrun where the nodes meet, by the variables PET_NNODES, PET_NODE_RANK and their kin.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import ValidationError

from components.base import IMAGE
from thorax.errors import SettingsError
from thorax.files import digest_json, write_text
from thorax.settings import Cluster, Resources, Settings, Train
from thorax.settings.base import explain

#: Where a node finds its order.
ORDER = PurePosixPath("/etc/thorax-order")
#: Which of the runtime's jobs, and which container of its pods, trains; Kubeflow Trainer calls both so.
_NODE = "node"
#: The image's own user, as in `deploy/`; a namespace that enforces the restricted standard admits no other pod.
_USER = {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
_LOCKED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def write_train_jobs(settings: Settings, out: Path, architectures: Sequence[str] = ()) -> list[str]:
    """Write the TrainJobs of some architectures, by default of all that the settings name, into one YAML file.

    Returns:
        The jobs' names.

    Raises:
        SettingsError: as `train_job`.
    """
    named = architectures or settings.train.architectures
    documents = [document for name in named for document in _pair(settings, name)]
    write_text(out, yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, allow_unicode=True))
    return [one["metadata"]["name"] for one in documents if one["kind"] == "TrainJob"]


def train_job(settings: Settings, architecture: str) -> dict[str, Any]:
    """Return the TrainJob of one architecture.

    Raises:
        SettingsError: an unknown architecture; no volume holds the image store, or takes the results; or there are more
            processes than images a batch.
    """
    return _pair(settings, architecture)[1]


def order(settings: Settings, architecture: str, place: PurePosixPath) -> dict[str, Any]:
    """Return what `thorax.training.worker` carries out, with folders as the nodes find them.

    Args:
        settings: all settings.
        architecture: what is trained.
        place: folder of the results: `network` and, until they are there, `checkpoints`.
    """
    # A process a GPU is started by torchrun; on a node without, each takes the cores that it is given.
    recipe = settings.train.model_dump(mode="json") | {"architectures": [architecture], "processes": 0}
    return {
        "store": settings.cluster.trainer.store,
        "architecture": architecture,
        "train": recipe,
        "out": str(place / "network"),
        "checkpoints": str(place / "checkpoints"),
        "pretrained": str(PurePosixPath(settings.cluster.var) / "pretrained"),
        "refusals": None,
    }


class _Plain(yaml.SafeDumper):
    """YAML without anchors, and with the order as a block of lines, as people write it."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write out what occurs twice twice."""
        return True


_Plain.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None)
)


def _pair(settings: Settings, architecture: str) -> tuple[dict[str, Any], dict[str, Any]]:
    cluster, given = settings.steps_cluster, settings.cluster.resources("train")
    each = given.gpu or max(1, settings.train.of(architecture).processes)
    _check(settings, architecture, each)
    jobs = PurePosixPath(cluster.var) / "trainjobs"
    # A TrainJob cannot be changed once it runs: other settings make another job.
    digest = digest_json([order(settings, architecture, jobs), cluster.trainer.nodes, each, cluster.image])[:8]
    name = f"thorax-{re.sub('[^a-z0-9]+', '-', architecture.lower()).strip('-')}"[:50] + f"-{digest}"
    metadata = {"name": name, "labels": {"app.kubernetes.io/part-of": "thorax"}}
    if cluster.namespace:
        metadata["namespace"] = cluster.namespace
    text = json.dumps(order(settings, architecture, jobs / name), indent=2, sort_keys=True)
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"order.json": text}}
    spec: dict[str, Any] = {
        "runtimeRef": {
            "apiGroup": "trainer.kubeflow.org",
            "kind": cluster.trainer.kind,
            "name": cluster.trainer.runtime,
        },
        "trainer": {
            "image": cluster.image or IMAGE,
            "command": ["python", "-m", "torch.distributed.run"],
            "args": ["-m", "thorax.training.worker", str(ORDER / "order.json")],
            "env": _environment(cluster),
            "numNodes": cluster.trainer.nodes,
            "numProcPerNode": each,
            "resourcesPerNode": _resources(given),
        },
        "runtimePatches": [{"manager": "thorax/pipeline", "trainingRuntimeSpec": _patch(cluster, given, name)}],
    }
    if given.timeout_minutes:
        spec["activeDeadlineSeconds"] = given.timeout_minutes * 60
    job = {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "metadata": metadata, "spec": spec}
    return config, job


def _check(settings: Settings, architecture: str, each: int) -> None:
    try:
        Train(architectures=(architecture,))
    except ValidationError as error:
        raise SettingsError(explain(error.errors()[0], Train)) from error
    cluster = settings.cluster
    for key, folder in (("trainer.store", cluster.trainer.store), ("var", cluster.var)):
        if not any(PurePosixPath(folder).is_relative_to(volume.path) for volume in cluster.volumes):
            raise SettingsError(
                f"cluster.{key} is {folder}, and no volume is mounted there: the nodes would not share it.",
                "Name the claim that holds it under cluster.volumes, e.g. [{claim: thorax, path: /mnt/thorax}].",
            )
    together = cluster.trainer.nodes * each
    if together > (batch := settings.train.of(architecture).batch_size):
        raise SettingsError(
            f"{cluster.trainer.nodes} nodes of {each} processes cannot share batches of {batch} images.",
            f"Set train.batch_size to at least {together}, or take fewer nodes.",
        )


def _environment(cluster: Cluster) -> list[dict[str, Any]]:
    plain = [{"name": name, "value": value} for name, value in sorted(cluster.environment.items())]
    secret = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": one.name, "key": key}}}
        for one in cluster.secrets
        for key, variable in sorted(one.variables.items())
    ]
    return plain + secret


def _resources(given: Resources) -> dict[str, dict[str, str]]:
    asked = {"cpu": given.cpu, "memory": given.memory, given.gpu_kind: str(given.gpu) if given.gpu else None}
    amounts = {name: amount for name, amount in asked.items() if amount}
    return {"requests": dict(amounts), "limits": dict(amounts)}


def _patch(cluster: Cluster, given: Resources, name: str) -> dict[str, Any]:
    """What the runtime's pods get besides: the order, volumes, shared memory, and where they run."""
    volumes: list[dict[str, Any]] = [{"name": "order", "configMap": {"name": name}}]
    mounts: list[dict[str, Any]] = [{"name": "order", "mountPath": str(ORDER), "readOnly": True}]
    for number, volume in enumerate(cluster.volumes):
        volumes.append({"name": f"volume-{number}", "persistentVolumeClaim": {"claimName": volume.claim}})
        mounts.append({"name": f"volume-{number}", "mountPath": volume.path})
    if given.shared_memory:  # the processes of a node speak to one another through it
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": given.shared_memory}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  # nosec B108
    pod: dict[str, Any] = {
        "containers": [{"name": _NODE, "volumeMounts": mounts, "securityContext": _LOCKED}],
        "volumes": volumes,
        "securityContext": _USER,
    }
    if given.node_selector:
        pod["nodeSelector"] = dict(given.node_selector)
    if given.tolerations:
        pod["tolerations"] = [_present(one.model_dump()) for one in given.tolerations]
    if cluster.service_account:
        pod["serviceAccountName"] = cluster.service_account
    job = {"name": _NODE, "template": {"spec": {"template": {"spec": pod}}}}
    return {"template": {"spec": {"replicatedJobs": [job]}}}


def _present(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tree.items() if value}
