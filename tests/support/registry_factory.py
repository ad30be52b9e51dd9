"""A registry with four versions, made once a session and copied for each test: registering takes half a second each."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from thorax.registry.evidence import Evidence
from thorax.registry.register import Registered, register
from thorax.settings import Settings

#: Mean AUROC of the versions: the fourth does not pass. The first is champion, the fourth challenger.
MEANS = (0.9, 0.9, 0.9, 0.3)


def passing(evaluation: dict[str, Any]) -> dict[str, Any]:
    """An evaluation with figures that pass every gate."""
    tree: dict[str, Any] = json.loads(json.dumps(evaluation))
    for figures in tree["metrics"].values():
        figures["auroc"] = {"value": 0.9, "low": 0.85, "high": 0.95}
        figures["ece"] = {"value": 0.04, "low": 0.02, "high": 0.06}
        figures["sensitivity"] = {"value": 0.9, "low": 0.85, "high": 0.95}
    return tree | {"conformal": {}, "subgroups": {}}


def variant(bundle: Path, place: Path, number: int) -> Path:
    """The same network with another description, so that it is another bundle to the registry."""
    shutil.copytree(bundle, place)
    info = json.loads((place / "bundle.json").read_text()) | {"created": f"2026-01-{number:02d}"}
    info["network"] |= {"variant": number}
    (place / "bundle.json").write_text(json.dumps(info))
    return place


def add(
    settings: Settings,
    bundle: Path,
    evaluation: dict[str, Any],
    evidence: Evidence,
    work: Path,
    number: int,
    mean: float,
) -> Registered:
    """Register one more version."""
    tree = passing(evaluation)
    tree["metrics"]["mean"]["auroc"]["value"] = mean
    lineage = {"git_commit": "0" * 40, "params_digest": f"p{number}"}
    place = variant(bundle, work / f"version{number}" / "bundle", number)
    return register(settings, place, tree, lineage, evidence=evidence, reason="test")


def clone(template: Settings, settings: Settings) -> None:
    """Copy a registry to another project, and carry the places in its database along."""
    shutil.copytree(template.var, settings.var, dirs_exist_ok=True)
    (settings.var / "mlflow-ready.json").unlink(missing_ok=True)
    old, new = (path.var.as_uri() for path in (template, settings))
    columns = {
        "experiments": ("artifact_location",),
        "runs": ("artifact_uri",),
        "model_versions": ("source", "storage_location"),
    }
    with closing(sqlite3.connect(settings.var / "mlflow.db")) as database, database:
        for table, names in columns.items():
            for name in names:
                database.execute(f"UPDATE {table} SET {name} = replace({name}, ?, ?)", [old, new])
