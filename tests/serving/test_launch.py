"""The whole service as a person starts it: processes, ports, a swap under load, a kill, and a clean end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed

from commands.bench.change import measure_kills, measure_swaps
from commands.bench.figures import Figure
from serving import launch
from serving.launch import StartError, launched, running
from thorax.errors import BundleError, SettingsError
from thorax.settings import load


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


def test_the_page_has_the_port_after_the_services_where_it_can() -> None:
    import socket

    from serving.launch import _free_port, _next_or_free

    host = "127.0.0.1"
    with socket.socket() as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert _next_or_free(host, port - 1) != port  # somebody has it
    assert _next_or_free(host, port - 1) == port
    assert _next_or_free(host, 65535) > 0
    assert _free_port(host) > 0


@pytest.mark.slow
def test_a_machine_with_ipv6_alone_has_service_and_page(home: Path, sample_bundle: Path) -> None:
    import httpx

    with launched(load(home, ["serve.host=::1"]), sample_bundle, 0, page=True) as started:
        assert started.page is not None
        assert started.address.startswith("http://[::1]:")
        assert httpx.get(f"{started.address}/readyz").status_code == httpx.codes.OK
        for attempt in Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.3), reraise=True):
            with attempt:
                started.check()
                httpx.get(started.page, timeout=30).raise_for_status()


def test_a_host_that_is_not_here_is_said(home: Path, sample_bundle: Path) -> None:
    with (
        pytest.raises(SettingsError, match="nowhere"),
        running(load(home, ["serve.host=nowhere.invalid"]), sample_bundle),
    ):
        pass


def failed(figures: list[Figure], but: str = "p99") -> list[Figure]:
    """The figures that are not as they should be; times are for a quiet machine to judge."""
    return [one for one in figures if one.good is False and but not in one.what]


def test_a_service_that_does_not_start_says_why(home: Path, sample_bundle: Path, monkeypatch) -> None:
    monkeypatch.setattr(launch, "_tied", lambda: [sys.executable, "-c", "import nowhere"])
    with (
        pytest.raises(StartError, match=r"(?s)service ended with exit code 1.*No module named 'nowhere'"),
        running(load(home), sample_bundle),
    ):
        pass
    monkeypatch.setattr(launch, "_tied", lambda: ["sh", "-c", "kill -9 $$"])
    with (
        pytest.raises(StartError, match=r"was killed .SIGKILL., probably because memory ran out"),
        running(load(home), sample_bundle),
    ):
        pass


@pytest.mark.slow
def test_swaps_under_load_fail_nobody_and_mix_up_nothing(home: Path, sample_bundle: Path) -> None:
    files = sorted((sample_bundle / "examples").glob("*.png"))[:2]
    settings = load(home, ["serve.threads=2"])
    figures = {one.what: one for one in measure_swaps(settings, sample_bundle, files, clients=8, seconds=1, swaps=3)}
    assert failed(list(figures.values())) == []
    assert figures["answers meanwhile, 8 clients"].found > 8


@pytest.mark.slow
def test_killed_at_any_moment_every_acknowledged_prediction_is_in_the_log(home: Path, sample_bundle: Path) -> None:
    image = (sample_bundle / "examples" / "1-positive.png").read_bytes()
    figures = measure_kills(load(home), sample_bundle, image, clients=4, kills=3)  # two workers, then everything
    assert failed(figures) == []


@contextlib.contextmanager
def served_by_command(home: Path, sample_bundle: Path, project: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a person types it, and what it said until it served."""
    command = [sys.executable, "-m", "commands.main", "serve", "--port", "0", "--no-page"]
    environment = os.environ | {"PYTHONPATH": str(project), "COLUMNS": "200", "THORAX_HOME": str(home)}
    with subprocess.Popen(
        [*command, "--bundle", str(sample_bundle)],
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
        yield shell, said


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_the_command_serves_and_ends_clean(home: Path, sample_bundle: Path, project: Path) -> None:
    with served_by_command(home, sample_bundle, project) as (shell, said):
        assert "http://127.0.0.1:" in said
        assert "synthetic phantoms" in said
        runtime = json.loads((home / "var" / "serving" / "runtime.json").read_text())
        assert runtime["threads"] >= 1
        children = psutil.Process(shell.pid).children(recursive=True)
        shell.send_signal(signal.SIGINT)
        assert shell.wait(timeout=20) == 130
    assert alive(children) == []


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_no_orphans(home: Path, sample_bundle: Path, project: Path) -> None:
    with served_by_command(home, sample_bundle, project) as (shell, _):
        children = psutil.Process(shell.pid).children(recursive=True)
        assert len(children) >= 2  # the supervisor and its worker
        shell.kill()
        psutil.wait_procs(children, timeout=60)
        assert alive(children) == []
