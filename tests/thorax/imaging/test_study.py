"""Of a study's images, the frontal one for presentation is read, and what was left out is said."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import film, written

from thorax.errors import ImageError, InputError
from thorax.imaging import SUFFIXES, read_image_bytes, study
from thorax.settings import Dicom

ONE, OTHER = "1.2.826.0.1.3680043.8.498.71", "1.2.826.0.1.3680043.8.498.72"


@pytest.fixture
def grey(chest: np.ndarray) -> np.ndarray:
    return np.rint(chest * 3000 + 200).astype(np.uint16)


@pytest.fixture
def files(grey: np.ndarray) -> dict[str, bytes]:
    """What a disc of one examination holds."""

    def one(number: int, **tags: object) -> bytes:
        uid = f"1.2.826.0.1.3680043.8.498.{number}"
        return written(film(grey, StudyInstanceUID=ONE, SOPInstanceUID=uid, **tags))

    report = film(grey, Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", StudyInstanceUID=ONE)
    del report.PixelData
    return {
        "IM1": one(1, ViewPosition="LL"),
        "IM2": one(2, PresentationIntentType="FOR PROCESSING"),
        "IM3": one(3, ImageType=["DERIVED", "PRIMARY", "", "SOFT_TISSUE"], SeriesDescription="Soft tissue"),
        "IM4": one(4, ViewPosition="PA"),
        "IM5": written(report),
        "README.TXT": b"Open index.html",
        "DICOMDIR": written(film(grey, Modality=None, SOPClassUID="1.2.840.10008.1.3.10")),
    }


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_the_frontal_image_for_presentation_of_a_zipped_study_is_read(files: dict[str, bytes]) -> None:
    image = read_image_bytes(zipped(files))
    np.testing.assert_array_equal(image.pixels, read_image_bytes(files["IM4"]).pixels)
    said = image.assumptions[0]
    assert said.startswith("The study holds 4 images; image 4 (PA view) was read")
    assert "LATERAL view" in said
    assert "raw detector data" in said
    assert "made from another exposure" in said


def test_an_archive_of_one_picture_is_that_picture_and_of_several_is_refused(
    files: dict[str, bytes], grey: np.ndarray
) -> None:
    assert read_image_bytes(zipped({"a/b.dcm": files["IM1"]})).view == "LATERAL"
    stranger = written(film(grey, StudyInstanceUID=OTHER))
    refused = {
        "several studies": {"a": files["IM4"], "b": stranger},
        "no image": {"a.txt": b"text"},
        "structured report": {"IM5": files["IM5"]},
        "raw detector data": {"IM2": files["IM2"]},
        "archive inside an archive": {"a.zip": zipped({"a": files["IM4"]})},
        "leads out": {"../../a.dcm": files["IM4"]},
        "200 times": {"a.dcm": bytes(4 << 20)},
    }
    for words, content in refused.items():
        with pytest.raises(ImageError, match=words):
            read_image_bytes(zipped(content))
    with pytest.raises(ImageError, match="damaged"):
        read_image_bytes(zipped(files)[:900])
    with pytest.raises(ImageError, match="1001 files"):
        read_image_bytes(zipped({str(number): b"" for number in range(1001)}))


def test_of_a_folder_the_frontal_image_of_each_study_is_taken(
    files: dict[str, bytes], grey: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "DICOM").mkdir()
    for name, content in files.items():
        (tmp_path / "DICOM" / name).write_bytes(content)
    second = {"IM8": {"ViewPosition": "AP"}, "IM9": {"ViewPosition": "AP", "SOPInstanceUID": "1.2.9"}}
    for name, tags in second.items():
        (tmp_path / name).write_bytes(written(film(grey, StudyInstanceUID=OTHER, **tags)))
    found = study.found_in(tmp_path, SUFFIXES)
    assert [file.name for file in found] == ["IM1", "IM2", "IM3", "IM4", "IM5", "IM8", "IM9"]
    kept, left = study.select(found, Dicom())
    assert [file.name for file in kept] == ["IM4", "IM8", "IM9"]
    reasons = {file.name: reason for file, reason in left.items()}
    assert reasons["IM1"] == "It is of the same study as IM4 (PA view), and is a LATERAL view."
    assert "raw detector data" in reasons["IM2"]
    assert "structured report" in reasons["IM5"]


def test_a_dicomdir_leads_to_its_files_and_never_out_of_its_folder(grey: np.ndarray, tmp_path: Path) -> None:
    from pydicom.fileset import FileSet

    data = film(grey, PatientID="1", PatientName="X", StudyID="1", StudyDate="20200101", StudyTime="1200")
    data.update({"AccessionNumber": "", "SeriesNumber": 1, "InstanceNumber": 1, "StudyDescription": ""})
    disc = FileSet()
    disc.add(__import__("pydicom").dcmread(io.BytesIO(written(data))))
    disc.write(tmp_path / "disc")
    (file,) = study.listed(tmp_path / "disc" / "DICOMDIR")
    assert read_image_bytes(file.read_bytes()).view == "PA"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "DICOMDIR").write_bytes(written(film(grey)))
    with pytest.raises(InputError, match="cannot be read as a DICOMDIR"):
        study.listed(tmp_path / "bad" / "DICOMDIR")
