"""One validation: read the tables and what the files told, evaluate, write the page and the failing rows."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from thorax.datasets import labels as labelling
from thorax.errors import InputError
from thorax.files import atomic_path, write_json, write_text
from thorax.manifest import COLUMNS, read_boxes
from thorax.settings import Data, Validation
from thorax.validation import engine, likeness, subjects, suite
from thorax.validation.result import SHOWN, ValidationResult
from thorax.validation.statistics import describe

#: Which column names a row of each subject in the failures.
KEYS = {
    "table": "image_id",
    "image": "image_id",
    "missing": "image_id",
    "unlisted": "key",
    "class": "finding",
    "finding": "finding",
    "drift": "finding",
    "patient": "patient_id",
    "split": "split",
    "split_finding": "key",
    "pair": "key",
    "picture": "image_id",
    "box": "key",
    "box_extent": "key",
}
#: Side of the pictures on the page, in px.
_THUMBNAIL = 96
#: Boxes from which their common extent says something.
_MANY_BOXES = 30


def validate(
    manifest_dir: Path,
    data: Data,
    validation: Validation,
    out: Path,
    splits: pd.Series | None = None,
    pictures: pd.DataFrame | None = None,
    look: Callable[[int], np.ndarray | None] | None = None,
) -> ValidationResult:
    """Check a dataset against everything that is expected of it; see `thorax.validation.validate`."""
    path = manifest_dir / "manifest.parquet"
    manifest = _read(path)
    known = suite.expectations(data, validation)
    severities = suite.severities(known, validation)
    tables: dict[str, pd.DataFrame] = {"table": manifest}
    facts: dict[str, Any] = {"manifest": str(path)}
    if not (set(COLUMNS) - set(manifest.columns)) and len(manifest):
        boxes = read_boxes(manifest_dir / "boxes.parquet")
        tables |= _tables(manifest, boxes, data, validation, splits)
        tables |= subjects.left_out(manifest_dir / "dataset.json")
        radius = None
        if pictures is not None:
            pictures = pictures.assign(checks=pictures["checks"].map(_checks))
            tables["picture"] = subjects.pictures(manifest, pictures)
            tables["pair"], radius = likeness.pairs(manifest, pictures, splits, validation.near_bits)
        facts = describe(manifest, boxes, data, splits, pictures) | {"near_bits": radius}
        facts["synthetic"] = subjects.synthetic(manifest_dir / "dataset.json")
    applicable = [expectation for expectation in known if expectation.subject in tables]
    outcomes, failures = engine.evaluate(tables, KEYS, applicable, severities)
    result = ValidationResult.of(outcomes, failures, facts)
    shown = _thumbnails(result, manifest, look) if look is not None and pictures is not None else {}
    _write(result, out, pictures, shown)
    return result


def _thumbnails(
    result: ValidationResult, manifest: pd.DataFrame, look: Callable[[int], np.ndarray | None]
) -> dict[str, bytes]:
    """Return image id → PNG of the failing images that the page names."""
    failing = result.failures[result.failures["subject"].isin(["image", "picture", "pair"])]
    named = failing.groupby("expectation", sort=False).head(SHOWN)["key"]
    rows = {str(name): row for row, name in enumerate(manifest["image_id"])}
    shown: dict[str, bytes] = {}
    for key in dict.fromkeys(part for name in named for part in str(name).split(" / ")):
        pixels = look(rows[key]) if key in rows else None
        if pixels is not None:
            small = cv2.resize(pixels, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
            shown[key] = bytes(cv2.imencode(".png", small)[1])
    return shown


@cache
def _checks(text: str) -> dict[str, str]:
    """Return what looks wrong with a picture: name of the check → sentence; many pictures share an answer."""
    return dict(json.loads(text)) if text else {}


def _tables(
    manifest: pd.DataFrame, boxes: pd.DataFrame, data: Data, bounds: Validation, splits: pd.Series | None
) -> dict[str, pd.DataFrame]:
    """Return the subjects that the tables alone give."""
    tables = {"image": subjects.images(manifest, data.words), "patient": subjects.patients(manifest, splits)}
    faults: dict[str, str | None] = dict.fromkeys(data.classes)
    try:
        found = labelling.class_labels(manifest, data)
    except InputError as error:
        named = [name for name in data.classes if name not in manifest.columns]
        faults |= dict.fromkeys(named or data.classes, error.message)
    else:
        tables["finding"] = subjects.findings(found, data.classes)
        if splits is not None:
            tables["split"], tables["split_finding"] = subjects.split_counts(manifest, splits, found, data.classes)
        if bounds.reference is not None:
            before = subjects.findings(labelling.class_labels(_read(bounds.reference), data), data.classes)
            tables["drift"] = _drift(tables["finding"], before)
    tables["class"] = pd.DataFrame({"finding": list(faults), "fault": list(faults.values())}, dtype=object)
    if len(boxes):
        tables["box"] = subjects.boxes(boxes, manifest)
        if len(boxes) >= _MANY_BOXES:
            reach = [(boxes["x"] + boxes["w"]).quantile(0.95), (boxes["y"] + boxes["h"]).quantile(0.95)]
            tables["box_extent"] = pd.DataFrame({"key": ["to the right", "downwards"], "reach": reach})
    return tables


def _drift(now: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Return by what factor each prevalence changed, up or down; one positive is added to both, for rare findings."""
    old = (before["positives"] + 1) / (before["positives"] + before["others"] + 2)
    new = (now["positives"] + 1) / (now["positives"] + now["others"] + 2)
    return pd.DataFrame({"finding": now["finding"], "change": np.maximum(new / old, old / new)})


def _read(path: Path) -> pd.DataFrame:
    """Read a manifest that may lack columns: an expectation says so."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise InputError(f"The manifest {path} does not exist.", "Run the ingest step first.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"The manifest {path} cannot be read: {error}", "Make it again.") from error


def _write(result: ValidationResult, out: Path, pictures: pd.DataFrame | None, shown: dict[str, bytes]) -> None:
    from thorax.validation.report import render

    with atomic_path(out / "failures.parquet") as temporary:
        result.failures.to_parquet(temporary, index=False)
    if pictures is not None:
        named = pictures.assign(checks=[" ".join(sorted(found)) for found in pictures["checks"]])
        with atomic_path(out / "scan.parquet") as temporary:
            named.drop(columns=["row", "shard"], errors="ignore").to_parquet(temporary, index=False)
    write_text(out / "report.html", render(result, shown))
    write_json(out / "result.json", result.as_json())
