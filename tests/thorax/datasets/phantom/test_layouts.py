"""What is written is what the adapters of the published datasets read, and every file says that it is synthetic."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image

from thorax.datasets import chexpert, nih, phantom_adapter
from thorax.datasets.phantom.generate import make_phantom
from thorax.datasets.phantom.layouts import make_layout
from thorax.datasets.phantom.layouts.dicom import VARIANTS, dicom_dataset
from thorax.datasets.phantom.layouts.nih import PER_FOLDER
from thorax.datasets.phantom.population import cases
from thorax.datasets.phantom.recipe import make_recipe
from thorax.datasets.phantom.render import render
from thorax.findings import CHEXPERT13, NIH14, NO_FINDING
from thorax.imaging import read_image
from thorax.imaging.intensity import stretch

ARGUMENTS = {"count": 32, "size": 32, "seed": 3, "workers": 1}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """One small dataset a layout."""
    root = tmp_path_factory.mktemp("layouts")
    make_phantom(root / "nih", **ARGUMENTS, findings="nih14", masks=True, twins=True)
    make_phantom(root / "chexpert", **ARGUMENTS, layout="chexpert", findings="Effusion,Edema,Mass", uncertain=0.3)
    make_phantom(root / "dicom", **ARGUMENTS, layout="dicom", findings="nih14")
    return {name: root / name for name in ("nih", "chexpert", "dicom")}


def truth_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "truth.parquet")


@pytest.mark.parametrize("layout", ["nih", "dicom"])
def test_nih_s_adapter_reads_labels_and_boxes_back(folders, layout):
    folder = folders[layout]
    read = nih.read(folder)
    truth = truth_of(folder)
    manifest = read.manifest.set_index("image_id")
    present = truth.assign(present=truth["severity"] > 0).pivot(index="image_id", columns="finding", values="present")
    assert len(manifest) == 32
    for finding in NIH14:
        assert (manifest[finding] == present[finding].reindex(manifest.index)).all(), finding
    assert (manifest[NO_FINDING] == ~present[list(NIH14)].any(axis=1).reindex(manifest.index)).all()
    framed = truth[truth["x"].notna() & (truth["finding"] != "Support_Devices")]
    boxes = read.boxes.merge(framed, on=["image_id", "finding"], suffixes=("", "_truth"))
    assert len(boxes) == len(read.boxes) == len(framed) > 20
    for side in "xywh":
        assert boxes[side].to_numpy() == pytest.approx(boxes[f"{side}_truth"].to_numpy(), abs=1e-5)
    assert (read.manifest["path"].map(lambda path: (folder / path).is_file())).all()


def test_nih_s_lists_split_by_patient(folders):
    manifest = nih.read(folders["nih"]).manifest
    assert set(manifest["official_split"]) == {"test", "train_val"}
    assert (manifest.groupby("patient_id")["official_split"].nunique() == 1).all()


def test_chexpert_s_adapter_reads_labels_back(folders):
    read = chexpert.read(folders["chexpert"])
    truth = truth_of(folders["chexpert"])
    manifest = read.manifest.set_index("image_id")
    said = truth.pivot(index="image_id", columns="finding", values="label").reindex(manifest.index)
    severity = truth.pivot(index="image_id", columns="finding", values="severity").reindex(manifest.index)
    for finding in ("Effusion", "Edema"):
        pd.testing.assert_series_equal(manifest[finding], said[finding], check_names=False, check_dtype=False)
        certain = manifest[finding].isin([0, 1])
        assert ((severity[finding] > 0) == (manifest[finding] == 1))[certain].all()
        assert (severity[finding][manifest[finding].isna()] == 0).all()
    lesion = manifest["Lung_Lesion"] == 1
    assert (severity["Mass"][lesion] > 0).all() and (manifest["Lung_Opacity"][lesion] == 1).all()
    values = manifest[["Effusion", "Edema"]].to_numpy()
    assert (values == -1).any() and np.isnan(values).any() and (values == 0).any() and (values == 1).any()
    none = manifest[NO_FINDING] == 1
    assert not (manifest.loc[none, [name for name in CHEXPERT13 if name != "Support_Devices"]] == 1).any(axis=None)
    assert set(manifest["official_split"]) == {"test", "train_val"}
    valid = manifest[manifest["official_split"] == "test"]
    assert valid[list(CHEXPERT13)].isin([0, 1]).all(axis=None), "radiologists label whole and without doubt"
    assert (read.manifest["path"].map(lambda path: (folders["chexpert"] / path).is_file())).all()


@pytest.mark.parametrize("layout", ["nih", "chexpert", "dicom"])
def test_the_phantom_adapter_marks_the_dataset_as_synthetic(folders, layout):
    read = phantom_adapter.read(folders[layout])
    assert read.synthetic
    assert set(read.manifest["source"]) == {"phantom"}


def test_headers_are_byte_for_byte_the_published_ones(folders):
    def first_line(path: Path) -> bytes:
        return path.read_bytes().split(b"\n")[0]

    assert first_line(folders["nih"] / "Data_Entry_2017_v2020.csv") == (
        b"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        b"OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    assert first_line(folders["nih"] / "BBox_List_2017.csv") == b"Image Index,Finding Label,Bbox [x,y,w,h],,,"
    assert first_line(folders["chexpert"] / "CheXpert-v1.0-small" / "train.csv") == (
        b"Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,"
        b"Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"
        b"Support Devices"
    )


@pytest.mark.real_data
def test_headers_are_those_of_the_real_tables(folders, real_data):
    for name in ("Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"):
        real, ours = ((folder / name).read_bytes().splitlines()[0] for folder in (real_data / "nih256", folders["nih"]))
        assert ours == real


def test_spellings_and_frames_are_the_published_ones(folders):
    with (folders["nih"] / "BBox_List_2017.csv").open() as stream:
        rows = list(csv.reader(stream))[1:]
    assert {len(row) for row in rows} == {6}
    assert "Infiltrate" in {row[1] for row in rows} and "Infiltration" not in {row[1] for row in rows}
    assert max(float(row[2]) + float(row[4]) for row in rows) > 32, "pixels of 1024, not of the files"
    labels = (folders["nih"] / "Data_Entry_2017_v2020.csv").read_text()
    assert "|" in labels and ",No Finding," in labels and "Infiltration" in labels and "Support" not in labels
    paths = (folders["chexpert"] / "CheXpert-v1.0-small" / "train.csv").read_text().splitlines()
    assert paths[1].startswith("CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,")


def test_large_datasets_lie_in_numbered_folders():
    recipe = make_recipe(count=PER_FOLDER + 1)
    case = next(iter(cases(recipe)))
    assert make_layout(recipe).path(case) == "images_001/images/00000001_000.png"


def test_masks_and_twins_belong_to_their_images(folders):
    truth = truth_of(folders["nih"])
    framed = truth[truth["x"].notna() & truth["finding"].isin(NIH14)]
    for row in framed.head(12).itertuples():
        stem = row.path.removesuffix(".png")
        mask = np.asarray(Image.open(folders["nih"] / "masks" / stem / f"{row.finding}.png"))
        assert mask.shape == (32, 32) and mask.dtype == bool and mask.any()
        centre = int((row.y + row.h / 2) * 32), int((row.x + row.w / 2) * 32)
        ys, xs = np.nonzero(mask)
        assert ys.min() - 1 <= centre[0] <= ys.max() + 1 and xs.min() - 1 <= centre[1] <= xs.max() + 1
    for path, shown in truth.groupby("path")["severity"].max().items():
        twin = (folders["nih"] / "twins" / path).read_bytes()
        same = twin == (folders["nih"] / path).read_bytes()
        assert same == (shown == 0)


def test_every_file_says_that_it_is_synthetic_and_nothing_of_its_labels(folders):
    texts = {Image.open(path).info["Description"] for path in sorted((folders["nih"] / "images").iterdir())}
    comments = {Image.open(path).info["comment"] for path in sorted(folders["chexpert"].rglob("*.jpg"))}
    tags = {str(pydicom.dcmread(path).ImageComments) for path in sorted((folders["dicom"] / "images").iterdir())}
    for said in (texts, {text.decode() for text in comments}, tags):
        assert len(said) == 1 and said.pop().startswith("SYNTHETIC")


def test_every_dicom_variant_shows_the_same_picture(tmp_path):
    drawn = list(cases(make_recipe(count=len(VARIANTS), layout="dicom")))
    pixels = render(drawn[0].subject, 64).pixels
    pictures = []
    for case in drawn:
        dicom_dataset(case, pixels).save_as(tmp_path / f"{case.index}.dcm", enforce_file_format=True)
        pictures.append(read_image(tmp_path / f"{case.index}.dcm"))
    expected = stretch(pixels, 4096)
    for variant, picture in zip(VARIANTS, pictures, strict=True):
        assert picture.bits == variant[0]
        assert picture.pixels == pytest.approx(expected, abs=2e-3), variant


#: Type 1 and 2 attributes of the mandatory modules of the Digital X-Ray Image IOD (PS3.3 A.26-1), top level.
MANDATORY = (
    "PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyDate StudyTime "
    "ReferringPhysicianName StudyID AccessionNumber Modality SeriesInstanceUID SeriesNumber "
    "PresentationIntentType Manufacturer InstanceNumber ImageType SamplesPerPixel PhotometricInterpretation Rows "
    "Columns BitsAllocated BitsStored HighBit PixelRepresentation PixelData ImageLaterality "
    "AnatomicRegionSequence PixelIntensityRelationship PixelIntensityRelationshipSign RescaleIntercept "
    "RescaleSlope RescaleType PresentationLUTShape LossyImageCompression BurnedInAnnotation DetectorType "
    "ImagerPixelSpacing AcquisitionContextSequence SOPClassUID SOPInstanceUID PatientOrientation"
)


def test_dicom_files_are_valid_digital_x_ray_objects(folders):
    files = [pydicom.dcmread(path) for path in sorted((folders["dicom"] / "images").iterdir())]
    for file in files:
        assert [name for name in MANDATORY.split() if name not in file] == []
        assert file.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1"
        assert file.file_meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID
        assert file.Modality == "DX" and "SYNTHETIC" in str(file.PatientName)
        with warnings.catch_warnings(action="error"):  # pydicom warns of values that bend the standard
            file.walk(lambda _, element: element.value)
    assert len({file.SOPInstanceUID for file in files}) == len(files)
    kinds = {(f.BitsStored, f.PhotometricInterpretation, "WindowWidth" in f, "VOILUTSequence" in f) for f in files}
    assert len(kinds) == len(VARIANTS)
    images = nih.read(folders["dicom"]).manifest
    assert images["path"].str.endswith(".dcm").all()
    first = read_image(folders["dicom"] / images["path"][0])
    assert (first.view, first.age, first.sex) == tuple(images.loc[0, ["view", "age", "sex"]])
