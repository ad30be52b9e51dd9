"""The whole service as a person starts it: processes, ports, a swap under load, a kill, and a clean end."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from bundle_factory import make_bundle

from serving.launch import launched, running
from serving.pointer import Pointer, write_pointer
from serving.runtime import Runtime
from thorax.errors import BundleError, SettingsError
from thorax.prediction_log import count, log_path, read_log
from thorax.settings import load


def workers_of(supervisor: psutil.Process) -> list[psutil.Process]:
    """The processes that answer, found by what they run."""
    found = []
    for child in supervisor.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "_bentoml_impl.worker.service" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_a_folder_that_is_no_bundle_is_refused_before_anything_starts(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"), running(load(home), tmp_path):
        pass


def test_a_port_in_use_is_said(home: Path, sample_bundle: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"Port {port}"), running(load(home), sample_bundle, port):
            pass


@pytest.mark.slow
def test_swaps_under_load_lose_nothing(home: Path, sample_bundle: Path, tmp_path: Path) -> None:
    settings = load(home, ["serve.poll_seconds=0.1", "serve.threads=2"])
    other = make_bundle(tmp_path, seed=2)
    image = (sample_bundle / "examples" / "1-positive.png").read_bytes()
    pointer = Runtime.of(settings).pointer
    stop = threading.Event()
    with launched(settings, sample_bundle, port=0) as started:
        children = psutil.Process(started.processes["service"].pid).children(recursive=True)

        def load_on(_: int) -> list[tuple[int, str, float]]:
            answers = []
            with httpx.Client(base_url=started.address, timeout=30) as client:
                while not stop.is_set():
                    answer = client.post("/predict", files={"file": image})
                    body = answer.json()
                    answers.append((answer.status_code, body["model"]["version"], body["findings"][0]["probability"]))
            return answers

        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(load_on, i) for i in range(8)]
            for swap in range(6):
                bundle, version = ((other, "b"), (sample_bundle, "a"))[swap % 2]
                write_pointer(pointer, Pointer(bundle=bundle, version=version))
                time.sleep(0.4)
            stop.set()
            answers = [answer for job in jobs for answer in job.result()]
        figures = httpx.get(f"{started.address}/metrics").text
    assert {status for status, _, _ in answers} == {200}
    by_version: dict[str, set[float]] = {}
    for _, version, probability in answers:
        by_version.setdefault(version, set()).add(round(probability, 6))
    assert {"a", "b"} <= set(by_version)
    assert all(len(values) == 1 for values in by_version.values())  # no answer of a version by another's weights
    assert count(log_path(settings.var)) == len(answers)
    assert "thorax_model_swaps" in figures
    assert float(re.findall(r"thorax_scored_side_by_side (\d+)", figures)[0]) >= 2  # every thread had work
    assert 'thorax_stage_seconds_count{stage="decode"}' in figures
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_killed_at_any_moment_every_acknowledged_prediction_is_in_the_log(home: Path, sample_bundle: Path) -> None:
    settings = load(home, ["serve.workers=2"])
    image = (sample_bundle / "examples" / "1-positive.png").read_bytes()
    acknowledged: list[str] = []
    with launched(settings, sample_bundle, port=0) as started:
        supervisor = psutil.Process(started.processes["service"].pid)
        stop = threading.Event()

        def load_on(_: int) -> None:
            while not stop.is_set():
                try:
                    answer = httpx.post(f"{started.address}/predict", files={"file": image}, timeout=10)
                    if answer.status_code == httpx.codes.OK:
                        acknowledged.append(answer.json()["request_id"])
                except httpx.HTTPError:
                    time.sleep(0.05)

        with ThreadPoolExecutor(4) as pool:
            for i in range(4):
                pool.submit(load_on, i)
            try:
                time.sleep(0.7)
                workers_of(supervisor)[0].send_signal(signal.SIGKILL)
                time.sleep(0.7)  # the other worker goes on
                everyone = [supervisor, *supervisor.children(recursive=True)]
                for process in everyone:
                    process.send_signal(signal.SIGKILL)
            finally:
                stop.set()
    kept = read_log(log_path(settings.var))["request_id"]
    assert len(acknowledged) > 5
    assert set(acknowledged) <= set(kept)
    assert kept.is_unique


@pytest.mark.slow
def test_the_command_serves_and_ends_clean(home: Path, sample_bundle: Path, project: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "commands.main",
        "serve",
        "--port",
        "0",
        "--no-page",
        "--bundle",
        str(sample_bundle),
    ]
    environment = os.environ | {"PYTHONPATH": str(project), "COLUMNS": "200", "THORAX_HOME": str(home)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        # A shell's background job is born deaf to Ctrl-C; what is typed in a terminal is not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as shell:
        assert shell.stdout is not None
        said = ""
        for line in shell.stdout:
            said += line
            if "Serving thorax version" in line:
                break
        assert "http://127.0.0.1:" in said
        assert "synthetic phantoms" in said
        runtime = json.loads((home / "var" / "serving" / "runtime.json").read_text())
        assert runtime["threads"] >= 1
        children = psutil.Process(shell.pid).children(recursive=True)
        shell.send_signal(signal.SIGINT)
        assert shell.wait(timeout=20) == 130
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
