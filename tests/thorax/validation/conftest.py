"""A good dataset of drawn chests in NIH's layout, which every fault is then put into."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thorax.settings import Data, Validation

FINDINGS = ("Effusion", "Edema", "Cardiomegaly")
#: (rows, patients): about two images a patient.
_PATIENTS, _SIZE = 40, 96


def draw_chest(rng: np.random.Generator) -> np.ndarray:
    """A chest of its own anatomy: uint8 (96, 96); a body with two lungs, ribs, a heart, a diaphragm and noise."""
    y, x = np.mgrid[0:_SIZE, 0:_SIZE].astype(np.float32) / _SIZE
    shift, width, lung, top = rng.uniform((-0.02, 0.44, 0.10, 0.30), (0.02, 0.48, 0.13, 0.42))
    x = x - 0.5 - shift
    body = 0.6 / (1 + np.exp((np.hypot(x / width, (y - 0.62) / 0.66) - 1) * 25))
    for side in (-1, 1):
        centre = side * rng.uniform(0.20, 0.24)
        hollow = np.hypot((x - centre) / lung, (y - top - 0.05) / rng.uniform(0.24, 0.30))
        body -= 0.33 / (1 + np.exp((hollow - 1) * 9))
    heart = rng.uniform(0.9, 1.4)
    body += 0.2 * np.exp(-((x / 0.08) ** 2)) + 0.12 * np.exp(
        -(((x - 0.07) / (0.1 * heart)) ** 2 + ((y - 0.6) / 0.12) ** 2)
    )
    body += 0.22 / (1 + np.exp(-(y - rng.uniform(0.68, 0.75)) * 25))
    body += 0.03 * np.sin((y + 0.4 * np.abs(x)) * rng.uniform(55, 75) + rng.uniform(0, 6)) * (np.abs(x) > 0.07)
    texture = Image.fromarray(rng.normal(0, 1, (24, 24)).astype(np.float32)).resize(
        (_SIZE, _SIZE), Image.Resampling.BICUBIC
    )
    body += 0.05 * np.asarray(texture) + rng.normal(0, 0.01, body.shape)
    return (body.clip(0.01, 0.98) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def good_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a dataset in which nothing is wrong."""
    rng = np.random.default_rng(5)
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
            Image.fromarray(draw_chest(rng)).save(root / "images" / name)
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
