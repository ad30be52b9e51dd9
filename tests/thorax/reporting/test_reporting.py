"""DICOM objects read back by the libraries that viewers are made with."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from bundle_factory import FINDINGS
from dicom_factory import SECRETS, radiograph_dicom
from highdicom.sr import srread
from PIL import Image

from thorax import reporting
from thorax.bundle import Bundle
from thorax.errors import ImageError
from thorax.imaging import read_image_bytes
from thorax.prediction import Box, Prediction


@pytest.fixture(scope="module")
def bundle(sample_bundle: Path) -> Bundle:
    return Bundle.load(sample_bundle, version="7")


@pytest.fixture(scope="module")
def pixels(sample_bundle: Path) -> np.ndarray:
    return np.asarray(Image.open(sample_bundle / "examples" / "1-positive.png").convert("L"))


@pytest.fixture(scope="module")
def file(pixels: np.ndarray) -> bytes:
    return radiograph_dicom(pixels)


@pytest.fixture(scope="module")
def answer(bundle: Bundle, file: bytes) -> Prediction:
    return bundle.predict([read_image_bytes(file)])[0]


def test_the_report_says_what_the_answer_says(file: bytes, answer: Prediction) -> None:
    made = reporting.to_bytes(reporting.structured_report(reporting.source_of(file), answer))
    report = srread(io.BytesIO(made))
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    content = report.content
    assert report.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurement Report"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    groups = [*content.get_image_measurement_groups(), *content.get_planar_roi_measurement_groups()]
    assert {group.tracking_identifier for group in groups} == set(FINDINGS)
    for group in groups:
        one = answer.of(group.tracking_identifier)
        (certainty,) = group.get_measurements()
        assert certainty.name.value == "111012"
        assert certainty.unit.value == "%"
        assert certainty.value == pytest.approx(one.probability * 100, abs=1e-3)
        said = {item.name.value: item.value.meaning for item in group.get_qualitative_evaluations()}
        assert said["ANSWER"] == {"present": "Present", "absent": "Absent", "uncertain": "Indeterminate"}[one.answer]
        assert set(said) == {"ANSWER"}
    by_name = {group.tracking_identifier: group for group in groups}
    assert (by_name["Effusion"].finding_type.value, by_name["Effusion"].finding_type.meaning) == (
        "60046008",
        "Pleural effusion",
    )


def test_the_report_names_the_algorithm_its_version_and_the_image(file: bytes, answer: Prediction) -> None:
    report = reporting.structured_report(reporting.source_of(file), answer)
    items = {}

    def walk(dataset: pydicom.Dataset) -> None:
        for item in dataset.get("ContentSequence", []):
            name = item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
            items.setdefault(name, []).append(item)
            walk(item)

    walk(report)
    assert {item.TextValue for item in items["Algorithm Name"]} == {"thorax"}
    assert {item.TextValue for item in items["Algorithm Version"]} == {"7 (custom_cnn; trained on synthetic phantoms)"}
    for parameter in ("operating point 0.", "absent below 0.", "present above 0."):
        assert any(parameter in item.TextValue for item in items["Algorithm Parameters"])
    assert items["Device Observer Name"][0].TextValue == "thorax"
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    assert evidence.StudyInstanceUID == SECRETS["StudyInstanceUID"]
    referenced = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert referenced.ReferencedSOPInstanceUID == SECRETS["SOPInstanceUID"]
    assert (report.StudyInstanceUID, report.PatientID) == (SECRETS["StudyInstanceUID"], SECRETS["PatientID"])
    assert report.SeriesInstanceUID != SECRETS["SeriesInstanceUID"]
    assert report.VerificationFlag == "UNVERIFIED"


def test_the_report_gives_the_reasons_of_a_referral_also_where_the_answer_is_withheld(
    file: bytes, answer: Prediction
) -> None:
    outside = {"outside_scope": {"age": "The age 7 is outside."}, "refer_reasons": ("The age 7 is outside.",)}
    for one in (answer.model_copy(update=outside), answer.model_copy(update=outside).withhold()):
        report = srread(io.BytesIO(reporting.to_bytes(reporting.structured_report(reporting.source_of(file), one))))
        texts = (item for item in report.ContentSequence if item.ValueType == "TEXT")
        comments = [item.TextValue for item in texts if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"]
        assert comments == ["Refer to a radiologist: The age 7 is outside."]
        groups = [
            *report.content.get_image_measurement_groups(),
            *report.content.get_planar_roi_measurement_groups(),
        ]
        names = {group.tracking_identifier for group in groups}
        assert names == ({"Findings withheld"} if one.withheld else set(FINDINGS))


def test_a_box_lies_in_the_stored_pixels(bundle: Bundle, file: bytes, answer: Prediction) -> None:
    present = next(one for one in answer.findings if one.answer != "absent")
    boxed = present.model_copy(update={"box": Box(x=0.25, y=0.5, w=0.25, h=0.25)})
    others = tuple(boxed if one is present else one.model_copy(update={"box": None}) for one in answer.findings)
    source = reporting.source_of(file)
    report = reporting.structured_report(source, answer.model_copy(update={"findings": others}))
    (group,) = srread(io.BytesIO(reporting.to_bytes(report))).content.get_planar_roi_measurement_groups()
    width, height = source.size
    corners = group.roi.value
    assert corners[:, 0].min() == pytest.approx(width / 4)
    assert corners[:, 0].max() == pytest.approx(width / 2)
    assert corners[:, 1].min() == pytest.approx(height / 2)
    assert corners[:, 1].max() == pytest.approx(height * 3 / 4)


@pytest.mark.parametrize(
    "orientation", [["L", "F"], ["R", "F"], ["L", "H"], ["R", "H"], ["F", "L"], ["H", "R"], ["F", "R"]]
)
def test_a_box_goes_back_the_way_the_picture_was_turned(orientation: list[str]) -> None:
    """A bright spot is found where it was stored, however the reader turned the picture."""
    stored = np.zeros((60, 100), np.uint8)
    stored[8:14, 70:80] = 255
    file = radiograph_dicom(stored, PatientOrientation=orientation)
    upright = read_image_bytes(file).pixels
    rows, columns = np.nonzero(upright > 0.5)
    height, width = upright.shape
    box = Box(
        x=columns.min() / width,
        y=rows.min() / height,
        w=(columns.max() + 1 - columns.min()) / width,
        h=(rows.max() + 1 - rows.min()) / height,
    )
    corners = np.array(reporting.source_of(file).corners(box))
    assert corners.min(axis=0) == pytest.approx([70, 8], abs=1e-6)
    assert corners.max(axis=0) == pytest.approx([80, 14], abs=1e-6)


def test_the_capture_shows_the_overlay_in_the_patient_s_study(bundle: Bundle, file: bytes, answer: Prediction) -> None:
    source = reporting.source_of(file)
    made = reporting.secondary_capture(source, answer, bundle, read_image_bytes(file), "Effusion")
    back = pydicom.dcmread(io.BytesIO(reporting.to_bytes(made)))
    assert back.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    picture = back.pixel_array
    assert picture.shape[2] == 3
    assert np.ptp(picture.astype(int), axis=2).max() > 50  # heat on the grey
    assert (back.StudyInstanceUID, str(back.PatientName)) == (SECRETS["StudyInstanceUID"], SECRETS["PatientName"])
    assert back.SeriesInstanceUID != SECRETS["SeriesInstanceUID"]
    assert back.SourceImageSequence[0].ReferencedSOPInstanceUID == SECRETS["SOPInstanceUID"]
    assert "thorax 7" in back.DerivationDescription
    assert "not a medical device" in back.DerivationDescription
    assert back.ContributingEquipmentSequence[0].Manufacturer == "Thorax"
    assert "PatientAddress" not in back


def test_a_capture_of_a_plain_picture_is_of_nobody(bundle: Bundle, answer: Prediction, file: bytes) -> None:
    made = reporting.secondary_capture(None, answer, bundle, read_image_bytes(file), "Edema")
    back = pydicom.dcmread(io.BytesIO(reporting.to_bytes(made)))
    assert str(back.PatientName) == back.PatientID == ""
    assert back.StudyInstanceUID
    assert "SourceImageSequence" not in back


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_file_that_does_not_say_what_it_is_cannot_be_reported_on(pixels: np.ndarray, keyword: str) -> None:
    with pytest.raises(ImageError, match=keyword):
        reporting.source_of(radiograph_dicom(pixels, **{keyword: None}))


def test_odd_headers_are_reported_on_or_refused(pixels: np.ndarray, answer: Prediction, bundle: Bundle) -> None:
    for tags in (
        {"PatientSex": "X"},
        {"StudyDate": "yesterday"},
        {"PatientName": None, "PatientID": None, "StudyDate": None, "StudyTime": None, "StudyID": None},
        {"PatientBirthDate": "00000000"},
        {"PatientOrientation": ["Q"]},
    ):
        file = radiograph_dicom(pixels, **tags)
        source = reporting.source_of(file)
        for make in (
            lambda source=source: reporting.structured_report(source, answer),
            lambda source=source, file=file: reporting.secondary_capture(
                source, answer, bundle, read_image_bytes(file), "Edema"
            ),
        ):
            try:
                made = make()
            except ImageError:
                continue
            assert reporting.to_bytes(made)
