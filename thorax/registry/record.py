"""A pipeline run in MLflow: a parent with parameters, data and pages, a child an architecture, and a version."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax.bundle import write_bundle
from thorax.errors import InputError, RegistryError
from thorax.files import read_json, write_json
from thorax.provenance import code_lineage, commit, hardware, versions
from thorax.registry.evidence import collect
from thorax.registry.history import user
from thorax.registry.live import ARCHITECTURE, CACHED_FROM, PARENT, log_curve
from thorax.registry.register import Registered, register
from thorax.registry.run_logging import (
    data_parameters,
    describe_pipeline,
    log_data,
    log_data_gate,
    log_figures,
    log_pages,
    log_parameters,
    log_settings,
    network_facts,
    parameters,
)
from thorax.registry.tracking import client, initialise, locked, speaking
from thorax.registry.versions import UNCHANGED
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Where the code begins that makes a model; its digest stands in the lineage.
CODE = ("thorax.preprocessing", "thorax.training", "thorax.calibration", "thorax.evaluation", "thorax.bundle")


@dataclass(frozen=True)
class Candidate:
    """What the steps left of one architecture: three folders, and the MLflow run of its training ("" for none)."""

    architecture: str
    network: Path
    calibration: Path
    evaluation: Path
    run_id: str = ""


def record(
    settings: Settings,
    candidates: Sequence[Candidate],
    *,
    dataset: Path,
    validation: Path,
    store: Path,
    selection: Path,
    reason: str,
    out: Path,
) -> dict[str, Any]:
    """Record a pipeline run, make the winner's bundle, and register it.

    Args:
        settings: all of them; those that made the model become the run's parameters.
        candidates: one an architecture.
        dataset: output of ingest.
        validation: output of validate.
        store: output of preprocess.
        selection: output of select, with `selection.json`.
        reason: why the run was made.
        out: gets `bundle/`, `registered.json`.

    Returns:
        name, version, aliases, gates, run_id, and whether the version is new: the content of `registered.json`.

    Raises:
        InputError: the winner is not among the candidates, or a folder lacks what its step should have left.
        RegistryError: MLflow cannot be reached.
    """
    import pandas as pd

    chosen = read_json(selection / "selection.json")
    winners = [candidate for candidate in candidates if candidate.architecture == chosen["winner"]]
    if len(winners) != 1:
        raise InputError(f"The winner {chosen['winner']!r} is not among {[c.architecture for c in candidates]}.")
    winner = winners[0]
    facts = read_json(dataset / "dataset.json")
    connection = client(settings)
    # One run is recorded at a time, so that a parent which is still open belongs to a process that was killed.
    with locked(settings, "record"), speaking(settings):
        parent = _open_parent(settings, connection, reason, facts, chosen, [c.architecture for c in candidates])
        try:
            runs = {c.architecture: _child(settings, connection, parent, c, facts) for c in candidates}
            log_data(connection, parent, pd.read_parquet(dataset / "manifest.parquet").head(0), facts)
            log_pages(connection, parent, "validation", validation)
            log_data_gate(connection, parent, validation / "result.json")
            log_pages(connection, parent, "selection", selection)
            evaluation = read_json(winner.evaluation / "evaluation.json")
            log_figures(connection, parent, evaluation)
            lineage = _lineage(settings, store, facts, chosen, parent, runs)
            bundle = write_bundle(
                out / "bundle",
                train_dir=winner.network,
                calibration_dir=winner.calibration,
                evaluation_dir=winner.evaluation,
                store_dir=store,
                lineage=lineage,
            )
            registered = register(
                settings,
                bundle,
                evaluation,
                lineage,
                evidence=collect(winner.network, winner.calibration, store),
                store=store,
                run_id=parent,
                reason=reason,
            )
        except BaseException:
            connection.set_terminated(parent, "FAILED")
            raise
        connection.set_tag(parent, "thorax.version", registered.version)
        if not registered.new:
            note = f"**Nothing has changed:** this is version {registered.version}, registered before.\n\n"
            connection.set_tag(parent, "mlflow.note.content", note + describe_pipeline(chosen, facts, reason))
            connection.set_tag(parent, UNCHANGED, "true")
        connection.set_terminated(parent, "FINISHED")
    result = _result(registered) | {"run_id": parent}
    write_json(out / "registered.json", result)
    return result


def _result(registered: Registered) -> dict[str, Any]:
    tree = asdict(registered)
    return tree | {
        "aliases": list(registered.aliases),
        "gates": [asdict(g) | {"text": g.text} for g in registered.gates],
    }


def _open_parent(
    settings: Settings,
    connection: "MlflowClient",
    reason: str,
    facts: Mapping[str, Any],
    chosen: Mapping[str, Any],
    architectures: Sequence[str],
) -> str:
    """Open the run of the pipeline; its parameters and figures are the winner's."""
    winner = str(chosen["winner"])
    # A step is not handed the list of architectures, as another list repeats no training.
    settings = settings.model_copy(
        update={"train": settings.train.model_copy(update={"architectures": tuple(architectures)})}
    )
    tags = {
        "thorax.kind": "pipeline",
        "thorax.reason": reason,
        "thorax.winner": winner,
        "thorax.synthetic": str(bool(facts.get("synthetic"))).lower(),
        "mlflow.note.content": describe_pipeline(chosen, facts, reason),
        "mlflow.user": user(),
        "mlflow.source.name": "thorax pipeline run",
        "mlflow.source.type": "PROJECT",
    }
    if head := commit(settings.home).hash:
        tags["mlflow.source.git.commit"] = head
    run = connection.create_run(initialise(settings), tags=tags, run_name=f"pipeline: {reason}"[:250])
    run_id = str(run.info.run_id)
    values = parameters(settings, winner) | {"candidates": ", ".join(architectures)} | data_parameters(facts)
    log_parameters(connection, run_id, values)
    log_settings(connection, run_id, settings)
    return run_id


def _child(
    settings: Settings, connection: "MlflowClient", parent: str, candidate: Candidate, facts: Mapping[str, Any]
) -> str:
    """Put a training's run below the parent; one that is another run's child already gets a twin here."""
    run_id = candidate.run_id if _adoptable(connection, candidate.run_id) else ""
    curves = read_json(candidate.network / "curves.json")
    if run_id:
        connection.set_tag(run_id, PARENT, parent)
        logged = {metric.step for metric in connection.get_metric_history(run_id, "train_loss")}
    else:
        tags = {PARENT: parent, ARCHITECTURE: candidate.architecture}
        if candidate.run_id:
            tags[CACHED_FROM] = candidate.run_id
        created = connection.create_run(initialise(settings), tags=tags, run_name=candidate.architecture)
        run_id, logged = str(created.info.run_id), set()
    missing = [(int(row["epoch"]), row) for row in curves if int(row["epoch"]) not in logged]
    log_curve(connection, run_id, missing)
    values = parameters(settings, candidate.architecture) | data_parameters(facts)
    log_parameters(connection, run_id, values | network_facts(read_json(candidate.network / "network.json")))
    log_figures(connection, run_id, read_json(candidate.evaluation / "evaluation.json"))
    log_pages(connection, run_id, "evaluation", candidate.evaluation)
    connection.set_terminated(run_id, "FINISHED")
    return run_id


def _adoptable(connection: "MlflowClient", run_id: str) -> bool:
    """Whether the run is there and nobody's child, or the child of a parent that was killed."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return False
    try:
        run = connection.get_run(run_id)
        if run.info.lifecycle_stage != "active":
            return False
        parent = run.data.tags.get(PARENT)
        if parent is None:
            return True
        status = connection.get_run(parent).info.status
    except MlflowException as error:
        # The network came from the cache, and its run was deleted or lies in another database.
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    if status == "RUNNING":
        connection.set_terminated(parent, "KILLED")
    return bool(status != "FINISHED")


def _lineage(
    settings: Settings,
    store: Path,
    facts: Mapping[str, Any],
    chosen: Mapping[str, Any],
    parent: str,
    runs: Mapping[str, str],
) -> dict[str, Any]:
    built = read_json(store / "store.json")
    winner = str(chosen["winner"])
    if winner not in runs:
        raise RegistryError(f"The run of {winner} is missing.")
    return {
        **code_lineage(settings.home, CODE),
        "data_revision": str(facts.get("revision", "")),
        "data_source": str(facts.get("source", "")),
        "manifest_digest": str(facts["manifest_digest"]),
        "split_digest": str(built.get("split_digest", "")),
        "params_digest": settings.digest(),
        "pipeline_run": parent,
        "training_run": runs[winner],
        "versions": versions(),
        "hardware": hardware(),
    }
