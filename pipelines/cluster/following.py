"""How runs on the cluster stand: list them, look into one, stop it, read what its steps printed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.cluster.connection import PATIENCE, ClusterError, connect, explained, link, quiet
from thorax.errors import InputError
from thorax.proxies import proxy_of
from thorax.settings import Settings

if TYPE_CHECKING:
    from kfp import Client


@dataclass(frozen=True)
class Task:
    """One step of a run on the cluster: its name, Kubeflow's word for its state, and its times."""

    name: str
    state: str
    start: datetime | None = None
    end: datetime | None = None
    error: str = ""


@dataclass(frozen=True)
class RunState:
    """A run on the cluster, as the cluster tells it."""

    run_id: str
    name: str
    state: str
    link: str
    tasks: list[Task] = field(default_factory=list)
    error: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}


def runs(settings: Settings, limit: int = 10) -> list[RunState]:
    """Return the latest runs of the experiment, newest first, without their tasks."""
    client = connect(settings)
    with quiet(), explained(settings.cluster.host):
        return _latest(client, settings, limit)


def status(settings: Settings, run_id: str | None = None) -> RunState:
    """Return how a run stands, task by task; the newest run where none is named.

    Raises:
        InputError: there is no such run.
    """
    client = connect(settings)
    with quiet(), explained(settings.cluster.host):
        run = client.get_run(_run_id(client, settings, run_id))
        tasks = sorted(
            (
                Task(one.display_name, one.state or "PENDING", one.start_time, one.end_time, _message(one.error))
                for one in (run.run_details.task_details if run.run_details else None) or []
                if not (one.display_name or "").endswith("-driver")
            ),
            key=lambda task: task.start or datetime.max.replace(tzinfo=UTC),
        )
        return RunState(
            run.run_id,
            run.display_name,
            run.state or "PENDING",
            link(client, run.run_id),
            tasks,
            _message(run.error),
        )


def cancel(settings: Settings, run_id: str | None = None) -> str:
    """Stop a run, the newest where none is named; return its id."""
    client = connect(settings)
    with quiet(), explained(settings.cluster.host):
        chosen = _run_id(client, settings, run_id)
        client.terminate_run(chosen)
    return chosen


def logs(settings: Settings, run_id: str | None = None, step: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (pod, what it printed) for the pods of a run that did the steps' work.

    Raises:
        InputError: no pod of that run, or of that step, is left.
        ClusterError: Kubernetes cannot be reached.
    """
    client = connect(settings)
    with quiet(), explained(settings.cluster.host):
        chosen = _run_id(client, settings, run_id)
    from kubernetes import client as kubernetes
    from kubernetes import config
    from kubernetes.config import ConfigException

    try:
        # Kubernetes' own client looks at the variable when it is imported only.
        named = os.environ.get("KUBECONFIG")
        config.load_kube_config(named) if named else config.load_config()
    except ConfigException as error:
        raise ClusterError(
            "Kubernetes is not configured here.", "Logs are read from its pods: set KUBECONFIG."
        ) from error
    configuration = kubernetes.Configuration.get_default_copy()
    configuration.proxy = proxy_of(configuration.host)
    core = kubernetes.CoreV1Api(kubernetes.ApiClient(configuration))
    namespace = settings.cluster.namespace or "kubeflow"
    found = False
    with explained("Kubernetes"):
        pods = core.list_namespaced_pod(
            namespace, label_selector=f"pipeline/runid={chosen}", _request_timeout=PATIENCE
        ).items
        for pod in sorted(pods, key=lambda one: str(one.metadata.creation_timestamp)):
            name = pod.metadata.name
            if "-impl" not in name or (step and f"-{step}-" not in f"-{name}-"):
                continue
            found = True
            text = core.read_namespaced_pod_log(name, namespace, container="main", _request_timeout=PATIENCE)
            yield name, text
    if not found:
        raise InputError(
            f"No pod of run {chosen}{f' that did {step}' if step else ''} is left.",
            "A cluster removes pods some time after a run; what each step wrote stays in its artifacts.",
        )


def _experiment_id(client: "Client", settings: Settings) -> str:
    try:
        found = client.get_experiment(experiment_name=settings.cluster.experiment, namespace=settings.cluster.namespace)
    except ValueError as error:
        raise InputError(
            f"The cluster holds no experiment {settings.cluster.experiment} yet.", "Run: thorax pipeline submit"
        ) from error
    return str(found.experiment_id)


def _latest(client: "Client", settings: Settings, limit: int) -> list[RunState]:
    found = client.list_runs(
        experiment_id=_experiment_id(client, settings), page_size=limit, sort_by="created_at desc"
    ).runs
    return [RunState(r.run_id, r.display_name, r.state or "PENDING", link(client, r.run_id)) for r in found or []]


def _run_id(client: "Client", settings: Settings, run_id: str | None) -> str:
    if run_id is not None:
        return run_id
    newest = _latest(client, settings, 1)
    if not newest:
        raise InputError(f"No run of {settings.cluster.experiment} is on the cluster.", "Run: thorax pipeline submit")
    return newest[0].run_id


def _message(error: Any) -> str:
    return (getattr(error, "message", "") or "") if error is not None else ""
