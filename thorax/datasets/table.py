"""A table of one's own: CSV or Parquet, with the names of its columns in `params.yaml` under `data.table`."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from thorax.datasets.dataset import Dataset, ages, image_files, no_boxes, sexes, views
from thorax.datasets.tables import BLANK, Table, read_table
from thorax.errors import InputError, nearest
from thorax.findings import NO_FINDING, OTHER_FINDING, Vocabulary
from thorax.manifest import ABSENT, PRESENT, UNCERTAIN
from thorax.settings import Data

_WORDS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "y", "present", "positive", "pos"), PRESENT),
    **dict.fromkeys(("0", "0.0", "false", "no", "n", "absent", "negative", "neg"), ABSENT),
    **dict.fromkeys(("-1", "-1.0", "uncertain", "maybe", "u"), UNCERTAIN),
    **dict.fromkeys(BLANK, float("nan")),
}


def read(root: Path, data: Data) -> Dataset:
    """Read a folder that holds a table and, below it, the images that the table names.

    Labels may be 1/0/−1, true/false, yes/no, present/absent/uncertain; blank means not mentioned. An image may be named
    without its suffix. Findings are the columns that `data.table.findings` maps, and those that bear a known name.

    Raises:
        InputError: the table or a column is missing, an image or patient is blank, stands twice or lies outside the
            root, or a label is none of the words; names file and line.
    """
    names = data.table
    table = read_table(root / names.file)
    optional = {"study": names.study, "view": names.view, "age": names.age, "sex": names.sex}
    table.require([names.image, names.patient, *filter(None, optional.values()), *names.findings.values()])
    images = frozenset(image_files(root))
    written = table.column(names.image)
    paths = _paths(table, written, root, images)
    patients = table.column(names.patient)
    table.refuse((patients == "").to_numpy(), "the patient's id is blank")
    manifest = pd.DataFrame(
        {
            "image_id": paths,
            "path": paths,
            "patient_id": patients,
            "study_id": table.column(names.study) if names.study else patients,
            "view": views(table.column(names.view)) if names.view else "unknown",
            "age": ages(table, names.age) if names.age else np.nan,
            "sex": sexes(table.column(names.sex)) if names.sex else "unknown",
            "source": "table",
            "official_split": "",
        }
    )
    labels = _labels(table, names.findings, data.words)
    for finding, values in labels.items():
        manifest[finding] = values
    if NO_FINDING not in labels:
        manifest[NO_FINDING] = _no_finding(labels, data.words)
    return Dataset(manifest, no_boxes(), images=images)


def _paths(table: Table, written: pd.Series, root: Path, images: frozenset[str]) -> pd.Series:
    """Paths below the root, with forward slashes; a missing suffix, or a name in another case, is found on disk."""
    table.refuse((written == "").to_numpy(), "the image's path is blank")
    alike: dict[str, set[str]] = {}
    for path in images:
        for key in {path.lower(), path.lower().rsplit(".", 1)[0]}:
            alike.setdefault(key, set()).add(path)
    absolute = f"{root.absolute().as_posix()}/"
    known, doubtful = {}, set()
    for text in written.unique():
        path = text.replace("\\", "/").removeprefix(absolute).removeprefix("./")
        found = alike.get(path.lower(), set()) if path not in images else set()
        # A guess between two files could give a patient the image of another.
        if len(found) > 1:
            doubtful.add(text)
        known[text] = next(iter(found)) if len(found) == 1 else path
    mend = "Write each path exactly as the file is named, with its suffix."
    table.refuse(written.isin(doubtful).to_numpy(), "the image's path fits several files", written, mend)
    paths = written.map(known)
    outside = {path for path in known.values() if path.startswith("/") or ".." in PurePosixPath(path).parts}
    mend = "Paths are relative to data.root and stay below it."
    table.refuse(paths.isin(outside).to_numpy(), "the image lies outside the data root", written, mend)
    table.refuse(paths.duplicated().to_numpy(), "an image stands twice in the table", written, "Keep one row an image.")
    return paths


def _labels(table: Table, mapping: Mapping[str, str], words: Vocabulary) -> dict[str, np.ndarray]:
    """Return float32 labels a finding, in the order of the vocabulary."""
    columns = {words.canonical(str(name)): str(name) for name in table.frame.columns}
    columns = {finding: name for finding, name in columns.items() if finding in words and finding != OTHER_FINDING}
    for name, column in mapping.items():
        finding = words.canonical(name)
        if finding not in words:
            raise InputError(
                f"data.table.findings: {name!r} is no finding.",
                f"{nearest(name, words)} Define a finding of your own under data.vocabulary in params.yaml.",
            )
        columns[finding] = column
    if not columns:
        raise InputError(
            f"{table.path} has no column that bears the name of a finding.",
            "Name the columns under data.table.findings in params.yaml, such as `Effusion: has_effusion`.",
        )
    labels = {}
    for finding in sorted(columns, key=list(words).index):
        text = table.column(columns[finding])
        seen = {word: _WORDS.get(word.lower()) for word in text.unique()}
        wrong = [word for word, value in seen.items() if value is None]
        what = f"{columns[finding]} is not a label (1, 0, -1, yes, no, uncertain or blank)"
        table.refuse(text.isin(wrong).to_numpy(), what, text)
        labels[finding] = text.map(seen).to_numpy(np.float32)
    return labels


def _no_finding(labels: Mapping[str, np.ndarray], words: Vocabulary) -> np.ndarray:
    """Derive "No finding": 0 beside a finding, −1 beside an uncertain one, 1 where all are absent or not mentioned."""
    kept = [values for finding, values in labels.items() if words.kind(finding) == "finding"]
    if not kept:
        return np.full(len(next(iter(labels.values()))), np.nan, np.float32)
    matrix = np.stack(kept, axis=1)
    derived = np.where(
        (matrix == PRESENT).any(axis=1), ABSENT, np.where((matrix == UNCERTAIN).any(axis=1), UNCERTAIN, PRESENT)
    )
    return np.where(np.isnan(matrix).all(axis=1), np.nan, derived).astype(np.float32)
