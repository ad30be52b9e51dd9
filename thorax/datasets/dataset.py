"""What every adapter gives, and the words for view and sex that datasets publish."""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thorax.datasets.tables import Table
from thorax.imaging.dicom import words
from thorax.manifest import BOX_COLUMNS, SEXES, VIEWS

#: Suffixes of the files that count as images.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")

_VIEWS = {
    "pa": "PA",
    "ap": "AP",
    "ap supine": "AP",
    "ap erect": "AP",
    "lateral": "LATERAL",
    "lat": "LATERAL",
    "l": "LATERAL",
    "ll": "LATERAL",
    "rl": "LATERAL",
    "left lateral": "LATERAL",
}
_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
#: Last letters of an age with a unit: years, months, weeks, days.
_AGE_UNITS = frozenset("YMWD")
_UNKNOWN = frozenset({"", "unknown", "u", "nan", "na", "n/a", "none", "null", "?"})


@dataclass
class Dataset:
    """A dataset as read from its tables.

    Attributes:
        manifest: a row an image, as `thorax.manifest.COLUMNS` says; `width`, `height` and `sha256` are filled in by
            `thorax.datasets.ingest`. A row whose image file is not there has the path "".
        boxes: `thorax.manifest.BOX_COLUMNS`.
        images: relative paths of the image files found on disk, or None where the adapter did not look.
        synthetic: made by a generator, not by a scanner.
        notes: facts for `dataset.json`.
    """

    manifest: pd.DataFrame
    boxes: pd.DataFrame
    images: frozenset[str] | None = None
    synthetic: bool = False
    notes: dict[str, Any] = field(default_factory=dict)


def no_boxes() -> pd.DataFrame:
    """Return an empty box table."""
    return pd.DataFrame({name: pd.Series(dtype="object") for name in BOX_COLUMNS})


def views(values: pd.Series) -> pd.Series:
    """Return views as PA, AP, LATERAL or unknown, also from text such as "AP Supine", "anteroposterior" or "LL".

    Any other word stays as it is, for validation to name.
    """
    return _translate(values, _VIEWS, words.view, VIEWS)


def sexes(values: pd.Series) -> pd.Series:
    """Return sexes as F, M or unknown, also from words such as "Male" or "weiblich".

    Any other word stays as it is, for validation to name.
    """
    return _translate(values, _SEXES, words.sex, SEXES)


def ages(table: Table, name: str) -> np.ndarray:
    """Return a column of ages in years as float64 (rows,): numbers, or with a unit such as "058Y", "7M", "6W" or "10D".

    Raises:
        InputError: a value is neither; the message names line and value.
    """
    text = table.column(name)
    known = {value: words.age(value.replace(",", ".")) for value in text.unique() if value[-1:].upper() in _AGE_UNITS}
    return table.numbers(name, text.map(lambda value: value if known.get(value) is None else repr(known[value])))


def _translate(
    values: pd.Series, spellings: dict[str, str], read: Callable[[str], str | None], allowed: Collection[str]
) -> pd.Series:
    """Translate each distinct value: by its spelling, as unknown, or as `read` understands it."""
    seen = {}
    for value in values.unique():
        folded = str(value).lower()
        found = spellings.get(folded, "unknown" if folded in _UNKNOWN else None) or read(str(value))
        seen[value] = found if found in allowed else value
    return values.map(seen)


def image_files(folder: Path) -> Iterator[str]:
    """Yield the paths of all image files below `folder`, relative to it, with forward slashes; no hidden ones."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(place).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        for name in sorted(names):
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield prefix + name
