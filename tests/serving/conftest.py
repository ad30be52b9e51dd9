"""A service in this process, for tests that need no second one."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving.pointer import Pointer, write_pointer
from serving.runtime import VARIABLE, Runtime
from thorax.settings import load


@pytest.fixture
def runtime(home: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """What a worker is told, written where it looks."""
    made = Runtime.of(load(home)).model_copy(update={"poll_seconds": 0.05, "max_upload_bytes": 1 << 20})
    made.write(made.folder / "runtime.json")
    monkeypatch.setenv(VARIABLE, str(made.folder / "runtime.json"))
    return made


@pytest.fixture
def start(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], TestClient]]:
    """Start the service's application here and return a client of it."""
    os.environ.setdefault("BENTOML_HOME", str(tmp_path_factory.mktemp("bentoml")))
    from prometheus_client import REGISTRY

    from serving.service import Thorax

    clients: list[TestClient] = []
    before = set(REGISTRY._collector_to_names)

    def begin() -> TestClient:
        client = TestClient(Thorax.to_asgi(), raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield begin
    for client in clients:
        client.__exit__(None, None, None)
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)


@pytest.fixture
def client(runtime: Runtime, sample_bundle: Path, start: Callable[[], TestClient]) -> TestClient:
    """A client of a service that serves the sample bundle."""
    write_pointer(runtime.pointer, Pointer(bundle=sample_bundle, version="7"))
    return start()


@pytest.fixture
def phantom(sample_bundle: Path) -> bytes:
    """A PNG file of a phantom with a finding."""
    return (sample_bundle / "examples" / "1-positive.png").read_bytes()
