"""Whatever names a patient is planted wherever it can be, and every byte that is kept is searched for it."""

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from dicom_factory import SECRETS, radiograph_dicom
from PIL import Image, PngImagePlugin
from starlette.testclient import TestClient
from typer.testing import CliRunner

from commands import log as log_command
from serving.launch import launched
from serving.runtime import Runtime
from thorax.prediction_log import count
from thorax.settings import load

#: Planted in names of files, fields, addresses and headers.
PLANTED = ("Oktavia_Zylberquist_19431217", "MRN-774411", "Quellenweg")


def needles() -> Iterator[bytes]:
    """Every secret as a file may hold it: plain, its parts, and in UTF-16."""
    words = {part for value in SECRETS.values() for part in (value, *value.replace("^", " ").split()) if len(part) > 4}
    for word in words | set(PLANTED) - {"Patient", "cough"}:
        if word.lower() in ("patient", "complains", "cough", "klinikum"):
            continue
        yield from (word.encode(), word.lower().encode(), word.encode("utf-16-le"))


def picture(pixels: np.ndarray) -> bytes:
    """A PNG file whose text chunks name the patient."""
    info = PngImagePlugin.PngInfo()
    for name, value in SECRETS.items():
        info.add_text(name, value)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", pnginfo=info)
    return stream.getvalue()


@pytest.fixture
def pixels(sample_bundle: Path) -> np.ndarray:
    return np.asarray(Image.open(sample_bundle / "examples" / "1-positive.png").convert("L"))


def everything(client: "TestClient | httpx.Client", pixels: np.ndarray) -> list[bytes]:
    """Ask for all that the service offers, rightly and wrongly; return the answers that must not name anyone."""
    name = PLANTED[0]
    film, png = radiograph_dicom(pixels), picture(pixels)
    broken = [film[: len(film) // 2], film.replace(b"MONOCHROME2", b"Quellenweg!"), film[:300] + b"\xff" * 300]
    broken.append(radiograph_dicom(pixels, Modality="MRN-774411", BodyPartExamined=f"HAND {PLANTED[2]}"))
    broken.append(radiograph_dicom(pixels, Rows=30_000, Columns=30_000))
    answers = []
    mistyped = radiograph_dicom(pixels, Modality=PLANTED[1], BodyPartExamined=PLANTED[2], ViewPosition=name)
    answers.append(client.post("/predict", files={"file": mistyped}))
    for image in (film, png):
        answers.append(client.post("/predict", files={"file": (f"{name}.dcm", image)}))
        answers.append(client.post("/explain", files={"file": (f"{name}.dcm", image)}))
    for image in broken:  # what is refused goes back to whoever sent it, and is kept nowhere
        client.post("/predict", files={"file": (f"{name}.dcm", image)})
    for wanted in ("dicom-sr", "dicom-sc"):
        client.post("/explain", files={"file": (name, film)}, data={"format": wanted})
    client.post("/predict_batch", files=[("file", (f"{name}.dcm", film)), ("file", (name, b"x"))])
    for field in ("name", "patient_id", "age", "sex", "view", "findings"):
        client.post("/explain", files={"file": (name, film)}, data={field: name})
    request_id = answers[0].json()["request_id"]
    client.post("/feedback", json={"request_id": request_id, "findings": {"Edema": True}, "role": "physician"})
    for body in ({"request_id": name}, {"request_id": request_id, "findings": {name: True}}, {"note": name}):
        client.post("/feedback", json=body)
    client.get(
        f"/patients/{name}?mrn={PLANTED[1]}", headers={"referer": name, "user-agent": PLANTED[1], "cookie": name}
    )
    client.request(name, "/predict")
    client.get("/model", headers={"x-api-key": name, "x-request-id": name, "traceparent": name})
    assert all(answer.status_code == 200 for answer in answers)
    return [answer.content for answer in answers]


def test_nothing_that_is_kept_names_a_patient(
    client: TestClient,
    pixels: np.ndarray,
    runtime: Runtime,
    home: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = everything(client, pixels)
    assert count(runtime.log) == 1 + 2 * 2 + 2 + 1 + 0
    monkeypatch.setenv("THORAX_HOME", str(home))
    run: Callable = CliRunner().invoke
    for words in (
        ["export", "--out", str(home / "var" / "out.parquet")],
        ["export", "--out", str(home / "var" / "o.csv")],
    ):
        assert run(log_command.app, words).exit_code == 0
    moved = run(log_command.app, ["prune", "--before", "2100-01-01", "--json"])
    assert json.loads(moved.stdout)["rows"] == 8
    printed = capfd.readouterr()
    kept = {"what was said": (caplog.text + printed.out + printed.err).encode()}
    kept |= {f"answer {number}": content for number, content in enumerate(answers)}
    kept |= files_below(home)
    assert any(place.endswith(".parquet") for place in kept)
    search(kept)


def files_below(home: Path) -> dict[str, bytes]:
    """Return every file's bytes and name."""
    paths = [Path(folder) / name for folder, _, names in os.walk(home) for name in names]
    return {str(path): path.read_bytes() + str(path.relative_to(home)).encode() for path in paths}


@pytest.mark.slow
def test_the_processes_of_a_real_service_keep_nothing_either(
    home: Path, sample_bundle: Path, pixels: np.ndarray
) -> None:
    """Their own output is a file too, and their temporary folder."""
    settings = load(home)
    with launched(settings, sample_bundle, port=0) as started:
        with httpx.Client(base_url=started.address, timeout=60) as client:
            answers = everything(client, pixels)
        figures = client_figures(started.address)
    kept = files_below(home) | {f"answer {number}": content for number, content in enumerate(answers)}
    assert kept[str(started.log)]
    search(kept | {"metrics": figures})


def client_figures(address: str) -> bytes:
    return httpx.get(f"{address}/metrics", timeout=10).content


def search(kept: dict[str, bytes]) -> None:
    """Look for every needle in everything."""
    assert any(place.endswith("predictions.db") for place in kept)
    assert any("access" in place for place in kept)
    assert any(place.endswith("audit.jsonl") for place in kept)
    for needle in needles():
        for place, content in kept.items():
            assert needle not in content, (needle, place)


def test_the_search_would_find_what_it_looks_for(pixels: np.ndarray) -> None:
    film = radiograph_dicom(pixels)
    found = [needle for needle in needles() if needle in film]
    assert {b"Zylberquist^Oktavia", b"PID-8841777", b"19431217", b"ACC7719203"} <= set(found)
