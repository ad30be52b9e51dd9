"""Heatmaps by other methods than the class activation map: those that the service can compute, and those it cannot."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from thorax.bundle import Bundle
from thorax.explain.occlusion import occlusion_maps


def layer(answer: dict, finding: str) -> np.ndarray:
    """The opacity of a finding's layer."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["overlays"][finding]))))[:, :, 3].astype(float)


def test_occlusion_draws_where_the_answer_falls(client: TestClient, phantom: bytes, sample_bundle) -> None:
    form = {"method": "occlusion", "draw": "layer", "findings": "effusion"}
    answer = client.post("/explain", files={"file": phantom}, data=form)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["method"] == "occlusion"
    plain = client.post("/explain", files={"file": phantom}, data=form | {"method": "cam"}).json()
    assert told["prediction"]["findings"] == plain["prediction"]["findings"]  # the answer itself is the same
    assert not np.array_equal(layer(told, "Effusion"), layer(plain, "Effusion"))
    # The hottest place is that of the map itself, computed here.
    bundle = Bundle.load(sample_bundle)
    image = np.asarray(Image.open(io.BytesIO(phantom)).convert("L").resize((64, 64)))
    map_ = occlusion_maps(lambda images: bundle.run(images)[0], image)[0]
    row, column = np.unravel_index(map_.argmax(), map_.shape)
    drawn = layer(told, "Effusion")
    y, x = np.unravel_index(drawn.argmax(), drawn.shape)
    assert abs(y / drawn.shape[0] - (row + 0.5) / 8) < 0.2
    assert abs(x / drawn.shape[1] - (column + 0.5) / 8) < 0.2


@pytest.mark.parametrize(
    ("method", "said", "mend"),
    [
        ("grad-cam++", "needs gradients, and the service runs without PyTorch", "cam or occlusion"),
        ("guided-backprop", "needs gradients", "thorax.explain.gradients"),
        ("grad-cam", "positive part of the class activation map", "method cam"),
        ("tea-leaves", "not one of cam, occlusion", ""),
    ],
)
def test_what_it_cannot_compute_it_refuses_and_says_what_to_ask_for(
    client: TestClient, phantom: bytes, method: str, said: str, mend: str
) -> None:
    answer = client.post("/explain", files={"file": phantom}, data={"method": method})
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert mend in answer.json()["mend"]


def test_a_dicom_object_shows_the_class_activation_map_alone(client: TestClient, phantom: bytes) -> None:
    answer = client.post("/explain", files={"file": phantom}, data={"method": "occlusion", "format": "dicom-sc"})
    assert answer.status_code == 400
    assert "class activation map" in answer.json()["error"]
