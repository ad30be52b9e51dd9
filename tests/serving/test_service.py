"""What a caller of the service sees."""

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundle_factory import FINDINGS
from PIL import Image
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from serving.pointer import Pointer, write_pointer
from serving.runtime import Runtime
from thorax.bundle import Bundle
from thorax.bundle.openvino import has_bfloat16
from thorax.errors import RoomError
from thorax.imaging import read_image_bytes
from thorax.prediction import Prediction
from thorax.prediction_log import PredictionLog, count, read_failures, read_feedback, read_log


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def test_predict_answers_as_the_bundle_does_and_logs_it(
    client: TestClient, phantom: bytes, sample_bundle: Path, runtime: Runtime
) -> None:
    answer = client.post("/predict", files={"file": phantom}, data={"age": "61", "sex": "f", "view": "AP"})
    assert answer.status_code == 200
    found = Prediction.model_validate_json(answer.content)
    direct = Bundle.load(sample_bundle).predict([read_image_bytes(phantom)])[0]
    for one, other in zip(found.findings, direct.findings, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
        assert one.decision == other.decision
    assert (found.image.age, found.image.sex, found.image.view) == (61, "F", "AP")
    assert found.model.version == "7"
    assert answer.headers["x-request-id"] == found.request_id
    row = read_log(runtime.log).iloc[0]
    assert row["request_id"] == found.request_id
    assert row["p_Effusion"] == pytest.approx(found.of("Effusion").probability)
    assert row["model_version"] == "7"


@pytest.mark.parametrize("withhold", [False, True])
def test_what_is_declared_outside_the_scope_is_referred_and_counted(
    phantom: bytes, runtime: Runtime, sample_bundle: Path, start: Callable[[], TestClient], withhold: bool
) -> None:
    runtime.model_copy(update={"withhold": withhold}).write(runtime.folder / "runtime.json")
    write_pointer(runtime.pointer, Pointer(bundle=sample_bundle, version="7"))
    client = start()
    declared = ({"view": "LATERAL", "age": "7"}, {"view": "LATERAL"}, {"age": "7"}, {"view": "PA", "age": "50"})
    for data in declared:
        found = Prediction.model_validate_json(client.post("/predict", files={"file": phantom}, data=data).content)
        outside = {name for name in data if data[name] in ("LATERAL", "7")}
        assert set(found.outside_scope) == outside
        assert all(sentence in found.refer_reasons for sentence in found.outside_scope.values())
        assert not outside or (found.refer and "outside the model's training data" in found.summary)
        assert found.withheld == (withhold and bool(outside)) == (not found.findings)
        drawn = client.post("/explain", files={"file": phantom}, data=data).json()
        assert bool(drawn["overlays"]) == (not found.withheld)
    log = read_log(runtime.log)
    assert log["outside_scope"].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert log["p_Effusion"].notna().all(), "monitoring sees the withheld answers"
    assert REGISTRY.get_sample_value("thorax_outside_scope_total", {"fact": "age"}) == 4
    assert client.get("/model").json()["scope"]["views"] == ["AP", "PA"]


def test_no_header_tells_what_runs_inside(client: TestClient, phantom: bytes) -> None:
    headers = client.post("/predict", files={"file": phantom}).headers
    assert "server" not in headers
    assert not [name for name in headers if "bento" in name]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_explain_draws_every_finding_or_those_asked_for(client: TestClient, phantom: bytes) -> None:
    answer = client.post("/explain", files={"file": phantom}).json()
    assert tuple(answer["overlays"]) == FINDINGS
    picture = Image.open(io.BytesIO(base64.b64decode(answer["overlays"]["Effusion"])))
    colour = np.asarray(picture.convert("RGB")).astype(int)
    assert (colour.max(axis=2) - colour.min(axis=2)).max() > 50  # there is heat on the grey
    one = client.post("/explain", files={"file": phantom}, data={"findings": "edema", "side": "512"}).json()
    assert tuple(one["overlays"]) == ("Edema",)
    assert Image.open(io.BytesIO(base64.b64decode(one["overlays"]["Edema"]))).size[1] == 256  # not enlarged further
    layers = client.post("/explain", files={"file": phantom}, data={"draw": "layer"}).json()
    assert Image.open(io.BytesIO(base64.b64decode(layers["overlays"]["Edema"]))).mode == "RGBA"
    assert Image.open(io.BytesIO(base64.b64decode(layers["image"]))).mode == "L"
    assert client.post("/explain", files={"file": phantom}, data={"side": "9999"}).status_code == 400
    wrong = client.post("/explain", files={"file": phantom}, data={"findings": "Hernia"})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "The model does not assess Hernia.")


def test_feedback_is_kept_with_its_prediction(client: TestClient, phantom: bytes, runtime: Runtime) -> None:
    request_id = client.post("/predict", files={"file": phantom}).json()["request_id"]
    body = {"request_id": request_id, "findings": {"effusion": True, "Edema": False}, "role": "radiologist"}
    assert client.post("/feedback", json=body).json() == {"request_id": request_id, "kept": 2}
    kept = read_feedback(runtime.log)
    assert kept["finding"].tolist() == ["Effusion", "Edema"]
    assert kept["role"].unique().tolist() == ["radiologist"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"request_id": "0" * 32, "findings": {"Effusion": True}}, "There is no prediction"),
        ({"request_id": "1; DROP TABLE", "findings": {"Effusion": True}}, "request_id"),
        ({"request_id": "0" * 32, "findings": {}}, "findings"),
        ({"request_id": "0" * 32, "findings": {"Broken Heart": True}}, "Broken Heart"),
        ({"request_id": "0" * 32, "findings": {"Effusion": "perhaps"}}, "Effusion"),
        ({"request_id": "0" * 32, "findings": {"Effusion": True}, "role": "patient"}, "role"),
    ],
)
def test_wrong_feedback_is_refused_and_says_why(client: TestClient, body: dict, said: str) -> None:
    answer = client.post("/feedback", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_model_says_what_is_served(client: TestClient) -> None:
    told = client.get("/model").json()
    assert told["model"] == {
        "name": "thorax",
        "version": "7",
        "architecture": "custom_cnn",
        "synthetic": True,
        "precision": "float32",
    }
    assert told["precision"]["runs"] == "float32"
    assert told["precision"]["runtime"].startswith("ONNX Runtime")
    # The machine that wrote the bundle is this one, with bfloat16 or without.
    expected = "little is to gain" if has_bfloat16() else "does not have it"
    assert expected in told["precision"]["why"]
    assert [point["finding"] for point in told["findings"]] == list(FINDINGS)
    assert all(0 < point["threshold"] < 1 for point in told["findings"])
    assert told["lineage"] == {"git": "0" * 40}
    assert len(told["card"]) > 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"hello", "not a PNG, JPEG, TIFF or DICOM"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG"),
        (png(np.zeros((64, 64), np.uint8))[:60], "damaged"),
    ],
)
def test_what_is_no_image_is_refused_and_not_logged(
    client: TestClient, content: bytes, said: str, runtime: Runtime
) -> None:
    answer = client.post("/predict", files={"file": ("picture.png", content)})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "mend"}
    assert said in answer.json()["error"]
    assert count(runtime.log) == 0
    assert read_failures(runtime.log)["status"].tolist() == [400]  # that it was refused, and nothing of it


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"data": {"file": "http://example.org/a.png"}, "files": {"x": b""}}, 400, "is text, not a file"),
        ({"files": {"image": b"x"}}, 400, "Unknown field 'image'"),
        ({"files": {"file": b"x"}, "data": {"name": "Jane Doe"}}, 400, "Unknown field 'name'"),
        ({"files": {"file": b"x"}, "data": {"age": "old"}}, 400, "age 'old'"),
        ({"files": {"file": b"x"}, "data": {"age": "nan"}}, 400, "age 'nan'"),
        ({"files": {"file": b"x"}, "data": {"sex": "male"}}, 400, "not one of F, M"),
        ({"files": {"file": b"x"}, "data": {"view": ["PA", "AP"]}}, 400, "stands twice"),
        ({"files": [("file", b"x"), ("file", b"y")]}, 400, "Too many files"),
        ({"json": {}}, 415, "multipart/form-data"),
        ({"content": b"x", "headers": {"content-type": "application/vnd.bentoml+pickle"}}, 415, "multipart"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "cannot be read"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "cannot be read"),
        ({"data": {"age": "5"}, "files": {"age": (None, "5")}}, 400, "stands twice"),
        ({"files": {"age": (None, "5")}}, 400, "no `file`"),
        ({"files": {"file": b"x" * (1 << 20)}}, 413, "larger than 1 MiB"),
        ({"files": {"file": b"x"}, "headers": {"content-length": "-5"}}, 413, "larger"),
    ],
)
def test_wrong_requests_are_refused_with_a_reason(client: TestClient, request_: dict, status: int, said: str) -> None:
    answer = client.post("/predict", **request_)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert set(answer.json()) == {"error", "mend"}


def test_other_addresses_and_methods(client: TestClient) -> None:
    assert client.get("/predict").status_code == 405
    assert client.get("/nothing").json()["error"] == "This address does not exist."
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200


def test_without_a_model_the_service_lives_is_not_ready_and_says_what_to_do(
    start: Callable[[], TestClient], phantom: bytes
) -> None:
    client = start()
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    answer = client.post("/predict", files={"file": phantom})
    assert answer.status_code == 503
    assert "thorax pipeline run" in answer.json()["mend"]
    assert answer.headers["retry-after"]


def test_an_answer_that_cannot_be_logged_does_not_leave(
    client: TestClient, phantom: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RoomError("The disk is full.", "Free some space.")

    monkeypatch.setattr(PredictionLog, "write", full)
    answer = client.post("/predict", files={"file": phantom})
    assert (answer.status_code, answer.json()) == (507, {"error": "The disk is full.", "mend": "Free some space."})


def test_what_nobody_foresaw_leaves_no_trace_in_the_answer(
    client: TestClient, phantom: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("/secret/path.py")

    monkeypatch.setattr(PredictionLog, "write", broken)
    answer = client.post("/predict", files={"file": phantom})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Zero" not in answer.text


def test_the_api_describes_itself(client: TestClient) -> None:
    spec = client.get("/docs.json").json()
    form = spec["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["format"] == "binary"
    assert form["required"] == ["file"]
    assert "radiologist" in json.dumps(spec["components"]["schemas"]["Feedback"])
    assert "maps" not in spec["components"]["schemas"]["Prediction"]["properties"]
    assert "BentoML" not in json.dumps(spec)
    answers = spec["paths"]["/predict"]["post"]["responses"]
    assert {"200", "400", "401", "403", "413", "415", "429", "503", "507"} <= set(answers)
    assert answers["400"]["content"]["application/json"]["schema"]["$ref"].endswith("/Refusal")
    assert set(spec["paths"]["/explain"]["post"]["responses"]["200"]["content"]) == {
        "application/json",
        "multipart/mixed",
        "application/dicom",
    }
    Prediction.model_validate(spec["components"]["schemas"]["Prediction"]["example"])
    references = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(spec)))
    assert references <= set(spec["components"]["schemas"])
    assert spec["paths"]["/admin/status"]["get"]["security"] == [{"key": []}]
