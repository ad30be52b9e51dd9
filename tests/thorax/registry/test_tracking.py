"""MLflow's set-up and a training's live run."""

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from thorax.errors import RegistryError
from thorax.registry import tracking
from thorax.registry.live import live_run, open_child
from thorax.settings import Settings, load


@pytest.mark.slow
def test_several_processes_set_up_one_whole_database(home: Path) -> None:
    code = "import sys; from thorax.registry.tracking import initialise; from thorax.settings import load\n"
    code += "print(initialise(load(sys.argv[1])))"
    start = [sys.executable, "-c", code, str(home)]
    processes = [subprocess.Popen(start, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {process.communicate(timeout=100)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(found) == 1
    settings = load(home)
    experiment = tracking.client(settings).get_experiment(found.pop().strip())
    assert experiment.artifact_location == (settings.var / "mlartifacts").as_uri()
    assert [path.name for path in settings.var.glob(".mlflow*")] == []


def test_once_set_up_it_costs_nothing_and_heals_a_database_that_was_replaced(settings: Settings) -> None:
    first = tracking.initialise(settings)
    began = time.perf_counter()
    assert tracking.initialise(settings) == first
    assert time.perf_counter() - began < 0.05
    (settings.var / "mlflow-ready.json").write_text("{cut")
    assert tracking.initialise(settings) == first


def test_an_address_that_does_not_answer_is_named(home: Path) -> None:
    settings = load(home, ["registry.tracking_uri=http://127.0.0.1:9"])
    tracking.quiet_mlflow()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(RegistryError, match=r"http://127\.0\.0\.1:9"):
            tracking.initialise(settings)


def test_a_server_that_stumbles_is_asked_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers of 503, then the right one; after more the end is clear, and names the address."""
    asked: list[str] = []

    class Stumbling(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = b'{"experiment": {"experiment_id": "7", "name": "thorax", "lifecycle_stage": "active"}}'
            self.send_response(503 if len(asked) <= 2 or len(asked) > 3 else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    server = HTTPServer(("127.0.0.1", 0), Stumbling)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        assert tracking.initialise(load(home, [f"registry.tracking_uri={url}"])) == "7"
        assert len(asked) == 3
        with pytest.raises(RegistryError, match=url):
            tracking.initialise(load(home, [f"registry.tracking_uri={url}", "registry.experiment=other"]))
        assert len(asked) == 3 + 1 + 3
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Screen:
    def __init__(self) -> None:
        self.progressed: list[tuple[float, float, str]] = []
        self.warned: list[str] = []
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: float, total: float, text: str = "") -> None:
        self.progressed.append((done, total, text))

    def warn(self, text: str) -> None:
        self.warned.append(text)


def test_a_training_is_followed_epoch_by_epoch(settings: Settings) -> None:
    screen = Screen()
    with live_run(settings, "custom_cnn", "key", screen) as tell:
        for epoch in (1, 2, 3):
            curve = {"epoch": epoch, "train_loss": 1.0 - epoch / 10, "validation_auroc": float("nan"), "note": "text"}
            tell({"epoch": epoch, "epochs": 3, "curve": curve, "eta_seconds": 12.4})
    assert screen.said[1] == "epoch 2/3: loss 0.8000, 12 s left"
    run = tracking.client(settings).get_run(tell.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"train_loss": 0.7}
    steps = [metric.step for metric in tracking.client(settings).get_metric_history(tell.run_id, "train_loss")]
    assert steps == [1, 2, 3]
    assert [done for done, _, _ in screen.progressed] == [1, 2, 3]


def test_an_interrupted_training_goes_on_in_its_own_run_and_a_finished_one_does_not(settings: Settings) -> None:
    with pytest.raises(ValueError, match="broke"), live_run(settings, "custom_cnn", "key") as tell:
        raise ValueError("broke")
    client = tracking.client(settings)
    assert client.get_run(tell.run_id).info.status == "FAILED"
    assert open_child(settings, "custom_cnn", "another") != tell.run_id
    with live_run(settings, "custom_cnn", "key") as again:
        assert again.run_id == tell.run_id
    with live_run(settings, "custom_cnn", "key") as anew:
        assert anew.run_id != tell.run_id


def test_training_goes_on_when_mlflow_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from thorax.registry import live

    def broken(*_: object) -> None:
        raise RegistryError("MLflow at x answered: no")

    screen = Screen()
    monkeypatch.setattr(live, "log_epoch", broken)
    with live_run(settings, "custom_cnn", "key", screen) as tell:
        for epoch in (1, 2):
            tell({"epoch": epoch, "curve": {"epoch": epoch, "train_loss": 1.0}})
    assert len(screen.warned) == 1
    assert "training goes on" in screen.warned[0]
    monkeypatch.setattr(live, "open_child", broken)
    with live_run(settings, "custom_cnn", "key", screen) as tell:
        tell({"epoch": 1, "curve": {"epoch": 0, "train_loss": 1.0}})
    assert tell.run_id == ""
