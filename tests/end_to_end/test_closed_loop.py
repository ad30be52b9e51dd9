"""The loop that closes by itself: a new scanner, the alarm, a retraining on confirmed cases, a new champion, and quiet.

All of it is real: the pipeline, DVC, MLflow, the service over HTTP, a kill in the midst. Only the radiographs are
phantoms, small ones, so that it takes minutes.
"""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest
from own_project import OwnProject

from thorax.settings import Settings, load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

FINDINGS = ("Effusion", "Cardiomegaly")
SETTINGS = {
    "data.findings": list(FINDINGS),
    "train.architectures": ["custom_cnn"],
    "train.epochs": 4,
    "train.warmup_epochs": 1,
    "train.threads": 1,
    "train.overrides": {},
    "preprocess.size": 64,
    "preprocess.workers": 1,
    "evaluation.bootstrap": 200,
    "registry.auto_promote": True,
    # Small phantoms and a short training: what the model is worth is not the point here, what happens to it is.
    "registry.gates.min_mean_auroc": 0.4,
    "registry.gates.min_auroc": 0.2,
    "registry.gates.max_ece": 1.0,
    "registry.gates.min_sensitivity": 0.0,
    "registry.gates.conformal_slack": 0.9,
    "registry.gates.challenger_margin": 0.3,
    "evaluation.max_gap": 1.0,
    "validation.min_positives": 2,
    "monitor.confirmed_dir": "put-aside",
    # One window in a thousand without drift alarms, so that none of the few here does by chance.
    "monitor.false_alarm_rate": 0.001,
    "monitor.min_rows": 200,
    "serve.poll_seconds": 0.5,
}
BASE, WINDOW, CONFIRMED = 400, 220, 440


class Hospital(OwnProject):
    """A project, its scanners and its readers."""

    def __init__(self, folder: Path, source: Path) -> None:
        super().__init__(folder, source, SETTINGS, patience=900)
        (folder / ".gitignore").write_text("/data\n/var\n/put-aside\n/scans\n")
        (folder / "put-aside").mkdir()
        self.make("data", BASE, seed=3)
        self.dvc("add", "-q", "data")
        self.commit("begin")

    @property
    def settings(self) -> Settings:
        return load(self.folder)

    def make(self, name: str, count: int, seed: int, scanner: str | None = None) -> Path:
        """Take radiographs of people whom nobody has seen before."""
        options = ["--count", str(count), "--size", "64", "--seed", str(seed), "--findings", ",".join(FINDINGS)]
        options += ["--shift", f"scanner={scanner}"] if scanner else []
        self.thorax("data", "make-phantom", "--out", name, "--workers", "1", *options)
        return self.folder / name

    def incidents(self) -> list[tuple[str, str]]:
        """Return version and state of every incident."""
        told = json.loads(self.thorax("monitor", "incidents", "--json").out)
        return [(item["version"], item["state"]) for item in told]

    def interrupted(self, step: str) -> None:
        """Start a monitoring run, and end it without mercy while a step of its retraining is at work."""
        command = self.command("monitor", "run", "--quick")
        log = (self.folder / "killed.log").open("w")
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 700
        while not self.at_work(step, run=2):
            assert process.poll() is None, (self.folder / "killed.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()


class Reading:
    """The service, and those who send it radiographs."""

    def __init__(self, address: str) -> None:
        self.address = address

    def send(self, folder: Path) -> dict[str, str]:
        """Send every image of a dataset; return file name → request id."""
        import httpx

        images = sorted((folder / "images").glob("*.png"))
        with httpx.Client(base_url=self.address, timeout=120) as client, ThreadPoolExecutor(2) as pool:

            def ask(path: Path) -> str:
                answer = client.post("/predict", files={"file": ("image.png", path.read_bytes(), "image/png")})
                assert answer.status_code == 200, answer.text
                return str(answer.json()["request_id"])

            return dict(zip((path.name for path in images), pool.map(ask, images), strict=True))

    def confirm(self, folder: Path, requests: dict[str, str], aside: Path) -> None:
        """Say what a radiologist sees on each image, and put the images aside, a folder a patient."""
        import httpx

        (table,) = folder.glob("Data_Entry_2017*.csv")
        rows = pd.read_csv(table).set_index("Image Index")
        with httpx.Client(base_url=self.address, timeout=120) as client:
            for name, request in requests.items():
                seen = str(rows.loc[name, "Finding Labels"]).split("|")
                body = {"request_id": request, "findings": {f: f in seen for f in FINDINGS}, "role": "radiologist"}
                answer = client.post("/feedback", json=body)
                assert answer.status_code == 200, answer.text
                place = aside / f"patient-{rows.loc[name, 'Patient ID']}"
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / "images" / name, place / f"{request}.png")

    def version(self) -> str:
        import httpx

        return str(httpx.get(f"{self.address}/model", timeout=60).json()["model"]["version"])


@contextmanager
def served(hospital: Hospital) -> Iterator[Reading]:
    from serving.launch import running

    with running(hospital.settings) as address:
        yield Reading(address)


def test_the_loop_closes(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    hospital = Hospital(tmp_path, Path(request.config.rootpath))
    first = json.loads(hospital.thorax("pipeline", "run", "--reason", "first", "--json").out)
    assert (first["version"], "champion" in first["aliases"]) == ("1", True)
    pointer = hospital.git("show", "HEAD:data.dvc")

    with served(hospital) as reading:
        # The scanner that the model was trained on: nothing to report.
        reading.send(hospital.make("scans/usual", WINDOW, seed=20))
        quiet = json.loads(hospital.thorax("monitor", "run", "--quick", "--json").out)
        assert quiet["status"] in ("quiet", "warning"), quiet
        assert quiet["action"] == "nothing"

        # Another scanner is installed. Readers confirm what they see, and the radiographs are put aside.
        fresh = hospital.make("scans/new", CONFIRMED, seed=30, scanner="film")
        requests = reading.send(fresh)
        reading.confirm(fresh, requests, hospital.folder / "put-aside")

        # The alarm starts a retraining, which is killed while it trains. The next run goes on with it.
        hospital.interrupted("train")
        assert hospital.incidents() == [("1", "open")]
        closed = json.loads(hospital.thorax("monitor", "run", "--quick", "--json").out)
        assert (closed["rows"], closed["action"]) == (0, "resume"), "nothing is judged or begun twice"
        assert closed["retraining"]["outcome"] == "version 2 is champion"
        assert closed["retraining"]["done"]["revise"]["added"] == CONFIRMED

        # The service takes it up by itself.
        deadline = time.monotonic() + 120
        while reading.version() != "2":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        reading.send(hospital.make("scans/later", WINDOW, seed=40, scanner="film"))
        after = json.loads(hospital.thorax("monitor", "run", "--quick", "--json").out)
        assert (after["version"], after["action"]) == ("2", "nothing")
        assert after["status"] in ("quiet", "warning"), after

    assert hospital.incidents() == [("1", "closed")], "another version answers now"
    # One retraining, one new version, one data revision, whose model was tested on both scanners.
    (told,) = json.loads(hospital.thorax("monitor", "retrainings", "--json").out)
    assert told["failures"] == []
    versions = {item["version"]: item for item in json.loads(hospital.thorax("models", "list", "--json").out)}
    assert set(versions) == {"1", "2"}
    assert versions["2"]["lineage"]["data_revision"] == told["done"]["revise"]["revision"]
    assert hospital.git("rev-list", "--count", "main..thorax/confirmed-cases") == "1"
    assert told["done"]["revise"]["revision"] in hospital.git("show", "thorax/confirmed-cases:data.dvc")
    assert hospital.git("show", "HEAD:data.dvc") == pointer, "the checked-out branch is left alone"
    gate = next(gate for gate in versions["2"]["gates"] if gate["name"] == "champion")
    assert gate["passed"], gate
    tested = int(versions["2"]["facts"]["test_images"])
    assert tested - int(versions["1"]["facts"]["test_images"]) == pytest.approx(0.15 * CONFIRMED, abs=20)
    assert f"on {tested} images" in gate["note"], "of both scanners, and nobody's whom either has learnt from"
    deadline = time.monotonic() + 60
    while leftovers := [
        p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or ())
    ]:
        assert time.monotonic() < deadline, leftovers
        time.sleep(0.2)
