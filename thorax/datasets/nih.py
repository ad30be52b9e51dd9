"""NIH ChestX-ray14 as published (Wang et al. 2017, CVPR): image folders, the label table, boxes, the official lists.

Both published label tables are read: that of 2017 (a trailing comma, ages such as `058Y`, some over 400) and that of
2020. A label that the table does not name counts as absent: the labels were mined from reports that list what was seen.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from thorax.datasets.dataset import Dataset, image_files, no_boxes, sexes, views
from thorax.datasets.tables import BLANK, Table, read_table
from thorax.errors import InputError, nearest
from thorax.findings import NIH14, NO_FINDING, canonical
from thorax.manifest import ABSENT, PRESENT

#: Boxes are published in pixels of the 1024×1024 images.
BOX_FRAME = 1024.0

_FINDINGS = (*NIH14, NO_FINDING)
_COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender")
#: Years a unit of an age as DICOM writes it, such as `058Y` or `013M` (PS3.5, value representation AS).
_AGE_UNITS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def read(root: Path) -> Dataset:
    """Read a folder in the layout of ChestX-ray14.

    Args:
        root: holds `Data_Entry_2017*.csv`, folders `images*` and, where present, `BBox_List_2017.csv`,
            `train_val_list.txt` and `test_list.txt`.

    Raises:
        InputError: a file or column is missing, a label is not in the vocabulary, an image stands twice, or a value
            cannot be read; names file and line.
    """
    table = read_table(_one(root, "Data_Entry_2017*.csv*", "label table"))
    table.require(_COLUMNS)
    names = table.column("Image Index")
    table.refuse((names == "").to_numpy(), "the image's name is blank")
    table.refuse(names.duplicated().to_numpy(), "an image stands twice in the table", names, "Keep one row an image.")

    images, found = _images(root)
    patients = _patients(table)
    manifest = pd.DataFrame(
        {
            "image_id": names,
            "path": names.map(found).fillna(""),
            "patient_id": patients,
            "study_id": patients + "-" + table.column("Follow-up #"),
            "view": views(table.column("View Position")) if table.has("View Position") else "unknown",
            "age": _ages(table),
            "sex": sexes(table.column("Patient Gender")),
            "source": "nih",
            "official_split": _official(root, names),
        }
    )
    labels = _labels(table, "Finding Labels")
    manifest[list(_FINDINGS)] = labels
    boxes = _boxes(root)
    known = boxes["image_id"].isin(set(names))
    notes = {"boxes_of_unlisted_images": int((~known).sum())}
    return Dataset(manifest, boxes[known].reset_index(drop=True), images=images, notes=notes)


def _one(root: Path, pattern: str, what: str) -> Path:
    files = sorted(path for path in root.glob(pattern) if path.is_file())
    if not files:
        raise InputError(
            f"{root} holds no {what} ({pattern}).",
            "Point data.root at the folder that holds it, or choose another data.source.",
        )
    if len(files) > 1:
        listed = ", ".join(path.name for path in files)
        raise InputError(f"{root} holds more than one {what}: {listed}.", "Keep the one that is meant.")
    return files[0]


def _images(root: Path) -> tuple[frozenset[str], dict[str, str]]:
    """Return all image paths below `root/images*`, and the path of each file name."""
    folders = sorted(path for path in root.glob("images*") if path.is_dir())
    if not folders:
        raise InputError(f"{root} holds no image folder (images*).", "Unpack the images there, as published.")
    found: dict[str, str] = {}
    paths = []
    for folder in folders:
        for below in image_files(folder):
            path = f"{folder.name}/{below}"
            name = below.rsplit("/", 1)[-1]
            if name in found:
                raise InputError(f"{root} holds the image {name} twice: {found[name]} and {path}.", "Remove one.")
            found[name] = path
            paths.append(path)
    return frozenset(paths), found


def _patients(table: Table) -> pd.Series:
    """Patient ids without leading zeros: one patient never becomes two because a table was padded."""
    column = table.column("Patient ID")
    table.refuse((column == "").to_numpy(), "the patient's id is blank")
    return column.where(~column.str.isdecimal(), column.str.lstrip("0").replace("", "0"))


def _ages(table: Table) -> np.ndarray:
    """Ages in years, as written: whether 412 can be right is for validation to say."""
    column = table.column("Patient Age")
    parts = column.str.extract(r"^(?P<number>-?\d+(?:\.\d+)?)(?P<unit>[YMWDymwd])$")
    with_unit = parts["unit"].notna()
    years = table.numbers("Patient Age", parts["number"].where(with_unit, column))
    return years * parts["unit"].str.upper().map(_AGE_UNITS).fillna(1.0).to_numpy(np.float64)


def _labels(table: Table, name: str) -> np.ndarray:
    """Return float32 of shape (rows, findings): 1 present, 0 absent."""
    codes, words = pd.factorize(table.column(name))
    place = {finding: column for column, finding in enumerate(_FINDINGS)}
    rows = np.full((len(words), len(_FINDINGS)), ABSENT, np.float32)
    for row, text in enumerate(words):
        if str(text).lower() in BLANK:
            table.refuse(codes == row, "no finding label is given; NIH writes 'No Finding' where there is none")
        for part in str(text).split("|"):
            finding = canonical(part)
            if finding not in place:
                table.refuse(codes == row, f"unknown finding {part!r}", mend=nearest(part.strip(), _FINDINGS))
            rows[row, place[finding]] = PRESENT
    return rows[codes]


def _official(root: Path, names: pd.Series) -> pd.Series:
    """Each image's place in the official lists: "train_val", "test", or "" where there is none."""
    split = pd.Series("", index=names.index)
    listed: dict[str, set[str]] = {}
    for kind, file in (("train_val", "train_val_list.txt"), ("test", "test_list.txt")):
        path = root / file
        if path.is_file():
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            listed[kind] = {line.strip() for line in lines if line.strip()}
            split[names.isin(listed[kind])] = kind
    both = sorted(listed.get("train_val", set()) & listed.get("test", set()))
    if both:
        raise InputError(f"{root}: {both[0]} stands in train_val_list.txt and in test_list.txt ({len(both):,} images).")
    return split


def _boxes(root: Path) -> pd.DataFrame:
    """Read the box table into fractions of the image; none where it is not there."""
    path = root / "BBox_List_2017.csv"
    if not path.is_file():
        return no_boxes()
    table = read_table(path)
    table.require(("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"))
    labels = table.column("Finding Label")
    known = {label: canonical(label) for label in labels.unique()}
    for label, finding in known.items():
        if finding not in NIH14:
            table.refuse((labels == label).to_numpy(), f"unknown finding {label!r}", mend=nearest(label, NIH14))
    sides = {
        side: table.numbers(name) / BOX_FRAME for side, name in zip("xywh", ("Bbox [x", "y", "w", "h]"), strict=True)
    }
    return pd.DataFrame({"image_id": table.column("Image Index"), "finding": labels.map(known), **sides})
