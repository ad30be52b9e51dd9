"""The same explanation in other forms: parts of a message, and DICOM objects."""

import email
import io
import zipfile
from email.policy import default as policy
from pathlib import Path

import numpy as np
import pydicom
import pytest
from bundle_factory import FINDINGS
from dicom_factory import SECRETS, radiograph_dicom
from PIL import Image
from starlette.testclient import TestClient

from serving.runtime import Runtime
from thorax.prediction import Prediction
from thorax.prediction_log import count


@pytest.fixture
def film(sample_bundle: Path) -> bytes:
    picture = Image.open(sample_bundle / "examples" / "1-positive.png").convert("L")
    return radiograph_dicom(np.asarray(picture))


def test_parts_of_a_message_hold_the_answer_and_a_picture_a_finding(client: TestClient, phantom: bytes) -> None:
    answer = client.post("/explain", files={"file": phantom}, data={"format": "multipart"})
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=policy)
    parts = list(message.iter_parts())
    found = Prediction.model_validate_json(parts[0].get_payload(decode=True) or b"")
    assert found.request_id == answer.headers["x-request-id"]
    assert len(parts) == 1 + len(FINDINGS)
    for part in parts[1:]:
        with Image.open(io.BytesIO(part.get_payload(decode=True))) as picture:
            assert picture.format == "PNG"


def test_a_structured_report_on_a_dicom_image(client: TestClient, film: bytes, runtime: Runtime) -> None:
    answer = client.post("/explain", files={"file": film}, data={"format": "dicom-sr"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom"
    report = pydicom.dcmread(io.BytesIO(answer.content))
    assert report.Modality == "SR"
    assert report.StudyInstanceUID == SECRETS["StudyInstanceUID"]
    assert "7 (custom_cnn" in report.SoftwareVersions
    assert count(runtime.log) == 1
    assert answer.headers["x-model-version"] == "7"


def test_a_secondary_capture_of_a_finding(client: TestClient, film: bytes, phantom: bytes) -> None:
    answer = client.post("/explain", files={"file": film}, data={"format": "dicom-sc", "findings": "edema"})
    made = pydicom.dcmread(io.BytesIO(answer.content))
    assert (made.StudyInstanceUID, made.SeriesDescription) == (SECRETS["StudyInstanceUID"], "Thorax: edema")
    plain = client.post("/explain", files={"file": phantom}, data={"format": "dicom-sc"})
    assert pydicom.dcmread(io.BytesIO(plain.content)).PatientID == ""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": "dicom-sr"}, "refers to a DICOM image"),
        ({"format": "dicom-sc", "findings": "edema,effusion"}, "shows one finding"),
        ({"format": "xml"}, "not one of JSON, MULTIPART, DICOM-SC, DICOM-SR"),
    ],
)
def test_what_cannot_be_drawn_up_is_refused_before_it_is_scored(
    client: TestClient, phantom: bytes, runtime: Runtime, fields: dict[str, str], said: str
) -> None:
    answer = client.post("/explain", files={"file": phantom}, data=fields)
    assert (answer.status_code, said in answer.json()["error"]) == (400, True), answer.text
    assert count(runtime.log) == 0


def test_of_a_zipped_study_the_frontal_image_is_answered_and_the_answer_says_so(
    client: TestClient, film: bytes, sample_bundle: Path, runtime: Runtime
) -> None:
    picture = np.asarray(Image.open(sample_bundle / "examples" / "1-positive.png").convert("L"))
    lateral = radiograph_dicom(picture[:, ::-1].copy(), ViewPosition="LL")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("IM1", lateral)
        archive.writestr("IM2", film)
    study = stream.getvalue()
    answer = client.post("/predict", files={"file": ("study.zip", study)}).json()
    alone = client.post("/predict", files={"file": film}).json()
    assert answer["findings"] == alone["findings"]
    assert answer["image"]["view"] == "PA"
    assert answer["image"]["assumptions"][0].startswith("The study holds 2 images; image 2 (PA view) was read")
    refused = client.post("/explain", files={"file": study}, data={"format": "dicom-sr"})
    assert (refused.status_code, "an archive" in refused.json()["error"]) == (400, True)
    assert count(runtime.log) == 2


def test_a_dicom_file_of_no_study_is_refused(client: TestClient) -> None:
    film = radiograph_dicom(np.full((64, 64), 90, np.uint8), StudyInstanceUID=None)
    answer = client.post("/explain", files={"file": film}, data={"format": "dicom-sr"})
    assert (answer.status_code, "StudyInstanceUID" in answer.json()["error"]) == (400, True)
