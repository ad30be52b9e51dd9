"""A good dataset of phantoms in NIH's layout, which every fault is then put into."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thorax.datasets.phantom.render import render
from thorax.datasets.phantom.sheet import subjects
from thorax.settings import Data, Validation

FINDINGS = ("Effusion", "Edema", "Cardiomegaly")
#: (rows, patients): about two images a patient.
_PATIENTS, _SIZE = 40, 96


@pytest.fixture(scope="session")
def good_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a dataset in which nothing is wrong."""
    rng = np.random.default_rng(5)
    chests = (render(subject, _SIZE).image8 for subject in subjects(2 * _PATIENTS, seed=5))
    root = tmp_path_factory.mktemp("good")
    (root / "images").mkdir()
    rows = [
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    ]
    boxes = ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
    for patient in range(1, _PATIENTS + 1):
        age, sex = int(rng.integers(20, 85)), "FM"[int(rng.integers(2))]
        for study in range(2):
            name = f"{patient:08}_{study:03}.png"
            found = [finding for finding in FINDINGS if rng.random() < 0.35]
            view = ("PA", "AP")[int(rng.integers(2))]
            rows.append(f"{name},{'|'.join(found) or 'No Finding'},{study},{patient},{age},{sex},{view},96,96,2.0,2.0")
            Image.fromarray(next(chests)).save(root / "images" / name)
            for finding in found:
                left, top = rng.uniform(100, 700), rng.uniform(100, 700)
                boxes.append(f"{name},{finding},{left:.1f},{top:.1f},200.0,220.0,,,")
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join(rows) + "\n")
    (root / "BBox_List_2017.csv").write_text("\n".join(boxes) + "\n")
    return root


@pytest.fixture
def data() -> Data:
    """Three findings of an NIH dataset."""
    return Data(source="nih", findings=FINDINGS)


@pytest.fixture
def bounds() -> Validation:
    """The default bounds."""
    return Validation()
