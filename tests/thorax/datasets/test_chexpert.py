"""CheXpert as published is read rightly, or refused with its file and line."""

import numpy as np
import pytest

from thorax.datasets import read
from thorax.datasets.ingest import load
from thorax.errors import InputError
from thorax.findings import CHEXPERT14
from thorax.manifest import findings_of
from thorax.settings import Data

FRONTAL = Data(source="chexpert")
ALL = Data(source="chexpert", views="all")


def test_train_and_valid_become_one_manifest(chexpert):
    manifest, boxes = read(ALL, chexpert())
    assert findings_of(manifest) == CHEXPERT14
    assert manifest["image_id"].tolist() == [
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00002/study2/view1_frontal.jpg",
        "train/patient00002/study2/view2_lateral.jpg",
        "valid/patient64541/study1/view1_frontal.jpg",
    ]
    assert manifest["official_split"].tolist() == ["train_val", "train_val", "train_val", "test"]
    assert manifest["patient_id"].tolist() == ["patient00001", "patient00002", "patient00002", "patient64541"]
    assert manifest["study_id"].tolist()[1] == "patient00002/study2"
    assert manifest["view"].tolist() == ["AP", "PA", "LATERAL", "AP"]
    assert manifest["sex"].tolist() == ["F", "M", "M", "unknown"]
    assert (manifest["width"] == 24).all() and (manifest["height"] == 20).all()
    assert len(boxes) == 0


def test_one_zero_uncertain_and_blank_stay_apart(chexpert):
    manifest, _ = read(ALL, chexpert())
    second = manifest.iloc[1]
    assert second["Edema"] == -1 and second["Lung_Opacity"] == 1 and np.isnan(second["Pneumonia"])
    assert manifest.iloc[0]["Pneumothorax"] == 0
    assert manifest.iloc[3]["Edema"] == 0


def test_no_finding_is_never_blank(chexpert):
    # The labeller writes 1.0 or nothing there; nothing means that something was found.
    manifest, _ = read(ALL, chexpert())
    assert manifest["No_Finding"].tolist() == [1, 0, 0, 0]


def test_lateral_views_are_left_out_by_default_and_counted(chexpert):
    dataset = load(FRONTAL, chexpert())
    assert len(dataset.manifest) == 3
    assert dataset.notes["lateral_left_out"] == 1


@pytest.mark.parametrize("folder", ["CheXpert-v1.0-small", "CheXpert-v1.0", "renamed"])
def test_the_folder_may_bear_any_name_and_the_root_may_be_above_it(chexpert, folder):
    root = chexpert(folder=folder)
    manifest, _ = read(ALL, root)
    assert manifest["path"].tolist()[0] == "train/patient00001/study1/view1_frontal.jpg"
    if folder.startswith("CheXpert"):
        above, _ = read(ALL, root.parent)
        assert above["path"].tolist()[0] == f"{folder}/train/patient00001/study1/view1_frontal.jpg"
        assert above["image_id"].tolist() == manifest["image_id"].tolist()


def test_the_set_may_lack_valid_and_findings(chexpert):
    header = "Path,Sex,Age,Frontal/Lateral,AP/PA,Edema,Pleural Effusion"
    rows = ("CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg,Male,40,Frontal,PA,1.0,",)
    manifest, _ = read(ALL, chexpert(rows, None, header))
    assert findings_of(manifest) == ("Edema", "Effusion")


GOOD = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP"
BLANK = "," * 13
REFUSED = {
    "a label of 2": (
        f"{GOOD},2.0{BLANK}",
        r"train\.csv, line 2: No Finding is none of 1, 0, -1 and blank: '2\.0'",
    ),
    "a label in words": (f"{GOOD},yes{BLANK}", r"train\.csv, line 2: No Finding is not a number: 'yes'"),
    "a path of another form": (
        f"pictures/a.jpg,Female,68,Frontal,AP,{BLANK}",
        r"line 2: the path is not of the form train/patient00001",
    ),
    "an age in words": (
        f"{GOOD.replace('68', 'old')},{BLANK}",
        r"line 2: Age is not a number: 'old'",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_wrong_row_is_refused_by_its_line(chexpert, fault):
    row, message = REFUSED[fault]
    with pytest.raises(InputError, match=message):
        read(ALL, chexpert((row,), None))


def test_an_image_twice_is_refused(chexpert):
    with pytest.raises(InputError, match=r"line 3: an image stands twice in the table"):
        read(ALL, chexpert((f"{GOOD},{BLANK}",) * 2, None))


def test_missing_files_and_columns_are_named(chexpert, tmp_path):
    with pytest.raises(InputError, match=r"holds no train\.csv"):
        read(ALL, tmp_path)
    with pytest.raises(InputError, match=r"train\.csv lacks the column 'AP/PA'"):
        read(ALL, chexpert(("a,b,c,d",), None, "Path,Sex,Age,Frontal/Lateral"))
