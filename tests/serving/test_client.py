"""The client says what went wrong, waits where it is told to, and believes no stranger's certificate."""

from pathlib import Path

import httpx
import pytest

from serving.client import Client, ServiceError
from thorax.errors import InputError


def talking(monkeypatch: pytest.MonkeyPatch, answers: list[httpx.Response], **given: object) -> Client:
    """A client of a service that gives these answers, one after another, and keeps what it was asked."""
    client = Client("http://service/", **given)
    client.asked = []  # type: ignore[attr-defined]

    def answer(request: httpx.Request) -> httpx.Response:
        client.asked.append(request)  # type: ignore[attr-defined]
        return answers.pop(0)

    headers = client._http.headers
    monkeypatch.setattr(
        client, "_http", httpx.Client(base_url="http://service", transport=httpx.MockTransport(answer), headers=headers)
    )
    return client


def test_a_refusal_becomes_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"error": "It is empty.", "mend": "Send an image."}
    client = talking(monkeypatch, [httpx.Response(400, json=said), httpx.Response(507, json=said)])
    with pytest.raises(InputError) as told:
        client.predict(b"")
    assert (told.value.message, told.value.mend) == ("It is empty.", "Send an image.")
    with pytest.raises(ServiceError):
        client.predict(b"")
    broken = talking(monkeypatch, [httpx.Response(502, text="<html>Bad gateway</html>")])
    with pytest.raises(ServiceError, match="answered 502"):
        broken.model()


def test_it_waits_as_long_as_it_is_told_and_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    later = {"error": "Too many requests.", "mend": ""}
    busy = httpx.Response(429, json=later, headers={"retry-after": "0"})
    done = httpx.Response(200, json={"request_id": "a", "kept": 1})
    patient = talking(monkeypatch, [busy, busy, done], patience=5.0)
    assert patient.feedback("a", {"Edema": True}).kept == 1
    hasty = talking(monkeypatch, [busy])
    with pytest.raises(ServiceError, match="Too many"):
        hasty.feedback("a", {"Edema": True})
    long = talking(monkeypatch, [httpx.Response(503, json=later, headers={"retry-after": "3600"})], patience=1.0)
    with pytest.raises(ServiceError):
        long.model()


def test_it_shows_its_key_and_no_file_s_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    film = tmp_path / "Jane_Doe.dcm"
    film.write_bytes(b"pixels")
    refused = httpx.Response(400, json={"error": "no", "mend": ""})
    client = talking(monkeypatch, [refused, refused], key="thorax_1_secret")
    for ask in (client.predict, lambda image: client.predict_batch([image])):
        with pytest.raises(InputError):
            ask(film)
    for request in client.asked:  # type: ignore[attr-defined]
        assert request.headers["authorization"] == "Bearer thorax_1_secret"
        assert b"pixels" in request.content
        assert b"Jane" not in request.content
    monkeypatch.setenv("THORAX_KEY", "from_the_environment")
    assert Client("http://service")._http.headers["authorization"] == "Bearer from_the_environment"


def test_nobody_at_home_is_said() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceError, match="does not answer"):
        client.model()
    with pytest.raises(InputError, match="no certificate"):
        Client("https://service", authority=Path("/nowhere.pem"))
