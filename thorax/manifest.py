"""The manifest: the one table, a row an image, that every dataset is read into; and the box table beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from thorax.errors import InputError
from thorax.files import atomic_path

#: Columns that every manifest has, before one column a finding.
#: `age` is in years (NaN: unknown), `width` and `height` in pixels,
#: `path` relative to the data root with forward slashes.
COLUMNS = (
    "image_id",
    "path",
    "patient_id",
    "study_id",
    "view",
    "age",
    "sex",
    "width",
    "height",
    "sha256",
    "source",
    "official_split",
)
BOX_COLUMNS = ("image_id", "finding", "x", "y", "w", "h")
VIEWS = ("PA", "AP", "LATERAL", "unknown")
FRONTAL = ("PA", "AP", "unknown")
SEXES = ("F", "M", "unknown")
SPLITS = ("train", "validation", "calibration", "test")

PRESENT, ABSENT, UNCERTAIN = 1.0, 0.0, -1.0


def findings_of(manifest: pd.DataFrame) -> tuple[str, ...]:
    """Return the finding columns of a manifest, in order."""
    return tuple(name for name in manifest.columns if name not in COLUMNS)


def write_manifest(manifest: pd.DataFrame, path: Path | str) -> None:
    """Write a manifest as Parquet, atomically, with fixed column types.

    Finding columns are float32: 1 present, 0 absent, −1 uncertain, NaN not mentioned.
    `official_split` is "test", "train_val" or "" where the publisher gives none; a confirmed case's is one of `SPLITS`.

    Raises:
        InputError: a column is missing or an image id stands twice.
    """
    _require(manifest, COLUMNS, "manifest")
    repeated = manifest["image_id"][manifest["image_id"].duplicated()]
    if len(repeated):
        raise InputError(f"Image {repeated.iloc[0]!r} stands {len(repeated) + 1} times or more in the manifest.")
    types: dict[str, str] = dict.fromkeys(COLUMNS, "string")
    types |= {"age": "float32", "width": "int32", "height": "int32"}
    types |= dict.fromkeys(findings_of(manifest), "float32")
    ordered = manifest[[*COLUMNS, *findings_of(manifest)]].astype(types).reset_index(drop=True)
    with atomic_path(path) as temporary:
        ordered.to_parquet(temporary, index=False)


def read_manifest(path: Path | str) -> pd.DataFrame:
    """Read a manifest.

    Raises:
        InputError: it is missing, damaged, or lacks a column.
    """
    return _read(path, COLUMNS, "manifest")


def write_boxes(boxes: pd.DataFrame, path: Path | str) -> None:
    """Write the box table: `x`, `y` (upper left corner), `w`, `h` as fractions of the image."""
    _require(boxes, BOX_COLUMNS, "box table")
    types = {"image_id": "string", "finding": "string"} | dict.fromkeys("xywh", "float32")
    with atomic_path(path) as temporary:
        boxes[list(BOX_COLUMNS)].astype(types).reset_index(drop=True).to_parquet(temporary, index=False)


def read_boxes(path: Path | str) -> pd.DataFrame:
    """Read a box table.

    Raises:
        InputError: it is missing, damaged, or lacks a column.
    """
    return _read(path, BOX_COLUMNS, "box table")


def label_matrix(manifest: pd.DataFrame, findings: Sequence[str]) -> np.ndarray:
    """Return the labels as float32 of shape (images, findings): 1, 0, −1 or NaN.

    Raises:
        InputError: the manifest has no column for a finding.
    """
    missing = [name for name in findings if name not in manifest.columns]
    if missing:
        raise InputError(
            f"The dataset has no labels for {', '.join(missing)}.",
            f"It has: {', '.join(findings_of(manifest))}. Choose among them under data.findings.",
        )
    return np.asarray(manifest[list(findings)], dtype=np.float32)


def _read(path: Path | str, columns: Sequence[str], what: str) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise InputError(f"The {what} {path} does not exist.", "Run the ingest step first.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"The {what} {path} cannot be read: {error}", "It may be cut short; make it again.") from error
    _require(frame, columns, f"{what} {path}")
    return frame


def _require(frame: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"The {what} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")
