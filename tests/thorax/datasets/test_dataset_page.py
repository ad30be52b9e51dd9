"""The page that shows a dataset holds its figures in itself, and tells synthetic from real."""

import re

import numpy as np
import pandas as pd

from thorax.datasets import figures
from thorax.datasets.ingest import load
from thorax.datasets.page import dataset_page
from thorax.settings import Data

DATA = Data(source="nih", findings=("Effusion", "Infiltration", "Edema"))
BOXES = ("00000002_000.png,Infiltrate,256,512,128,64",)


def test_the_page_is_whole_in_itself(nih):
    root = nih(boxes=BOXES, images=("00000001_000.png", "00000002_000.png", "00000099_000.png"))
    (root / "images" / "00000001_000.png").write_bytes(b"cut short")
    page = dataset_page(load(DATA, root), root, DATA, "0123456789abcdef.dir")
    assert page.count("data:image/png;base64,") == 7
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    for words in (
        "2 images that the table lists are not on disk",
        "1 images have a header that cannot be read",
        "01234567",
        "Infiltration",
        "not a medical device",
    ):
        assert words in page
    assert "Synthetic." not in page


def test_a_phantom_set_of_one_image_is_drawn_and_called_synthetic(nih):
    root = nih(rows=("00000001_000.png,No Finding,0,1,,,,1,1,1,1",))
    (root / "phantom.json").write_text('{"synthetic": true}')
    data = Data(source="phantom")
    page = dataset_page(load(data, root), root, data)
    assert "Synthetic." in page
    assert "not versioned" in page


def test_label_counts_tell_the_four_kinds_apart():
    manifest = pd.DataFrame({"image_id": list("abcd"), "Effusion": [1, 0, -1, np.nan], "Edema": [1, 1, 1, 0]})
    counts = figures.label_counts(manifest)
    assert counts.loc["Effusion"].tolist() == [1, 1, 1, 1, 0.25]
    assert counts.loc["Edema"].tolist() == [3, 1, 0, 0, 0.75]


def test_samples_show_each_chosen_finding_once_an_image_and_boxes_first():
    count = 40
    manifest = pd.DataFrame(
        {
            "image_id": [f"i{number:02d}" for number in range(count)],
            "Effusion": [1.0] * 20 + [0.0] * 20,
            "Edema": [1.0] * 10 + [0.0] * 30,
        }
    )
    boxes = pd.DataFrame({"image_id": ["i07"], "finding": ["Effusion"], "x": [0.1], "y": [0.1], "w": [0.1], "h": [0.1]})
    picked = figures.choose_samples(manifest, boxes, ("Effusion", "Edema", "Mass"))
    ids = [name for name, _ in picked]
    assert ids[0] == "i07"
    assert len(set(ids)) == len(ids) == 12
    assert [why for _, why in picked].count("Edema") == 4
    assert all(int(name[1:]) >= 20 for name, why in picked if why.startswith("none"))
