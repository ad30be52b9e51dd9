"""ChestX-ray14 as published is read rightly, or refused with its file and line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thorax.datasets import read
from thorax.datasets.ingest import load
from thorax.errors import InputError
from thorax.findings import NIH14
from thorax.manifest import COLUMNS
from thorax.settings import Data

HEADER_2017 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
DATA = Data(source="nih")


def row(manifest: pd.DataFrame, image: str) -> pd.Series:
    return manifest.set_index("image_id").loc[image]


def test_the_table_of_2020_becomes_the_manifest(nih):
    manifest, boxes = read(DATA, nih())
    assert tuple(manifest.columns) == (*COLUMNS, *NIH14, "No_Finding")
    assert manifest["image_id"].tolist() == [
        "00000001_000.png",
        "00000001_001.png",
        "00000002_000.png",
        "00000013_004.png",
    ]
    first = row(manifest, "00000001_000.png")
    assert first[["path", "patient_id", "view", "age", "sex", "width", "height", "source"]].tolist() == [
        "images/00000001_000.png", "1", "PA", 57.0, "M", 24, 20, "nih",
    ]  # fmt: skip
    assert len(first["sha256"]) == 64
    assert first["Cardiomegaly"] == first["Effusion"] == 1
    assert first[[*NIH14, "No_Finding"]].sum() == 2
    assert row(manifest, "00000001_001.png")["No_Finding"] == 1
    assert row(manifest, "00000013_004.png")[["Pleural_Thickening", "Hernia"]].tolist() == [1, 1]
    assert len(boxes) == 0


def test_the_first_table_has_a_trailing_comma_and_ages_with_units(nih):
    rows = (
        "00000001_000.png,Effusion,000,00001,058Y,M,PA,2682,2749,0.143,0.143,",
        "00000002_000.png,No Finding,000,00002,006M,F,AP,2682,2749,0.143,0.143,",
        "00000003_000.png,No Finding,000,00003,014D,F,AP,2682,2749,0.143,0.143,",
        "00000004_000.png,No Finding,000,00004,412Y,F,AP,2682,2749,0.143,0.143,",
    )
    manifest, _ = read(DATA, nih(rows, HEADER_2017, name="Data_Entry_2017.csv"))
    # 412 years stands in the published table: whether it can be right is for validation to say.
    assert manifest["age"].tolist() == pytest.approx([58, 0.5, 14 / 365.25, 412], abs=1e-4)
    assert manifest["patient_id"].tolist() == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "header",
    [
        HEADER_2017.rstrip(","),
        HEADER_2017,
        HEADER_2017.rstrip(",").replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"'),
        HEADER_2017.rstrip(",")
        .replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"')
        .replace("OriginalImagePixelSpacing[x,y]", '"OriginalImagePixelSpacing[x,y]"'),
    ],
)
def test_every_spelling_of_the_header_gives_the_same_manifest(nih, header):
    manifest, _ = read(DATA, nih(header=header))
    assert manifest["age"].tolist() == [57, 58, 80, 61]
    assert manifest["view"].tolist() == ["PA", "AP", "PA", "PA"]


ENCODINGS = {
    "byte-order mark": {"encode": lambda text: text.encode("utf-8-sig")},
    "UTF-16": {"encode": lambda text: text.encode("utf-16")},
    "CRLF": {"newline": "\r\n"},
    "CR alone": {"newline": "\r"},
    "Latin-1": {"encode": lambda text: text.replace("OriginalImage[Width", "Größe[Width").encode("latin-1")},
    "semicolons": {"encode": lambda text: text.replace(",", ";").encode()},
    "tabs": {"encode": lambda text: text.replace(",", "\t").encode()},
    "trailing blanks": {"encode": lambda text: text.replace(",", " , ").replace("|", " | ").encode()},
    "empty lines": {"newline": "\n\n"},
    "rows of separators at the end": {"encode": lambda text: (text + ",,,,,,,,,,\n" * 3).encode()},
}


@pytest.mark.parametrize("fault", ENCODINGS)
def test_what_a_spreadsheet_does_to_a_table_is_harmless(nih, fault):
    manifest, _ = read(DATA, nih(**ENCODINGS[fault]))
    assert len(manifest) == 4
    assert manifest["Effusion"].tolist() == [1, 0, 0, 0]
    assert manifest["Hernia"].tolist() == [0, 0, 0, 1]
    assert manifest["age"].tolist() == [57, 58, 80, 61]


def test_boxes_become_fractions_and_infiltrate_is_infiltration(nih):
    boxes = ("00000002_000.png,Infiltrate,256,512,128,64", "00000013_004.png,Mass,0,0,1024,1024")
    _, found = read(DATA, nih(boxes=boxes))
    assert found["finding"].tolist() == ["Infiltration", "Mass"]
    assert found[["x", "y", "w", "h"]].to_numpy().tolist() == [[0.25, 0.5, 0.125, 0.0625], [0, 0, 1, 1]]


def test_boxes_of_images_that_are_not_listed_are_counted(nih):
    dataset = load(DATA, nih(boxes=("99999999_000.png,Mass,0,0,10,10",)))
    assert len(dataset.boxes) == 0
    assert dataset.notes["boxes_of_unlisted_images"] == 1


def test_images_are_found_in_numbered_folders(nih):
    manifest, _ = read(DATA, nih(folders=("images_001/images", "images_002/images")))
    assert manifest["path"].tolist()[:2] == [
        "images_001/images/00000001_000.png",
        "images_002/images/00000001_001.png",
    ]


def test_the_official_lists_are_kept(nih):
    root = nih()
    (root / "train_val_list.txt").write_text("00000001_000.png\r\n00000001_001.png\r\n")
    (root / "test_list.txt").write_text("00000002_000.png\n\n")
    manifest, _ = read(DATA, root)
    assert manifest["official_split"].tolist() == ["train_val", "train_val", "test", ""]


def test_an_image_in_both_official_lists_is_refused(nih):
    root = nih()
    for name in ("train_val_list.txt", "test_list.txt"):
        (root / name).write_text("00000001_000.png\n")
    with pytest.raises(InputError, match=r"00000001_000\.png stands in train_val_list\.txt and in test_list\.txt"):
        read(DATA, root)


def test_a_part_of_the_images_is_enough_and_what_is_left_out_is_counted(nih):
    dataset = load(DATA, nih(images=("00000001_000.png", "00000099_000.png")))
    assert dataset.manifest["image_id"].tolist() == ["00000001_000.png"]
    assert dataset.notes["missing_images"] == 3
    assert dataset.notes["missing_examples"][0] == "00000001_001.png"
    assert dataset.notes["unlisted_images"] == 1


def test_no_image_at_all_is_refused(nih):
    with pytest.raises(InputError, match=r"No image of the dataset is in .*00000001_000\.png"):
        read(DATA, nih(images=()))


def test_an_unreadable_image_stays_for_validation_to_judge(nih):
    root = nih()
    (root / "images" / "00000002_000.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    dataset = load(DATA, root)
    assert row(dataset.manifest, "00000002_000.png")[["width", "height"]].tolist() == [0, 0]
    assert dataset.notes["unreadable_headers"] == 1


GOOD = "00000001_000.png,Effusion,0,1,57,M,PA,2682,2749,0.143,0.143"
REFUSED = {
    "a label outside the vocabulary": (
        (GOOD, "00000002_000.png,Efusion,0,2,57,M,PA,1,1,1,1"),
        r"Data_Entry.*line 3: unknown finding 'Efusion'\. Did you mean Effusion\?",
    ),
    "an image twice": ((GOOD, GOOD), r"line 3: an image stands twice in the table: '00000001_000\.png'"),
    "a blank label": ((GOOD, "00000002_000.png,,0,2,57,M,PA,1,1,1,1"), r"line 3: no finding label is given"),
    "a blank patient": ((GOOD, "00000002_000.png,Mass,0,,57,M,PA,1,1,1,1"), r"line 3: the patient's id is blank"),
    "a blank image": ((GOOD, ",Mass,0,2,57,M,PA,1,1,1,1"), r"line 3: the image's name is blank"),
    "an age in words": (
        (GOOD, "00000002_000.png,Mass,0,2,old,M,PA,1,1,1,1"),
        r"line 3: Patient Age is not a number: 'old'",
    ),
    "a field too many": ((GOOD, f"{GOOD.replace('_000', '_001')},9"), r"line 3: 12 fields, and the header has 11"),
    "a line of rubbish": ((GOOD, "x"), r"line 3: 1 fields, and the header has 11"),
    "a line cut short": ((GOOD, "00000002_000.png,Mass,0"), r"line 3: 3 fields, and the header has 11"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_wrong_row_is_refused_by_its_line(nih, fault):
    rows, message = REFUSED[fault]
    with pytest.raises(InputError, match=message):
        read(DATA, nih(rows))


def test_line_numbers_count_empty_and_quoted_lines(nih):
    rows = (GOOD, "", '"00000002_000.png","Mass",0,2,57,M,PA,1,1,1,1', "", "00000003_000.png,Nope,0,3,1,M,PA,1,1,1,1")
    with pytest.raises(InputError, match=r"line 6: unknown finding 'Nope'"):
        read(DATA, nih(rows))


def test_a_quote_that_is_never_closed_is_refused(nih):
    rows = ('"' + GOOD, *(GOOD.replace("00000001", f"{number:08d}") for number in range(2, 4000)))
    with pytest.raises(
        InputError, match=r"the row that begins on line 2 cannot be read.*Look for a quote that is not closed"
    ):
        read(DATA, nih(rows, images=(GOOD.split(",")[0],)))


def test_missing_columns_are_named(nih):
    header = HEADER_2017.rstrip(",").replace("Patient ID", "Patient").replace("Patient Age", "Years")
    with pytest.raises(InputError, match=r"lacks the columns 'Patient ID', 'Patient Age'\. It has: Image Index"):
        read(DATA, nih(header=header))


def test_a_missing_table_and_a_missing_image_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"holds no label table \(Data_Entry_2017\*\.csv\*\)"):
        read(DATA, tmp_path)
    (tmp_path / "Data_Entry_2017.csv").write_text(f"{HEADER_2017}\n{GOOD},\n")
    with pytest.raises(InputError, match=r"holds no image folder"):
        read(DATA, tmp_path)
    with pytest.raises(InputError, match=r"is not a folder"):
        read(DATA, tmp_path / "nowhere")


def test_one_image_in_two_folders_is_refused(nih):
    root = nih(folders=("images_001/images", "images_002/images"))
    (root / "images_002/images/00000001_000.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds the image 00000001_000\.png twice"):
        read(DATA, root)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (("00000002_000.png,Effusionn,1,2,3,4",), r"BBox_List_2017\.csv, line 2: unknown finding 'Effusionn'"),
        (("00000002_000.png,Mass,1,wide,3,4",), r"BBox_List_2017\.csv, line 2: y is not a number: 'wide'"),
    ],
)
def test_a_wrong_box_is_refused_by_its_line(nih, boxes, message):
    with pytest.raises(InputError, match=message):
        read(DATA, nih(boxes=boxes))


def test_a_blank_box_side_stays_for_validation_to_judge(nih):
    _, boxes = read(DATA, nih(boxes=("00000002_000.png,Mass,1,2,,4",)))
    assert np.isnan(boxes["w"].item())


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "images", "boxes"), [("nih64", 781, 8), ("nih256", 1842, 749), ("nih1024", 33, 16)])
def test_real_radiographs_are_read_whole(real_data: Path, name, images, boxes):
    manifest, found = read(DATA, real_data / name)
    assert (len(manifest), len(found)) == (images, boxes)
    assert (manifest[["width", "height"]] == int(name[3:])).all(axis=None)
    assert manifest["age"].between(0, 120).all()
    # Every box lies inside its image.
    assert ((found["x"] + found["w"] <= 1) & (found["y"] + found["h"] <= 1) & (found["w"] > 0)).all()
