"""The same image has the same answer, to 1e-4, whichever way it is asked for, in either precision."""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dicom_factory import radiograph_dicom
from PIL import Image
from precision_factory import measured, rewrite
from starlette.testclient import TestClient

from commands.answerers import Local, Remote
from commands.batch import predict_table
from serving.client import Client
from serving.page.blocks import Page
from thorax.bundle import Bundle
from thorax.bundle.openvino import has_bfloat16
from thorax.imaging import read_image_bytes
from thorax.prediction import Prediction
from thorax.registry.pyfunc import _load_pyfunc

TOLERANCE = 1e-4
Way = Callable[[bytes], dict[str, tuple[float, bool, str]]]


def pictures(phantom: bytes) -> dict[str, bytes]:
    """The same phantom, and other kinds of files: 16 bit, JPEG, not square, DICOM."""
    grey = np.asarray(Image.open(io.BytesIO(phantom)).convert("L"))
    deep = grey.astype(np.uint16) * 257
    wide = np.pad(grey, ((0, 0), (20, 40)), mode="edge")
    made = {"phantom.png": phantom, "film.dcm": radiograph_dicom(wide)}
    for name, pixels, kind in (("deep.png", deep, "PNG"), ("a.jpg", grey, "JPEG"), ("wide.tif", wide, "TIFF")):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format=kind)
        made[name] = stream.getvalue()
    return made


def told(prediction: Prediction) -> dict[str, tuple[float, bool, str]]:
    return {one.finding: (one.probability, one.decision, one.answer) for one in prediction.findings}


def from_row(row: "pd.Series", findings: tuple[str, ...]) -> dict[str, tuple[float, bool, str]]:
    return {name: (float(row[f"p_{name}"]), bool(row[f"d_{name}"]), str(row[f"c_{name}"])) for name in findings}


@pytest.fixture(params=["float32", "bfloat16"])
def sample_bundle(request: pytest.FixtureRequest, sample_bundle: Path, tmp_path: Path) -> Path:
    """A bundle that answers in one precision or the other, as nobody says which."""
    if request.param == "float32":
        return sample_bundle
    if not has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    copy = Path(shutil.copytree(sample_bundle, tmp_path / "fast"))
    rewrite(copy, measured())
    return copy


@pytest.fixture
def talking(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The project's own client, talking to the service in this process."""
    with Client("http://testserver") as made:
        monkeypatch.setattr(made, "_http", client)
        yield made


@pytest.fixture
def ways(talking: Client, sample_bundle: Path, tmp_path: Path) -> dict[str, Way]:
    """Every way to ask."""
    bundle = Bundle.load(sample_bundle, version="7")
    model = _load_pyfunc(str(sample_bundle))
    page = Page(talking)

    def by_table(answerer: Local | Remote) -> Way:
        def ask(image: bytes) -> dict[str, tuple[float, bool, str]]:
            file = tmp_path / "image"
            file.write_bytes(image)
            predict_table(answerer, [file], tmp_path / "out.parquet")
            return from_row(pd.read_parquet(tmp_path / "out.parquet").iloc[0], bundle.findings)

        return ask

    def by_page(image: bytes) -> dict[str, tuple[float, bool, str]]:
        return told(page._answer(image)[0].prediction)

    def by_batch(image: bytes) -> dict[str, tuple[float, bool, str]]:
        first = talking.predict_batch([image, image]).answers[1].prediction
        assert first is not None
        return told(first)

    return {
        "bundle": lambda image: told(bundle.predict([read_image_bytes(image)])[0]),
        "rest": lambda image: told(talking.predict(image)),
        "rest, explained": lambda image: told(talking.explain(image).prediction),
        "rest, many at once": by_batch,
        "page": by_page,
        "batch": by_table(Local(bundle)),
        "batch through the service": by_table(Remote(talking)),
        "pyfunc": lambda image: from_row(model.predict(pd.DataFrame({"image": [image]})).iloc[0], bundle.findings),
    }


def test_the_same_image_has_the_same_answer_every_way(
    ways: dict[str, Way], phantom: bytes, talking: Client, request: pytest.FixtureRequest
) -> None:
    assert talking.predict(phantom).model.precision == request.node.callspec.params["sample_bundle"]
    for name, image in pictures(phantom).items():
        answers = {way: ask(image) for way, ask in ways.items()}
        reference = answers.pop("bundle")
        for way, answer in answers.items():
            assert answer.keys() == reference.keys(), (name, way)
            for finding, (probability, decision, conformal) in answer.items():
                expected = reference[finding]
                assert abs(probability - expected[0]) <= TOLERANCE, (name, way, finding)
                assert (decision, conformal) == expected[1:], (name, way, finding)
