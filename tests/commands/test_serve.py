"""`thorax serve` refuses what cannot work before it starts anything."""

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands.serve import app
from thorax.errors import BundleError, SettingsError


@pytest.fixture(autouse=True)
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THORAX_HOME", str(home))


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--bundle", str(tmp_path), "--port", "0"])
    assert isinstance(done.exception, BundleError)
    assert "bundle.json" in str(done.exception)


def test_a_port_in_use(sample_bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["--bundle", str(sample_bundle), "--port", str(port)])
    assert isinstance(done.exception, SettingsError)
    assert "--port" in done.exception.mend


def test_a_wrong_setting() -> None:
    done = CliRunner().invoke(app, ["-S", "serve.workerz=2"])
    assert isinstance(done.exception, SettingsError)
    assert "workers" in str(done.exception)
