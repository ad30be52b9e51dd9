"""CheXpert-v1.0-small's published layout (Irvin et al. 2019, AAAI)."""

import csv
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from thorax.datasets.phantom.layouts.base import SYNTHETIC, Layout, Record
from thorax.datasets.phantom.population import Case
from thorax.files import atomic_path
from thorax.findings import NO_FINDING, canonical

FOLDER = "CheXpert-v1.0-small"
OBSERVATIONS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
HEADER = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *OBSERVATIONS)

#: Share of the patients whose images stand in `valid.csv`, which radiologists label whole and without doubt.
VALID_SHARE = 0.1

#: Share of the absent findings that a report mentions as absent; of the others it is silent.
MENTIONED = 0.3

#: The observation that stands for a finding where CheXpert has no column of its name.
STANDS_FOR = {
    "Mass": "Lung_Lesion",
    "Nodule": "Lung_Lesion",
    "Infiltration": "Lung_Opacity",
    "Pleural_Thickening": "Pleural_Other",
}

#: Observations that a finding implies in CheXpert's tree of observations (figure 1 of the paper).
IMPLIES = {
    "Cardiomegaly": "Enlarged_Cardiomediastinum",
    "Lung_Lesion": "Lung_Opacity",
    "Edema": "Lung_Opacity",
    "Consolidation": "Lung_Opacity",
    "Pneumonia": "Lung_Opacity",
    "Atelectasis": "Lung_Opacity",
}


class CheXpertLayout(Layout):
    """`train.csv`, `valid.csv` and `patientNNNNN/studyN/view1_frontal.jpg`, under `CheXpert-v1.0-small/`."""

    suffix = ".jpg"
    tables = (f"{FOLDER}/train.csv", f"{FOLDER}/valid.csv")

    def image_id(self, case: Case) -> str:
        """Return `train/patient00013/study6/view1_frontal.jpg`: the sixth study of patient 13."""
        part = "valid" if self.valid(case) else "train"
        return f"{part}/patient{case.patient:05d}/study{case.follow_up + 1}/view1_frontal.jpg"

    def path(self, case: Case) -> str:
        """Return the path as the tables give it, below `CheXpert-v1.0-small/`."""
        return f"{FOLDER}/{self.image_id(case)}"

    def valid(self, case: Case) -> bool:
        """Whether a case's patient stands in `valid.csv`: every tenth."""
        return case.patient % round(1 / VALID_SHARE) == 0

    def write_image(self, path: Path, case: Case, pixels: np.ndarray, image8: np.ndarray) -> None:
        """Write a grey JPEG whose comment says that it is synthetic."""
        from PIL import Image

        Image.fromarray(image8).save(path, format="JPEG", quality=90, comment=SYNTHETIC)

    def published(self, case: Case) -> dict[str, float]:
        """Return what a row says: 1, 0, −1, and no entry where it is blank.

        In `train.csv` an absent finding is mentioned (0) in some reports and blank in others; `uncertain` of the
        mentioned labels are −1, absent ones at that rate, present ones the more often the less severe they are. In
        `valid.csv` every observation is 1 or 0.
        """
        whole = self.valid(case)
        said: dict[str, float] = {}
        for name in self.recipe.made:
            value = self._say(case, name, whole)
            if value is not None:
                column = STANDS_FOR.get(name, name)
                said[column] = _stronger(said.get(column), value)
        for name, above in IMPLIES.items():
            if said.get(name) in (1.0, -1.0):
                said[above] = _stronger(said.get(above), said[name])
        diseases = {name: value for name, value in said.items() if name != "Support_Devices"}
        none = not any(value in (1.0, -1.0) for value in diseases.values())
        if whole:
            said = {canonical(name): said.get(canonical(name), 0.0) for name in OBSERVATIONS}
        if none or whole:
            said[NO_FINDING] = float(none)
        return said

    def _say(self, case: Case, name: str, whole: bool) -> float | None:
        present = case.labels[name]
        if whole:
            return float(present)
        doubt, mention = case.draws[name]
        if not present and mention >= MENTIONED:
            return None
        rate = self.recipe.uncertain
        if present:
            low, high = self.recipe.severity
            severity = case.subject.findings.get(name, low)
            rate *= 2 * (1 - (severity - low) / (high - low)) if high > low else 1
        return -1.0 if doubt < rate else float(present)

    def write_tables(self, folder: Path, rows: Iterable[tuple[Case, Record]]) -> None:
        """Write `train.csv` and `valid.csv`; CheXpert publishes no boxes."""
        with ExitStack() as stack:
            paths = [stack.enter_context(atomic_path(folder / name)) for name in self.tables]
            streams = [stack.enter_context(path.open("w", encoding="utf-8", newline="")) for path in paths]
            tables = [csv.writer(stream, lineterminator="\n") for stream in streams]
            for table in tables:
                table.writerow(HEADER)
            for case, _ in rows:
                tables[self.valid(case)].writerow(self._row(case))
            for stream in streams:
                stream.close()  # before the files move into place

    def _row(self, case: Case) -> list[str]:
        said = self.published(case)
        subject = case.subject
        sex = {"F": "Female", "M": "Male"}[subject.sex]
        row = [self.path(case), sex, str(int(subject.age)), "Frontal", subject.view]
        cells = (said.get(canonical(name)) for name in OBSERVATIONS)
        return row + ["" if value is None else f"{value:.1f}" for value in cells]


def _stronger(one: float | None, other: float) -> float:
    """Return what two findings of one column say together: present before uncertain before absent."""
    order = (None, 0.0, -1.0, 1.0)
    return other if order.index(one) < order.index(other) else float(one or 0.0)
