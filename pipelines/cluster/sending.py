"""Sending the training pipeline to a cluster, once or on a schedule."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.cluster.connection import connect, explained, link, quiet
from pipelines.cluster.following import RunState
from pipelines.compile import compile_training
from thorax import steps
from thorax.errors import InputError, SettingsError
from thorax.settings import Settings

if TYPE_CHECKING:
    from kfp import Client

    from thorax.datasets.arrival import Consignment


def check(settings: Settings) -> "Consignment":
    """Find what would stop a run on the cluster before it is sent; return the data's revision, and where it is.

    Raises:
        SettingsError: the registry is a file of this machine, no volume holds the data, or training wants more GPUs
            than it is given.
        InputError: the data differ from their recorded revision, or DVC's remote does not have it.
    """
    from thorax.datasets import arrival, versioning

    if settings.registry.tracking_uri is None or settings.registry.tracking_uri.startswith(("sqlite", "file:", "/")):
        raise SettingsError(
            "registry.tracking_uri is a file of this machine: steps on a cluster cannot reach it.",
            "Set it to the address of an MLflow server that the cluster reaches, e.g. http://mlflow.mlops:5000.",
        )
    cluster = settings.cluster
    if not any(cluster.root.startswith(volume.path) for volume in cluster.volumes):
        raise SettingsError(
            f"cluster.root is {cluster.root}, and no volume is mounted there.",
            "Name the claim that holds the data under cluster.volumes, e.g. [{claim: thorax, path: /mnt/thorax}].",
        )
    gpus = cluster.resources("train").gpu
    if gpus and settings.train.processes > gpus:
        raise SettingsError(
            f"train.processes is {settings.train.processes}, and cluster.steps.train.gpu is {gpus}.",
            "Each process takes a GPU of its own: make them equal.",
        )
    if versioning.pointer(settings.data_root) is None:
        raise InputError(
            f"{settings.data_root} is not versioned: the cluster could not know which data are meant.",
            f"Run: thorax data add {settings.data_root}, then dvc push.",
        )
    if versioning.state(settings.home, settings.data_root).condition == "modified":
        versioning.check(settings.home, settings.data_root)  # refuses, and says how to record the change or go back
    return arrival.consign(settings.data_root)


def submit(settings: Settings, reason: str, folder: Path) -> RunState:
    """Send one run of the training pipeline.

    Args:
        settings: all settings.
        reason: why, in a person's words; part of the run's name, and kept with the version.
        folder: where the compiled YAML is written.
    """
    data = check(settings)
    client = connect(settings)
    package = compile_training(settings, folder / "pipeline.yaml")
    with quiet(), explained(settings.cluster.host):
        experiment = client.create_experiment(settings.cluster.experiment, namespace=settings.cluster.namespace)
        sent = client.run_pipeline(
            experiment_id=experiment.experiment_id,
            job_name=_name(data.revision, reason),
            pipeline_package_path=str(package),
            params={"revision": data.revision, "reason": reason, **arguments(settings, data)},
            pipeline_root=settings.cluster.pipeline_root,
            service_account=settings.cluster.service_account,
        )
    return RunState(sent.run_id, sent.display_name, sent.state or "PENDING", link(client, sent.run_id))


def schedule(settings: Settings, cron: str, name: str, reason: str, folder: Path) -> dict[str, Any]:
    """Let the cluster run the training pipeline again and again.

    Args:
        settings: all settings.
        cron: five fields (minute first) or Kubeflow's six (second first), in the cluster's time zone.
        name: of the schedule; one of that name is replaced.
        reason: kept with every version.
        folder: where the compiled YAML is written.
    """
    data = check(settings)
    package = compile_training(settings, folder / "pipeline.yaml")
    given = {"revision": data.revision, "reason": reason, **arguments(settings, data)}
    return repeat(settings, cron, name, reason, package, given)


def repeat(
    settings: Settings, cron: str, name: str, reason: str, package: Path, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Let the cluster run a compiled pipeline again and again, one run at a time.

    Args:
        settings: all settings.
        cron: five fields (minute first) or Kubeflow's six (second first), in the cluster's time zone.
        name: of the schedule; one of that name is replaced.
        reason: shown beside it.
        package: the compiled YAML.
        arguments: of the pipeline.

    Returns:
        id, name, cron, and whether it is on.

    Raises:
        InputError: it is no schedule.
        ClusterError: the cluster cannot be reached, or refuses.
    """
    fields = cron.split()
    if len(fields) not in (5, 6):
        raise InputError(
            f"{cron!r} has {len(fields)} fields; a schedule has five, minute first, or six, second first.",
            'For half past two every Monday: "30 2 * * 1". For every quarter of an hour: "*/15 * * * *".',
        )
    client = connect(settings)
    with quiet(), explained(settings.cluster.host):
        experiment = client.create_experiment(settings.cluster.experiment, namespace=settings.cluster.namespace)
        before = [one for one in _schedules(client, settings) if one.display_name == name]
        made = client.create_recurring_run(
            experiment_id=experiment.experiment_id,
            job_name=name,
            description=reason,
            cron_expression=" ".join(fields if len(fields) == 6 else ["0", *fields]),
            max_concurrency=1,
            no_catchup=True,
            params=arguments,
            pipeline_package_path=str(package),
            pipeline_root=settings.cluster.pipeline_root,
            service_account=settings.cluster.service_account,
        )
        # The new one stands before the old one goes, so that no failure leaves none.
        for one in before:
            client.delete_recurring_run(one.recurring_run_id)
    return _schedule_facts(made)


def schedules(settings: Settings) -> list[dict[str, Any]]:
    """Return what runs again and again: id, name, cron, whether it is on."""
    client = connect(settings)
    with quiet(), explained(settings.cluster.host):
        return [_schedule_facts(one) for one in _schedules(client, settings)]


def unschedule(settings: Settings, name: str) -> int:
    """Delete the schedules of a name; return how many there were.

    Raises:
        InputError: there is none.
    """
    client = connect(settings)
    with quiet(), explained(settings.cluster.host):
        all_of_them = _schedules(client, settings)
        gone = [one for one in all_of_them if name in (one.display_name, one.recurring_run_id)]
        for one in gone:
            client.delete_recurring_run(one.recurring_run_id)
    if not gone:
        names = ", ".join(one.display_name for one in all_of_them) or "there are none"
        raise InputError(f"No schedule is called {name}.", f"Schedules: {names}.")
    return len(gone)


def as_there(settings: Settings) -> Settings:
    """Return the settings with folders as the steps find them on the cluster."""
    return settings.model_copy(
        update={
            "paths": settings.paths.model_copy(update={"var": Path(settings.cluster.var)}),
            "data": settings.data.model_copy(update={"root": Path(settings.cluster.root)}),
        }
    )


def arguments(settings: Settings, data: "Consignment") -> dict[str, Any]:
    """Return the training pipeline's arguments, but for revision and reason: what its steps are told on the cluster."""
    known = {key: value for key, value in data.as_dict().items() if key != "revision"}
    gpus = settings.cluster.resources("train").gpu
    more: dict[str, dict[str, Any]] = {
        "check": {"data": known, "gpus": gpus},
        "ingest": {"data": known},
        "train": {"gpus": gpus},
    }
    return steps.arguments(as_there(settings), more)


def _name(revision: str, reason: str) -> str:
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    return " ".join(part for part in ("training", stamp, revision[:8], reason) if part)[:120]


def _schedules(client: "Client", settings: Settings) -> list[Any]:
    found: list[Any] = []
    page = ""
    while True:
        answer = client.list_recurring_runs(page_token=page, page_size=100, namespace=settings.cluster.namespace)
        found += answer.recurring_runs or []
        page = answer.next_page_token or ""
        if not page:
            return found


def _schedule_facts(one: Any) -> dict[str, Any]:
    trigger = one.trigger.cron_schedule if one.trigger else None
    return {
        "id": one.recurring_run_id,
        "name": one.display_name,
        "cron": trigger.cron if trigger else "",
        "on": str(one.status or one.mode or "").startswith("ENABLE"),
    }
