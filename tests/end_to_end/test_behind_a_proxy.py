"""The whole loop behind a hospital's proxy, which nobody told that this machine is to be reached without it.

The proxy refuses everything and keeps whom it was asked for: what the project's processes say to each other never gets
there, and none of them asks for anything outside.
"""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow_server import end, free_port
from own_project import OwnProject
from recording_proxy import VARIABLES, Proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SETTINGS = {
    "data.phantom.count": 160,
    "data.phantom.size": 64,
    "train.architectures": ["custom_cnn"],
    "train.epochs": 1,
    "train.warmup_epochs": 0,
    "train.threads": 1,
    "train.overrides": {},
    "preprocess.size": 48,
    "preprocess.workers": 1,
    "evaluation.bootstrap": 60,
    "registry.gates.min_mean_auroc": 0.0,
    "registry.gates.min_auroc": 0.0,
    "registry.gates.max_ece": 1.0,
    "registry.gates.min_sensitivity": 0.0,
    "registry.gates.conformal_slack": 0.9,
    "evaluation.max_gap": 1.0,
    "validation.min_positives": 2,
    "monitor.resamples": 200,
}


class Behind(OwnProject):
    """A project in a shell that names the proxy."""

    def __init__(self, folder: Path, source: Path, proxy: str) -> None:
        self._proxy = proxy
        super().__init__(folder, source, SETTINGS)
        (folder / ".gitignore").write_text("/data\n/var\n")
        self.commit("begin")

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | dict.fromkeys(VARIABLES, self._proxy)

    @contextmanager
    def started(self, *arguments: str, until: str) -> Iterator[None]:
        """Run a command that stays, and wait until an address answers."""
        log = self.folder / f"{arguments[0]}.txt"
        with log.open("w") as told:
            process = subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=told,
                stderr=told,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + 200
            while True:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                try:
                    urllib.request.urlopen(until, timeout=5).close()  # the tests' own environment names no such proxy
                    break
                except OSError:
                    time.sleep(0.3)
            yield
        finally:
            end(process)


def test_the_loop_needs_nothing_of_the_proxy(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with Proxy() as proxy:
        project = Behind(tmp_path, Path(request.config.rootpath), proxy.url)
        shown = json.loads(project.thorax("demo", "--json").out)
        assert shown["answers"] == 320
        image = str(next((tmp_path / "data" / "images").glob("*.png")))

        port = free_port()
        service = f"http://127.0.0.1:{port}"
        page = free_port()
        with project.started("serve", f"--port={port}", f"--page-port={page}", until=f"{service}/readyz"):
            assert "Effusion" in project.thorax("predict", image, "--url", service, "--json").out
            urllib.request.urlopen(f"http://127.0.0.1:{page}/", timeout=60).close()

        port = free_port()
        mlflow = f"http://127.0.0.1:{port}"
        with project.started("models", "ui", f"--port={port}", until=f"{mlflow}/health"):
            # As in a team: the registry is a server, here the one just started.
            listed = project.thorax("models", "list", "--json", "-S", f"registry.tracking_uri={mlflow}").out
            assert [version["version"] for version in json.loads(listed)] == ["1"]
            project.thorax("monitor", "report", "-S", f"registry.tracking_uri={mlflow}")
        assert proxy.asked == []
