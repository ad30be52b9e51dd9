"""The whole service where the registry does not answer, or has nothing to serve yet."""

import time
from pathlib import Path

import httpx
import pytest

from serving.launch import Running, launched
from serving.pointer import Pointer, write_pointer
from serving.runtime import Runtime
from thorax.settings import load

pytestmark = pytest.mark.slow
_PATIENCE = 90.0


def until(started: Running, route: str, wanted: str) -> httpx.Response:
    """Ask until the answer holds what is wanted."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        answer = httpx.get(f"{started.address}/{route}", timeout=10)
        if wanted in answer.text or time.monotonic() > deadline:
            return answer
        time.sleep(0.2)


def test_the_last_bundle_is_served_and_the_service_says_that_it_may_be_old(
    home: Path, sample_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = load(home, ["registry.tracking_uri=http://127.0.0.1:9", "serve.poll_seconds=0.2"])
    write_pointer(Runtime.of(settings).pointer, Pointer(bundle=sample_bundle, version="3", alias="champion"))
    image = (sample_bundle / "examples" / "1-positive.png").read_bytes()
    with launched(settings, port=0, wait=False) as started:
        told = until(started, "model", "may not be the newest").json()
        assert told["model"]["version"] == "3"
        assert "may not be the newest" in told["note"]
        assert httpx.get(f"{started.address}/readyz", timeout=10).status_code == 200
        answer = httpx.post(f"{started.address}/predict", files={"file": image}, timeout=30)
        assert (answer.status_code, answer.json()["model"]["version"]) == (200, "3")
        assert "may not be the newest" in started.state()


def test_with_no_champion_yet_it_lives_is_not_ready_and_says_what_to_do(home: Path, sample_bundle: Path) -> None:
    image = (sample_bundle / "examples" / "1-positive.png").read_bytes()
    with launched(load(home, ["serve.poll_seconds=0.2"]), port=0, wait=False) as started:
        told = until(started, "model", "champion").json()
        assert "thorax" in told["mend"]
        assert httpx.get(f"{started.address}/readyz", timeout=10).status_code == 503
        answer = httpx.post(f"{started.address}/predict", files={"file": image}, timeout=30)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert set(answer.json()) == {"error", "mend"}
        assert answer.json()["mend"]
