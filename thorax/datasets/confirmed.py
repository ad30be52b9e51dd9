"""Confirmed cases: radiographs that the deployed model answered for and a reader confirmed, beside any dataset.

They live in the folder `confirmed/` of a dataset, whatever its layout, so that DVC versions both as one revision:
`confirmed/<batch>/<key>.png` and `confirmed/cases.csv`. Batches are only ever added. A case's split is decided once,
when it arrives, and written down: what one model was tested on, the next one must not learn from.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from thorax.datasets.dataset import Dataset
from thorax.datasets.tables import BLANK, Table, read_table
from thorax.errors import InputError
from thorax.files import atomic_path, write_text
from thorax.findings import NO_FINDING, SHIPPED, Vocabulary
from thorax.manifest import ABSENT, PRESENT, SPLITS, findings_of
from thorax.settings import Split

FOLDER, TABLE, SOURCE = "confirmed", "cases.csv", "confirmed"
#: Ends the name of a batch whose images were answered before the alarm began.
BEFORE = "-before"
_COLUMNS = ("path", "patient_id", "view", "age", "sex", "split", "batch")


@dataclass(frozen=True)
class Case:
    """One confirmed case, as it enters a dataset.

    Attributes:
        key: names the image within the dataset; tells nothing outside this installation.
        file: an image file without any metadata.
        patient: a pseudonym, the same for all images of a person.
        view: PA, AP, LATERAL or unknown.
        age: years, or None.
        sex: F, M or unknown.
        labels: finding to present (True) or absent (False); a finding that is not named is unknown.
        batch: the arrival that it belongs to; batches sort by age, the newest last.
    """

    key: str
    file: Path
    patient: str
    view: str = "unknown"
    age: float | None = None
    sex: str = "unknown"
    labels: Mapping[str, bool] = field(default_factory=dict)
    batch: str = ""


def table_path(root: Path) -> Path:
    """Return where a dataset keeps the table of its confirmed cases."""
    return root / FOLDER / TABLE


def keys(root: Path) -> set[str]:
    """Return the keys of the cases that a dataset holds."""
    return {PurePosixPath(row["path"]).stem for row in _rows(root)}


def batch_of(image_id: str) -> str:
    """Return the batch of a confirmed case; "" for an image of the dataset itself.

    >>> batch_of("confirmed/20261122-1a2b/0f0f.png"), batch_of("00000001_000.png")
    ('20261122-1a2b', '')
    """
    parts = str(image_id).split("/")
    return parts[1] if len(parts) == 3 and parts[0] == FOLDER else ""  # folder, batch, file


def among(manifest: pd.DataFrame) -> np.ndarray:
    """Return which rows of a manifest are confirmed cases: bool (n,)."""
    return np.array([bool(batch_of(name)) for name in manifest["image_id"]], dtype=bool)


def newest(image_ids: Sequence[str], at_least: int) -> np.ndarray:
    """Return which images show what the deployment sees now: bool (n,), all of them where too few do.

    The images of the newest batches that together hold enough; batches from before an alarm are not among them.
    """
    batches = np.array([batch_of(name) for name in image_ids], dtype=object)
    chosen = np.zeros(len(batches), dtype=bool)
    for name in sorted({b for b in batches if b and not b.endswith(BEFORE)}, reverse=True):
        chosen |= batches == name
        if chosen.sum() >= at_least:
            return chosen
    return np.ones(len(batches), dtype=bool)


def add(root: Path, cases: Iterable[Case], split: Split) -> int:
    """Add cases to a dataset; those that it holds already are passed over, so that a killed call can be repeated.

    Args:
        root: the dataset's folder.
        cases: to add.
        split: the shares of patients.

    Returns:
        How many were added by this call.

    Raises:
        InputError: the table of earlier cases is damaged.
        RoomError: the disk is full.
    """
    rows = _rows(root)
    held = {PurePosixPath(row["path"]).stem for row in rows}
    fresh = sorted((case for case in cases if case.key not in held), key=lambda case: (case.batch, case.key))
    fresh = list({case.key: case for case in fresh}.values())
    if not fresh:
        return 0
    known = {row["patient_id"]: row["split"] for row in rows}
    for batch in sorted({case.batch for case in fresh}):
        known = divide([case for case in fresh if case.batch == batch], split, known)
    for case in fresh:
        path = f"{FOLDER}/{case.batch}/{case.key}.png"
        with atomic_path(root / path) as temporary:
            temporary.write_bytes(case.file.read_bytes())
        rows.append(
            {
                "path": path,
                "patient_id": case.patient,
                "view": case.view,
                "age": "" if case.age is None else f"{case.age:g}",
                "sex": case.sex,
                "split": known[case.patient],
                "batch": case.batch,
                **{finding: str(int(present)) for finding, present in case.labels.items()},
            }
        )
    findings = sorted({name for row in rows for name in row} - set(_COLUMNS))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*_COLUMNS, *findings], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["path"]))
    # Last, and at once: an image that no row names is a leftover, which the next call takes up.
    write_text(table_path(root), stream.getvalue())
    return len(fresh)


def divide(cases: Sequence[Case], split: Split, known: Mapping[str, str]) -> dict[str, str]:
    """Give each new patient a split, so that each split gets its share of every pattern of findings.

    Patients are taken in the order of what they show, and each goes where most is lacking. Nothing is drawn at random:
    the same cases give the same splits.

    Returns:
        `known` with the new patients.
    """
    shares = {name: float(getattr(split, name)) for name in SPLITS}
    shows: dict[str, set[str]] = {}
    for case in cases:
        shows.setdefault(case.patient, set()).update(name for name, present in case.labels.items() if present)
    images = Counter(case.patient for case in cases)
    patients = sorted(
        (patient for patient in shows if patient not in known),
        key=lambda patient: (sorted(shows[patient]), hashlib.sha256(patient.encode()).hexdigest()),
    )
    assigned = dict(known)
    # Of this batch alone, so that each batch is tested on its own share; by images, as patients have few or many.
    counts: Counter[str] = Counter()
    for patient in shows.keys() & known.keys():
        counts[known[patient]] += images[patient]
    for patient in patients:
        total = counts.total() + images[patient]
        chosen = max(SPLITS, key=lambda name: (shares[name] * total - counts[name], -SPLITS.index(name)))
        assigned[patient] = chosen
        counts[chosen] += images[patient]
    return assigned


def merge(dataset: Dataset, root: Path, words: Vocabulary = SHIPPED) -> Dataset:
    """Put a dataset's confirmed cases below its own rows; nothing changes where there are none.

    A finding that the dataset publishes and no reader was asked for is NaN. "No finding" follows from the others where
    it was not given.

    Raises:
        InputError: the table of cases is damaged; names file and line.
    """
    path = table_path(root)
    if not path.is_file():
        return dataset
    table = read_table(path)
    table.require(_COLUMNS)
    if table.frame.empty:
        return dataset
    published = findings_of(dataset.manifest)
    paths = table.column("path")
    table.refuse(np.array([not batch_of(name) for name in paths]), "the path is not confirmed/<batch>/<file>", paths)
    splits = table.column("split")
    table.refuse(~splits.isin(SPLITS).to_numpy(), "the split is none of " + ", ".join(SPLITS), splits)
    present = {name.relative_to(root).as_posix() for name in (root / FOLDER).glob("*/*.png")}
    rows = pd.DataFrame(
        {
            "image_id": paths,
            "path": paths.where(paths.isin(present), ""),
            "patient_id": table.column("patient_id"),
            "study_id": table.column("patient_id") + "-" + table.column("batch"),
            "view": table.column("view"),
            "age": table.numbers("age"),
            "sex": table.column("sex"),
            "source": SOURCE,
            "official_split": splits,
        }
    )
    labels = {name: _labels(table, name) for name in published}
    if NO_FINDING in labels:
        labels[NO_FINDING] = _no_finding(labels, words)
    rows = pd.concat([rows, pd.DataFrame(labels, index=rows.index)], axis=1)
    dataset.manifest = pd.concat([dataset.manifest, rows], ignore_index=True)
    if dataset.images is not None:
        dataset.images |= present
    dataset.notes["confirmed"] = len(rows)
    return dataset


def _labels(table: Table, finding: str) -> np.ndarray:
    if not table.has(finding):
        return np.full(len(table.frame), np.nan, np.float32)
    values = table.numbers(finding)
    wrong = ~np.isnan(values) & ~np.isin(values, (PRESENT, ABSENT))
    table.refuse(wrong, f"{finding} is neither 1, 0 nor blank", table.column(finding))
    return values.astype(np.float32)


def _no_finding(labels: Mapping[str, np.ndarray], words: Vocabulary) -> np.ndarray:
    """Take what readers said; else 0 beside a finding, and 1 where every finding that was asked for is absent."""
    diseases = [values for name, values in labels.items() if words.kind(name) == "finding"]
    others = np.stack(diseases or [np.full_like(labels[NO_FINDING], np.nan)], axis=1)
    asked = ~np.isnan(others)
    derived = np.where((others == PRESENT).any(axis=1), ABSENT, np.where(asked.any(axis=1), PRESENT, np.nan))
    return np.where(np.isnan(labels[NO_FINDING]), derived, labels[NO_FINDING]).astype(np.float32)


def _rows(root: Path) -> list[dict[str, str]]:
    """Read the table as it was written."""
    path = table_path(root)
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [{key: value for key, value in row.items() if value not in BLANK} for row in csv.DictReader(stream)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}.", "Bring it back with `dvc checkout`.") from error
    broken = [number for number, row in enumerate(rows, start=2) if not {"path", "patient_id", "split"} <= row.keys()]
    if broken:
        raise InputError(f"{path}, line {broken[0]}: path, patient_id or split is blank.", "Use `dvc checkout`.")
    return [dict.fromkeys(_COLUMNS, "") | row for row in rows]
