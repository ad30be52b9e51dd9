"""A registered bundle behind `mlflow models serve`: the same answers over HTTP as from the bundle itself."""

import base64
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from thorax.bundle import Bundle
from thorax.imaging import read_image
from thorax.registry.bundles import fetch
from thorax.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_it_answers_over_http_as_the_bundle_does(with_registry: Settings, tmp_path: Path) -> None:
    from mlflow_server import end, free_port

    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (90, 80), np.uint8)).save(files[-1])
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/thorax@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": with_registry.tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = tmp_path / "log.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
    try:
        answer = _ask(process, port, files, log)
    finally:
        end(process)
    expected = Bundle.load(fetch(with_registry)).predict([read_image(file) for file in files])
    for row, prediction in zip(answer, expected, strict=True):
        for found in prediction.findings:
            assert row[f"p_{found.finding}"] == pytest.approx(found.probability, abs=1e-4)
            assert row[f"d_{found.finding}"] == found.decision


def _ask(process: "subprocess.Popen[bytes]", port: int, files: list[Path], log: Path) -> list[dict[str, float]]:
    """Post the images, as soon as the server listens."""
    images = [base64.b64encode(file.read_bytes()).decode() for file in files]
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            sent = {"dataframe_records": [{"image": image} for image in images]}
            answer = requests.post(f"http://127.0.0.1:{port}/invocations", json=sent, timeout=60)
        except requests.ConnectionError:
            time.sleep(0.3)
            continue
        assert answer.ok, answer.text[:2000]
        return list(answer.json()["predictions"])
    raise AssertionError(log.read_text()[-3000:])
