"""What an MLflow run shows: the parameters that made a model, headline figures, tables, its data and a description.

MLflow's runs table and compare view have a column a name. What a person compares stands there, under short names; all
settings and all figures are kept on the run as files and as MLflow tables.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax.files import read_json
from thorax.registry.gates import Gate
from thorax.registry.live import is_figure, log_curve
from thorax.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

#: The sections that make a model, and what their parameters' names begin with.
_SECTIONS = {"data": "", "split": "split_", "preprocess": "", "train": "", "calibration": "calibration_"}
#: Settings of these sections that say where or how fast work is done, or that stand elsewhere on the run.
_NOT_LOGGED = {
    "data": {"root", "table", "phantom", "vocabulary"},
    "preprocess": {"workers", "shard_rows"},
    "train": {"architectures", "overrides", "device", "threads", "processes", "channels_last", "deterministic"},
}
#: Facts of a trained network that its settings do not say.
_NETWORK = ("parameters", "best_epoch", "train_images", "precision")
#: Means over the findings of a test split, in the order of importance.
HEADLINE = ("auroc", "auprc", "ece", "brier", "sensitivity", "specificity", "precision", "f1")
#: More findings than this have their AUROC in the table of figures alone.
MAX_FINDINGS = 20
_PAGES = (".html", ".json", ".png", ".md")
#: What MLflow takes of one parameter.
_PARAM_LENGTH = 6000


def parameters(settings: Settings, architecture: str) -> dict[str, str]:
    """Return what made a model, by short names: its data, splits, preprocessing, training and calibration.

    Raises:
        ValueError: the overrides of this architecture do not hold.
    """
    tree = settings.model_dump(mode="json", include=set(_SECTIONS))
    tree["train"] = settings.train.of(architecture).model_dump(mode="json")
    found = {"architecture": architecture}
    for section, prefix in _SECTIONS.items():
        kept = {key: value for key, value in tree[section].items() if key not in _NOT_LOGGED.get(section, ())}
        found |= {prefix + key: value for key, value in _flat(kept)}
    return found


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}_")
        elif isinstance(value, (list, tuple)):
            yield prefix + key, ", ".join(map(str, value))
        else:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value)


def log_parameters(connection: "MlflowClient", run_id: str, values: Mapping[str, str]) -> None:
    """Log parameters that the run does not have yet, since MLflow never changes one."""
    from mlflow.entities import Param

    known = connection.get_run(run_id).data.params
    found = [Param(key, value[:_PARAM_LENGTH]) for key, value in values.items() if key not in known]
    connection.log_batch(run_id, params=found)


def network_facts(network: Mapping[str, Any]) -> dict[str, str]:
    """Return what is known of a network once it is trained, as parameters."""
    return {key: str(network[key]) for key in _NETWORK if key in network}


def headline(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a test split that people compare: `test/<metric>` and `auroc/<finding>`.

    Args:
        evaluation: the content of `evaluation.json`.
    """
    metrics = evaluation.get("metrics", {})
    mean = metrics.get("mean", {})
    row = {f"test/{name}": _value(mean.get(name)) for name in HEADLINE}
    row["test/pointing_game"] = _value(evaluation.get("localization", {}).get("mean", {}).get("pointing_game"))
    findings = [name for name in evaluation.get("findings", ()) if name in metrics]
    if len(findings) <= MAX_FINDINGS:
        row |= {f"auroc/{name}": _value(metrics[name].get("auroc")) for name in findings}
    return {name: float(value) for name, value in row.items() if is_figure(value)}


def _value(figure: Any) -> Any:
    return figure.get("value") if isinstance(figure, Mapping) else figure


def log_figures(connection: "MlflowClient", run_id: str, evaluation: Mapping[str, Any]) -> None:
    """Log the headline figures of an evaluation, and all of them as the table `figures.json`."""
    log_curve(connection, run_id, [(0, headline(evaluation))])
    rows = [
        {"finding": finding, "metric": metric, **dict(zip(("value", "low", "high"), bounds, strict=True))}
        for finding, metrics in evaluation.get("metrics", {}).items()
        for metric, bounds in _bounds(metrics)
    ]
    log_table(connection, run_id, rows, "figures.json")


def _bounds(metrics: Mapping[str, Any]) -> Iterator[tuple[str, tuple[float | None, ...]]]:
    """Yield each figure with the bounds of its interval; the parts of a composite, such as confusion, one by one."""
    for name, figure in metrics.items():
        if not isinstance(figure, Mapping):
            if is_figure(figure):
                yield name, (float(figure), None, None)
        elif "value" in figure:
            parts: tuple[Any, ...] = tuple(figure.get(key) for key in ("value", "low", "high"))
            yield name, tuple(float(part) if is_figure(part) else None for part in parts)
        else:
            yield from ((f"{name}.{part}", (float(v), None, None)) for part, v in figure.items() if is_figure(v))


def log_drift_figures(connection: "MlflowClient", run_id: str, figures: Mapping[str, float]) -> None:
    """Log the counts of a drift report and its largest figure of each kind, and all as the table `figures.json`.

    Args:
        connection: to MLflow.
        run_id: of the report's run.
        figures: a count by its name, or a figure by `<column>/<kind>`.
    """
    row = {name: value for name, value in figures.items() if "/" not in name or name == "failures/share"}
    rest: list[tuple[str, str, float]] = []
    for name in figures.keys() - row.keys():
        column, _, kind = name.rpartition("/")
        if is_figure(figures[name]):
            rest.append((column, kind, figures[name]))
    for _, kind, value in rest:
        row[f"largest/{kind}"] = max(value, row.get(f"largest/{kind}", value))
    log_curve(connection, run_id, [(0, row)])
    rows = [{"column": column, "figure": kind, "value": value} for column, kind, value in sorted(rest)]
    log_table(connection, run_id, rows, "figures.json")


def log_table(connection: "MlflowClient", run_id: str, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """Log rows as an MLflow table, which its pages show and compare; no rows make no table."""
    import pandas as pd

    if rows:
        connection.log_table(run_id, pd.DataFrame(list(rows)), name)


def log_settings(connection: "MlflowClient", run_id: str, settings: Settings) -> None:
    """Keep all settings on the run, as `settings.yaml`."""
    connection.log_dict(run_id, settings.model_dump(mode="json"), "settings.yaml")


def log_data_gate(connection: "MlflowClient", run_id: str, file: Path) -> None:
    """Log the prevalence of each finding as the table `prevalence.json`, from the result of the validation."""
    if not file.is_file():
        return
    facts = read_json(file)["statistics"]
    images = max(facts["images"], 1)
    rows = [
        {"finding": label["finding"], "positives": label["present"], "prevalence": label["present"] / images}
        for label in facts.get("prevalence", [])
    ]
    log_table(connection, run_id, rows, "prevalence.json")


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


def log_pages(connection: "MlflowClient", run_id: str, name: str, folder: Path) -> None:
    """Log the pages and figures of a step's folder, without its tables."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _PAGES:
            below = path.parent.relative_to(folder).as_posix()
            connection.log_artifact(run_id, str(path), name if below == "." else f"{name}/{below}")


def data_parameters(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the size and the revision of the dataset, as parameters."""
    found = {key: str(facts[key]) for key in ("images", "patients", "boxes") if key in facts}
    return found | {"data_revision": str(facts.get("revision") or "not versioned")}


def describe_pipeline(chosen: Mapping[str, Any], facts: Mapping[str, Any], reason: str) -> str:
    """Return the description of a pipeline run, in Markdown: why, which data, the candidates, where the pages are.

    Args:
        chosen: the content of `selection.json`.
        facts: the content of `dataset.json`.
        reason: why the run was made.
    """
    synthetic = bool(facts.get("synthetic"))
    data = f"{facts.get('images', '?')} images of {facts.get('patients', '?')} patients ({facts.get('source', '')})"
    lines = [
        f"**Reason:** {reason}" if reason else "",
        f"**Data:** {data}, revision `{facts.get('revision') or 'none'}`",
    ]
    if synthetic:
        lines.append("**Synthetic phantoms:** the figures say nothing about patients.")
    lines.append(f"**Winner:** {chosen.get('reason', '')}")
    rows = [_candidate(row) for row in chosen.get("table", [])]
    if rows:
        head = ["| architecture | AUROC | AUPRC | ECE |", "|---|---|---|---|"]
        lines.append("\n".join(["Test split, mean over findings, with 95% intervals:\n", *head, *rows]))
    lines.append(
        "**Artifacts:** `selection/comparison.html` compares the candidates, `validation/report.html` shows the data, "
        "`figures.json` holds every figure, `settings.yaml` every setting. The run of each architecture is below."
    )
    return "\n\n".join(line for line in lines if line)


def describe_version(
    info: Mapping[str, Any], evaluation: Mapping[str, Any], lineage: Mapping[str, Any], gates: Sequence[Gate]
) -> str:
    """Return the description of a model version, in Markdown: what it is, its figures, its gates, its data.

    Args:
        info: the content of `bundle.json`.
        evaluation: the content of `evaluation.json`.
        lineage: where the model comes from.
        gates: their verdicts.
    """
    kind = "synthetic phantoms, so that no figure says anything about patients" if info["synthetic"] else "radiographs"
    mean = evaluation.get("metrics", {}).get("mean", {})
    figures = ", ".join(f"{name.upper()} {_interval(mean.get(name))}" for name in ("auroc", "auprc", "ece"))
    failed = [gate.name for gate in gates if not gate.passed]
    verdict = f"{len(gates) - len(failed)} of {len(gates)} passed" + (
        f"; failed: {', '.join(failed)}" if failed else ""
    )
    lines = [
        f"**{info['architecture']}** at {info['size']} px, trained on {kind}.",
        f"**Findings:** {', '.join(info['findings'])}",
        f"**Test split**, mean over findings: {figures}" if mean else "",
        f"**Gates:** {verdict}",
        f"**Data:** {lineage.get('data_source') or 'not recorded'}, "
        f"revision `{lineage.get('data_revision') or 'none'}`; "
        f"**code:** `{str(lineage.get('git_commit') or 'unknown')[:12]}`",
        "Research software, not a medical device. The model card is `data/bundle/model_card.md` in the artifacts.",
    ]
    return "\n\n".join(line for line in lines if line)


def _candidate(row: Mapping[str, Any]) -> str:
    name = f"**{row['name']}**" if row.get("winner") else row["name"]
    return f"| {name} | " + " | ".join(_interval(row["metrics"].get(key)) for key in ("auroc", "auprc", "ece")) + " |"


def _interval(figure: Any) -> str:
    """Write a figure with its interval.

    >>> _interval({"value": 0.9, "low": 0.85, "high": 0.95})
    '0.900 (0.850–0.950)'
    """
    value = _value(figure)
    if not is_figure(value):
        return "–"
    bounds = [figure.get(key) for key in ("low", "high")] if isinstance(figure, Mapping) else [None, None]
    text = f"{value:.3f}"
    return f"{text} ({bounds[0]:.3f}–{bounds[1]:.3f})" if all(map(is_figure, bounds)) else text
