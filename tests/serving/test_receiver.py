"""A signed message of MLflow's wakes the publisher; anything else is refused and wakes nobody."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from serving import launch
from serving.receiver import Receiver
from thorax.errors import SettingsError
from thorax.registry.webhooks import SECRET, sign
from thorax.settings import load

_SECRET = "a secret of some length"


@pytest.fixture
def listening(home: Path) -> Iterator[SimpleNamespace]:
    woken: list[float] = []
    settings = load(home, ["serve.webhook_port=0"])
    receiver = Receiver(settings, _SECRET, ("champion",), lambda: woken.append(time.monotonic()))
    yield SimpleNamespace(address=receiver.address, woken=woken)
    receiver.close()


def message(alias: str = "champion", secret: str = _SECRET, moment: int | None = None) -> dict:
    """What httpx sends of an alias that was moved."""
    event = {
        "entity": "model_version_alias",
        "action": "created",
        "data": {"name": "thorax", "alias": alias, "version": "3"},
    }
    body = json.dumps(event).encode()
    at = str(int(time.time()) if moment is None else moment)
    headers = {"X-MLflow-Delivery-Id": "1", "X-MLflow-Timestamp": at}
    return {"content": body, "headers": headers | {"X-MLflow-Signature": sign(secret, "1", at, body)}}


def test_a_moved_champion_wakes_the_publisher(listening: SimpleNamespace) -> None:
    assert httpx.post(listening.address, **message()).json() == {"taken": True}
    assert len(listening.woken) == 1
    assert httpx.post(listening.address, **message(alias="staging")).status_code == 200
    assert len(listening.woken) == 1


@pytest.mark.parametrize(
    "request_",
    [message(secret="another secret of length"), message(moment=1_000_000), {"content": b"{}"}],
    ids=["wrong secret", "an old clock", "unsigned"],
)
def test_what_is_not_believed_wakes_nobody(listening: SimpleNamespace, request_: dict) -> None:
    answer = httpx.post(listening.address, **request_)
    assert answer.status_code == 401
    assert len(answer.json()["error"]) > 10
    assert listening.woken == []


def test_other_addresses_and_huge_messages_are_refused(listening: SimpleNamespace) -> None:
    assert httpx.post(listening.address + "/more", **message()).status_code == 404
    assert httpx.post(listening.address, content=b"a" * 100_000).status_code == 413
    host, port = listening.address.removeprefix("http://").split("/")[0].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(b"POST /registry HTTP/1.1\r\nContent-Length: many\r\n\r\n")
        assert b" 413 " in line.recv(100)
    assert listening.woken == []


def test_a_port_without_a_secret_is_refused_at_the_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET, raising=False)
    with pytest.raises(SettingsError, match=SECRET):
        launch._listening(load(home, ["serve.webhook_port=0"]), SimpleNamespace())  # type: ignore[arg-type]
