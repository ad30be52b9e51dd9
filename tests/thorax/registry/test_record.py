"""A pipeline run in MLflow: a parent, its children, and what a cached training becomes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from thorax.errors import InputError
from thorax.registry.live import live_run
from thorax.registry.record import Candidate, record
from thorax.registry.retraining import made_by
from thorax.registry.tracking import client, initialise
from thorax.registry.versions import resolve
from thorax.settings import Settings


@pytest.fixture
def folders(steps: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """What the other steps left."""
    places = {name: tmp_path / name for name in ("dataset", "validation", "selection")}
    for place in places.values():
        place.mkdir()
    facts = {"source": "phantom", "synthetic": True, "revision": "a" * 32 + ".dir", "manifest_digest": "m" * 64}
    (places["dataset"] / "dataset.json").write_text(json.dumps(facts | {"images": 240, "patients": 120, "boxes": 0}))
    pd.DataFrame({"image_id": ["i0"], "Edema": [1.0]}).to_parquet(places["dataset"] / "manifest.parquet")
    (places["validation"] / "validation.html").write_text("<p>good")
    labels = [{"finding": "Edema", "present": 60}]
    found = {"statistics": {"images": 240, "prevalence": labels}, "critical": [], "warnings": ["x"], "expectations": []}
    (places["validation"] / "result.json").write_text(json.dumps(found))
    (places["selection"] / "selection.json").write_text(json.dumps({"winner": "custom_cnn", "reason": "best"}))
    return places | {"store": steps["store_dir"], "out": tmp_path / "out"}


def children(settings: Settings, parent: str) -> dict[str, Any]:
    runs = client(settings).search_runs([initialise(settings)], f"tags.mlflow.parentRunId = '{parent}'")
    return {run.data.tags["mlflow.runName"]: run for run in runs}


def _table(settings: Settings, run_id: str, name: str) -> pd.DataFrame:
    """Read an MLflow table."""
    content = json.loads(Path(client(settings).download_artifacts(run_id, name)).read_text())
    return pd.DataFrame(content["data"], columns=content["columns"])


def test_a_run_is_recorded_whole(
    settings: Settings, candidate: Candidate, other: Candidate, folders: dict[str, Path]
) -> None:
    with live_run(settings, "custom_cnn", "key") as tell:
        tell({"epoch": 1, "curve": {"epoch": 1, "train_loss": 1.0}})
    candidates = [replace(candidate, run_id=tell.run_id), other]
    facts = record(settings, candidates, reason="a try", **folders)
    assert facts == json.loads((folders["out"] / "registered.json").read_text())
    assert (facts["version"], facts["aliases"]) == ("1", ["challenger", "champion"])

    parent = client(settings).get_run(facts["run_id"])
    assert parent.info.status == "FINISHED"
    params, metrics = parent.data.params, parent.data.metrics
    assert params["epochs"] == str(settings.train.of("custom_cnn").epochs)
    assert params["candidates"] == "custom_cnn, resnet50"
    assert (params["images"], params["data_revision"]) == ("240", "a" * 32 + ".dir")
    assert len(params) <= 80 and not [name for name in params if "mail" in name or "port" in name or "gates" in name]
    assert (metrics["test/auroc"], metrics["auroc/Edema"]) == (0.9, 0.9)
    assert len(metrics) <= 40 and not [name for name in metrics if "low" in name or "high" in name]
    figures = _table(settings, facts["run_id"], "figures.json")
    assert figures[(figures["finding"] == "Edema") & (figures["metric"] == "auroc")]["low"].item() == 0.85
    prevalence = _table(settings, facts["run_id"], "prevalence.json")
    assert prevalence[["finding", "prevalence"]].values.tolist() == [["Edema", 0.25]]
    assert "240 images of 120 patients" in parent.data.tags["mlflow.note.content"]
    data = parent.inputs.dataset_inputs[0].dataset
    assert (data.digest, data.name) == ("a" * 32 + ".dir", "phantom")
    names = {item.path for item in client(settings).list_artifacts(facts["run_id"])}
    assert names == {"model", "selection", "validation", "figures.json", "prevalence.json", "settings.yaml"}

    runs = children(settings, facts["run_id"])
    assert runs.keys() == {"custom_cnn", "resnet50"}
    assert runs["custom_cnn"].info.run_id == tell.run_id
    history = client(settings).get_metric_history(tell.run_id, "train_loss")
    assert sorted(metric.step for metric in history) == [0, 1, 2]
    assert "evaluation" in {item.path for item in client(settings).list_artifacts(tell.run_id)}

    lineage = resolve(settings).lineage
    assert lineage["data_revision"] == "a" * 32 + ".dir"
    assert (lineage["pipeline_run"], lineage["training_run"]) == (facts["run_id"], tell.run_id)
    assert {"git_commit", "code_digest", "params_digest", "split_digest", "versions", "hardware"} <= lineage.keys()


def test_a_training_from_the_cache_is_represented_by_a_twin(
    settings: Settings, candidate: Candidate, folders: dict[str, Path]
) -> None:
    with live_run(settings, "custom_cnn", "key") as tell:
        pass
    trained = replace(candidate, run_id=tell.run_id)
    first = record(settings, [trained], reason="first", **folders)
    second = record(settings, [trained], reason="second", **folders)
    assert children(settings, first["run_id"])["custom_cnn"].info.run_id == tell.run_id
    # Nothing has changed but the reason: the run points to the version that there is.
    assert (first["new"], second["new"], second["version"]) == (True, False, first["version"])
    noted = client(settings).get_run(second["run_id"]).data.tags
    assert (noted["thorax.version"], noted["thorax.unchanged"]) == (first["version"], "true")
    assert "Nothing has changed" in noted["mlflow.note.content"]
    assert made_by(settings, "second") == made_by(settings, "first") | {"new": False}
    twin = children(settings, second["run_id"])["custom_cnn"]
    assert twin.data.tags["thorax.cached_from"] == tell.run_id
    assert twin.data.metrics["train_loss"] == pytest.approx(1 / 3)
    # A run of another database, as after `var` was moved, is represented the same way.
    third = record(settings, [replace(candidate, run_id="f" * 32)], reason="third", **folders)
    assert "custom_cnn" in children(settings, third["run_id"])


def test_a_parent_that_was_killed_gives_its_children_up(
    settings: Settings, candidate: Candidate, folders: dict[str, Path]
) -> None:
    connection = client(settings)
    with live_run(settings, "custom_cnn", "key") as tell:
        pass
    dead = connection.create_run(initialise(settings)).info.run_id
    connection.set_tag(tell.run_id, "mlflow.parentRunId", dead)
    facts = record(settings, [replace(candidate, run_id=tell.run_id)], reason="again", **folders)
    assert children(settings, facts["run_id"])["custom_cnn"].info.run_id == tell.run_id
    assert connection.get_run(dead).info.status == "KILLED"


def test_a_failure_leaves_a_failed_parent_and_no_version(
    settings: Settings, candidate: Candidate, folders: dict[str, Path]
) -> None:
    broken = replace(candidate, calibration=folders["validation"])
    with pytest.raises(Exception, match=r"calibration\.json"):
        record(settings, [broken], reason="broken", **folders)
    (run,) = client(settings).search_runs([initialise(settings)], "tags.`thorax.kind` = 'pipeline'")
    assert run.info.status == "FAILED"
    (folders["selection"] / "selection.json").write_text(json.dumps({"winner": "densenet121"}))
    with pytest.raises(InputError, match="densenet121"):
        record(settings, [candidate], reason="broken", **folders)
