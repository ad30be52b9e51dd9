"""Tiny datasets in the published layouts, made by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

#: The header of the label table as published in 2017 and in 2020, and that of the boxes.
HEADER_2017 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
HEADER_2020 = HEADER_2017.removesuffix(",")
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
NIH_ROWS = (
    "00000001_000.png,Cardiomegaly|Effusion,0,1,57,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,No Finding,1,1,58,M,AP,2894,2729,0.143,0.143",
    "00000002_000.png,Infiltration,0,2,80,F,PA,2500,2048,0.171,0.171",
    "00000013_004.png,Pleural_Thickening|Hernia,4,13,61,F,PA,2500,2048,0.171,0.171",
)
CHEXPERT_HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
CHEXPERT_ROWS = (
    "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,,,,,,,0.0,,,,1.0",
    "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,",
    "CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg,Male,87,Lateral,,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,1.0,,1.0,",
)
CHEXPERT_VALID = (
    "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg,Unknown,73,Frontal,AP,"
    "0.0,1.0,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0",
)


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (24, 20)) -> None:
    """Write a small grey image of noise, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width), dtype=np.uint8)).save(path)


@pytest.fixture
def nih(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder in NIH's layout."""

    def make(
        rows: Sequence[str] = NIH_ROWS,
        header: str = HEADER_2020,
        boxes: Sequence[str] | None = None,
        folders: Sequence[str] = ("images",),
        encode: Callable[[str], bytes] = str.encode,
        name: str = "Data_Entry_2017_v2020.csv",
        newline: str = "\n",
        images: Sequence[str] | None = None,
    ) -> Path:
        root = tmp_path / "nih"
        root.mkdir()
        text = newline.join((header, *rows)) + newline
        (root / name).write_bytes(encode(text))
        names = [row.replace(";", ",").split(",")[0].strip(' "') for row in rows] if images is None else images
        for place, image in enumerate(name for name in dict.fromkeys(names) if name.endswith(".png")):
            write_image(root / folders[place % len(folders)] / image, place)
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
        if boxes is not None:
            (root / "BBox_List_2017.csv").write_text("\n".join((BOX_HEADER, *boxes)) + "\n", encoding="utf-8")
        return root

    return make


@pytest.fixture
def chexpert(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder in CheXpert's layout."""

    def make(
        rows: Sequence[str] = CHEXPERT_ROWS,
        valid: Sequence[str] | None = CHEXPERT_VALID,
        header: str = CHEXPERT_HEADER,
        folder: str = "CheXpert-v1.0-small",
    ) -> Path:
        root = tmp_path / folder
        root.mkdir(parents=True)
        for name, lines in (("train", rows), ("valid", valid)):
            if lines is None:
                continue
            (root / f"{name}.csv").write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
            for place, line in enumerate(lines):
                below = line.split(",")[0].split("/", 1)[-1]
                if below.endswith(".jpg"):
                    write_image(root / below, place)
        return root

    return make
