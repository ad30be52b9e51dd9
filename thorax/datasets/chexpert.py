"""CheXpert v1.0 and v1.0-small as published (Irvin et al. 2019, AAAI): `train.csv`, `valid.csv`, study folders.

Labels are 1 present, 0 absent, −1 uncertain, blank not mentioned; what the last two count as is decided later, by
`thorax.datasets.labels`. The published validation set, read by radiologists, is the official test split.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from thorax.datasets.dataset import Dataset, image_files, no_boxes, sexes, views
from thorax.datasets.tables import Table, read_table
from thorax.errors import InputError
from thorax.findings import CHEXPERT14, NO_FINDING, canonical
from thorax.manifest import ABSENT, PRESENT, UNCERTAIN

_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
_SPLITS = {"train": "train_val", "valid": "test"}
#: `CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg`, with or without the part before `train`.
_PATH = re.compile(r"(?:^|/)((?:train|valid|test)/(patient\d+)/(study\d+)/[^/]+)$")
_PUBLISHED = {
    finding: {"Effusion": "Pleural Effusion"}.get(finding, finding.replace("_", " ")) for finding in CHEXPERT14
}


def read(root: Path) -> Dataset:
    """Read a folder in the layout of CheXpert.

    Args:
        root: holds `train.csv` and folders `train`, `valid`; or one folder `CheXpert-v1.0*` that does.
            `valid.csv` may be absent, and a column of a finding too.

    Raises:
        InputError: a file or column is missing, a path is not of the published form, an image stands twice, or a label
            is none of 1, 0, −1 and blank; names file and line.
    """
    base = _base(root)
    prefix = "" if base == root else f"{base.name}/"
    parts = [
        _read_split(base / f"{name}.csv", prefix, official)
        for name, official in _SPLITS.items()
        if (base / f"{name}.csv").is_file()
    ]
    manifest = pd.concat(parts, ignore_index=True)
    repeated = manifest["image_id"][manifest["image_id"].duplicated()]
    if len(repeated):
        raise InputError(
            f"{base}: {repeated.iloc[0]} stands twice in train.csv and valid.csv.", "Keep one row an image."
        )
    folders = [name for name in ("train", "valid", "test") if (base / name).is_dir()]
    images = frozenset(f"{prefix}{name}/{path}" for name in folders for path in image_files(base / name))
    return Dataset(manifest, no_boxes(), images=images)


def _base(root: Path) -> Path:
    places = [root, *sorted(path for path in root.glob("CheXpert-v1.0*") if path.is_dir())]
    for place in places:
        if (place / "train.csv").is_file():
            return place
    raise InputError(
        f"{root} holds no train.csv of CheXpert.", "Point data.root at the folder that holds train.csv and train/."
    )


def _read_split(path: Path, prefix: str, official: str) -> pd.DataFrame:
    table = read_table(path)
    table.require(_COLUMNS)
    paths = table.column("Path").str.replace("\\", "/", regex=False)
    parts = paths.str.extract(_PATH)
    table.refuse(
        parts[0].isna().to_numpy(),
        "the path is not of the form train/patient00001/study1/view1_frontal.jpg",
        paths,
    )
    table.refuse(
        parts[0].duplicated().to_numpy(), "an image stands twice in the table", paths, "Keep one row an image."
    )
    lateral = table.column("Frontal/Lateral").str.lower() == "lateral"
    manifest = pd.DataFrame(
        {
            "image_id": parts[0],
            "path": prefix + parts[0],
            "patient_id": parts[1],
            "study_id": parts[1] + "/" + parts[2],
            "view": views(table.column("AP/PA")).mask(lateral, "LATERAL"),
            "age": table.numbers("Age"),
            "sex": sexes(table.column("Sex")),
            "source": "chexpert",
            "official_split": official,
        }
    )
    for finding, values in _labels(table).items():
        manifest[finding] = values
    return manifest


def _labels(table: Table) -> dict[str, np.ndarray]:
    """Return float32 labels a published finding."""
    by_finding = {canonical(str(name)): str(name) for name in table.frame.columns}
    published = [finding for finding in CHEXPERT14 if finding in by_finding]
    if not published:
        table.require([_PUBLISHED["Effusion"]])
    labels = {}
    for finding in published:
        name = by_finding[finding]
        values = table.numbers(name)
        wrong = ~np.isnan(values) & ~np.isin(values, (PRESENT, ABSENT, UNCERTAIN))
        table.refuse(wrong, f"{name} is none of 1, 0, -1 and blank", table.column(name))
        if finding == NO_FINDING:
            # The labeller writes 1 or nothing here; nothing means that something was found.
            values = np.where(np.isnan(values), ABSENT, values)
        labels[finding] = values.astype(np.float32)
    return labels
