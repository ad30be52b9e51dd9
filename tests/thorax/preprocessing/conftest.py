"""A small dataset of its own: images, and the manifest that ingest would write."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from thorax.files import write_json
from thorax.manifest import COLUMNS, write_boxes, write_manifest
from thorax.settings import Data

FINDINGS = ("Effusion", "Edema", "Cardiomegaly")


@pytest.fixture
def table() -> Callable[..., pd.DataFrame]:
    """A manifest without files: `table(patients=300, seed=0)`; sick patients come back more often, as in life."""

    def run(patients: int = 300, seed: int = 0) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        rows = []
        for patient in range(patients):
            sick = rng.random(3) < (0.3, 0.1, 0.04)
            for study in range(1 + rng.poisson(3 * sick.any())):
                labels = np.where(sick, rng.random(3) < 0.8, 0.0).astype(float)
                age, sex, view = float(rng.integers(1, 95)), "FM"[rng.integers(2)], ("PA", "AP")[rng.integers(2)]
                name = f"{patient:04}_{study:03}.png"
                row = (
                    name,
                    f"images/{name}",
                    f"p{patient}",
                    f"p{patient}-{study}",
                    view,
                    age,
                    sex,
                    40,
                    50,
                    "",
                    "nih",
                    "",
                )
                rows.append((*row, *labels))
        return pd.DataFrame(rows, columns=[*COLUMNS, *FINDINGS])

    return run


@pytest.fixture
def dataset(tmp_path: Path, table: Callable[..., pd.DataFrame]) -> tuple[Path, Path, pd.DataFrame]:
    """(manifest folder, data root, manifest) of 60 patients with real files; image k is filled with its own level."""
    manifest = table(patients=60)
    root, folder = tmp_path / "data", tmp_path / "ingested"
    (root / "images").mkdir(parents=True)
    for number, path in enumerate(manifest["path"]):
        pixels = np.full((50, 40), number % 200, np.uint8)
        pixels[:10, :5] = 255
        Image.fromarray(pixels).save(root / path)
    boxes = pd.DataFrame(
        [(manifest["image_id"][0], "Effusion", 0.25, 0.5, 0.5, 0.25)],
        columns=["image_id", "finding", "x", "y", "w", "h"],
    )
    write_manifest(manifest, folder / "manifest.parquet")
    write_boxes(boxes, folder / "boxes.parquet")
    note = {"manifest_digest": "m", "revision": "r", "source": "nih", "synthetic": True}
    write_json(folder / "dataset.json", note)
    return folder, root, manifest


@pytest.fixture
def data() -> Data:
    """Settings for the small dataset."""
    return Data(source="nih", findings=FINDINGS)
