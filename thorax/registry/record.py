"""A pipeline run in MLflow: a parent with parameters, data and pages, a child an architecture, and a version."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax.bundle import write_bundle
from thorax.errors import InputError, RegistryError
from thorax.files import read_json, write_json
from thorax.provenance import code_digest, commit, hardware, versions
from thorax.registry.evidence import collect
from thorax.registry.live import ARCHITECTURE, CACHED_FROM, PARENT, is_figure, log_curve
from thorax.registry.register import Registered, register
from thorax.registry.tracking import client, initialise, locked, speaking
from thorax.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

#: Where the code begins that makes a model; its digest stands in the lineage.
CODE = ("thorax.preprocessing", "thorax.training", "thorax.calibration", "thorax.evaluation", "thorax.bundle")
_PAGES = (".html", ".json", ".png", ".md")


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
        settings: all of them; they become the run's parameters.
        candidates: one an architecture.
        dataset: output of ingest.
        validation: output of validate.
        store: output of preprocess.
        selection: output of select, with `selection.json`.
        reason: why the run was made.
        out: gets `bundle/`, `registered.json`.

    Returns:
        name, version, aliases, gates and run_id: the content of `registered.json`.

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
        parent = _open_parent(settings, connection, reason, facts, chosen)
        try:
            runs = {c.architecture: _child(settings, connection, parent, c) for c in candidates}
            log_data(connection, parent, pd.read_parquet(dataset / "manifest.parquet").head(0), facts)
            _log_pages(connection, parent, "validation", validation)
            _log_gate(connection, parent, validation / "result.json")
            _log_pages(connection, parent, "selection", selection)
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
        connection.set_terminated(parent, "FINISHED")
    result = _result(registered)
    write_json(out / "registered.json", result)
    return result


def _result(registered: Registered) -> dict[str, Any]:
    tree = asdict(registered)
    return tree | {
        "aliases": list(registered.aliases),
        "gates": [asdict(g) | {"text": g.text} for g in registered.gates],
    }


def _open_parent(
    settings: Settings, connection: "MlflowClient", reason: str, facts: Mapping[str, Any], chosen: Mapping[str, Any]
) -> str:
    from mlflow.entities import Param

    tags = {
        "thorax.kind": "pipeline",
        "thorax.reason": reason,
        "thorax.winner": str(chosen["winner"]),
        "thorax.synthetic": str(bool(facts.get("synthetic"))).lower(),
        "mlflow.note.content": str(chosen.get("reason", "")),
    }
    run = connection.create_run(initialise(settings), tags=tags, run_name=f"pipeline: {reason}"[:250])
    params = [Param(key, value[:6000]) for key, value in _flat(settings.model_dump(mode="json"))]
    for start in range(0, len(params), 100):
        connection.log_batch(run.info.run_id, params=params[start : start + 100])
    return str(run.info.run_id)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value)


def _child(settings: Settings, connection: "MlflowClient", parent: str, candidate: Candidate) -> str:
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
    _log_network(connection, run_id, read_json(candidate.network / "network.json"))
    log_figures(connection, run_id, read_json(candidate.evaluation / "evaluation.json"))
    _log_pages(connection, run_id, "evaluation", candidate.evaluation)
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


def _log_network(connection: "MlflowClient", run_id: str, network: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    scalars = {key: value for key, value in network.items() if isinstance(value, (str, int, float, bool))}
    known = connection.get_run(run_id).data.params
    params = [Param(f"network.{key}", str(value)) for key, value in scalars.items() if f"network.{key}" not in known]
    connection.log_batch(run_id, params=params)


def log_figures(connection: "MlflowClient", run_id: str, evaluation: Mapping[str, Any]) -> None:
    """Log every figure of an evaluation as `test/<finding>/<metric>`, with the bounds of its interval."""
    row: dict[str, float] = {}
    for finding, metrics in evaluation.get("metrics", {}).items():
        for metric, figure in metrics.items():
            parts = figure if isinstance(figure, Mapping) else {"value": figure}
            for part, value in parts.items():
                if is_figure(value):
                    row[f"test/{finding}/{metric}{'' if part == 'value' else '/' + part}"] = float(value)
    log_curve(connection, run_id, [(0, row)])


def _log_gate(connection: "MlflowClient", run_id: str, file: Path) -> None:
    """Log what the data gate counted as `data/<figure>`, and each finding's prevalence."""
    if not file.is_file():
        return
    found = read_json(file)
    facts = found["statistics"]
    row = {f"data/{name}": float(facts[name]) for name in ("images", "patients", "boxes", "readable") if name in facts}
    row |= {f"data/{name}": float(len(found[name])) for name in ("critical", "warnings", "expectations")}
    for label in facts.get("prevalence", []):
        row[f"data/prevalence/{label['finding']}"] = label["present"] / max(facts["images"], 1)
    log_curve(connection, run_id, [(0, row)])


def log_data(connection: "MlflowClient", run_id: str, frame: "pd.DataFrame", facts: Mapping[str, Any]) -> None:
    """Log the dataset as the run's input, by DVC's digest of its folder; `frame` is empty and says its columns."""
    import mlflow.data
    from mlflow.entities import DatasetInput, InputTag

    digest = str(facts.get("revision") or facts["manifest_digest"])[:36]
    # MLflow profiles the frame it is given; an empty one says its columns, and `counts` says the rest.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a source that is a name, and of integer columns
        source = str(facts["source"])
        data = mlflow.data.from_pandas(frame, source=source, name=source, digest=digest)
        entity = data._to_mlflow_entity()
    counts = {key: facts[key] for key in ("images", "patients", "boxes") if key in facts}
    entity._profile = json.dumps(counts)
    connection.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])


def _log_pages(connection: "MlflowClient", run_id: str, name: str, folder: Path) -> None:
    """Log the pages and figures of a step's folder, without its tables."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _PAGES:
            below = path.parent.relative_to(folder).as_posix()
            connection.log_artifact(run_id, str(path), name if below == "." else f"{name}/{below}")


def _lineage(
    settings: Settings,
    store: Path,
    facts: Mapping[str, Any],
    chosen: Mapping[str, Any],
    parent: str,
    runs: Mapping[str, str],
) -> dict[str, Any]:
    built = read_json(store / "store.json")
    head = commit(settings.home)
    winner = str(chosen["winner"])
    if winner not in runs:
        raise RegistryError(f"The run of {winner} is missing.")
    return {
        "git_commit": head.hash,
        "git_clean": head.clean,
        "code_digest": code_digest(CODE),
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
