"""API keys: shown once, kept as digests, and what each of them opens."""

import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving.pointer import Pointer, write_pointer
from serving.runtime import VARIABLE, Runtime
from serving.security import keys as keys_module
from serving.security.keys import Keys
from thorax.errors import InputError
from thorax.prediction import now


@pytest.fixture
def keys(runtime: Runtime) -> Keys:
    return Keys(runtime.keys)


@pytest.fixture
def begin(
    runtime: Runtime, sample_bundle: Path, start: Callable[[], TestClient], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TestClient]:
    """Start a service with other limits, by default one that asks for keys."""

    def beginning(**limits: object) -> TestClient:
        write_pointer(runtime.pointer, Pointer(bundle=sample_bundle, version="7"))
        runtime.model_copy(update={"require_keys": True} | limits).write(runtime.folder / "runtime.json")
        monkeypatch.setenv(VARIABLE, str(runtime.folder / "runtime.json"))
        return start()

    return beginning


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_key_is_kept_as_a_digest_that_its_owner_alone_may_read(keys: Keys) -> None:
    key, token = keys.create("ris", ["predict"])
    kept = keys.path.read_text()
    assert token not in kept
    assert token.split("_", 2)[2] not in kept
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert keys.find(token) == key
    for wrong in ("", "thorax", token[:-1], token + "x", f"thorax_{key.id}_" + "A" * 43, "Bearer", "\udcff" * 5, "é"):
        assert keys.find(wrong) is None


def test_wrong_keys_are_not_made(keys: Keys) -> None:
    keys.create("ris", ["predict"])
    for arguments, said in (
        (("", ["predict"]), "name"),
        (("a\nb", ["predict"]), "name"),
        (("x", []), "scope"),
        (("x", ["predct"]), "Did you mean predict"),
        (("ris", ["predict"]), "valid key of the name"),
    ):
        with pytest.raises(InputError, match=said):
            keys.create(*arguments)
    with pytest.raises(InputError, match="rate"):
        keys.create("x", ["predict"], rate="many")
    with pytest.raises(InputError, match="day"):
        keys.create("x", ["predict"], days=0)
    keys.revoke("ris")
    keys.create("ris", ["predict"])  # the name is free again
    with pytest.raises(InputError, match="no key 'nobody'"):
        keys.revoke("nobody")


def test_without_a_key_nothing_is_read(begin: Callable[..., TestClient], phantom: bytes) -> None:
    client = begin()
    answer = client.post("/predict", files={"file": phantom})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "thorax serve keys create" in answer.json()["mend"]
    assert client.get("/model").status_code == client.get("/nothing").status_code == 401
    for route in ("/livez", "/readyz", "/docs.json", "/"):
        assert client.get(route).status_code == 200, route


def test_a_key_opens_what_its_scopes_say(begin: Callable[..., TestClient], keys: Keys, phantom: bytes) -> None:
    client = begin()
    _, predicts = keys.create("ris", ["predict"])
    _, says = keys.create("reader", ["feedback"])
    answer = client.post("/predict", files={"file": phantom}, headers=bearer(predicts))
    assert answer.status_code == 200
    assert client.post("/predict", files={"file": phantom}, headers={"x-api-key": predicts}).status_code == 200
    assert client.get("/model", headers=bearer(says)).status_code == 200
    refused = client.post("/predict", files={"file": phantom}, headers=bearer(says))
    assert (refused.status_code, refused.json()["error"]) == (
        403,
        "The API key has no scope predict; it has feedback.",
    )
    body = {"request_id": answer.json()["request_id"], "findings": {"Edema": True}}
    assert client.post("/feedback", json=body, headers=bearer(predicts)).status_code == 403
    assert client.post("/feedback", json=body, headers=bearer(says)).json()["kept"] == 1
    assert client.post("/feedback", json=body, headers=bearer(says)).json()["kept"] == 0  # sent twice, kept once


def test_a_revoked_or_expired_key_is_refused_at_once(
    begin: Callable[..., TestClient], keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = begin()
    _, token = keys.create("a", ["predict"])
    _, brief = keys.create("b", ["predict"], days=1)
    assert client.get("/model", headers=bearer(token)).status_code == 200
    keys.revoke("a")
    answer = client.get("/model", headers=bearer(token))
    assert (answer.status_code, "revoked" in answer.json()["error"]) == (401, True)
    assert client.get("/model", headers=bearer(brief)).status_code == 200
    monkeypatch.setattr(keys_module, "now", lambda: now() + timedelta(days=2))
    assert "expired" in client.get("/model", headers=bearer(brief)).json()["error"]
    assert "not known" in client.get("/model", headers=bearer("thorax_00000000_no")).json()["error"]


def test_a_damaged_file_of_keys_opens_nothing(begin: Callable[..., TestClient], keys: Keys) -> None:
    client = begin()
    _, token = keys.create("a", ["predict"])
    assert client.get("/model", headers=bearer(token)).status_code == 200
    keys.path.write_text("{")
    answer = client.get("/model", headers=bearer(token))
    assert answer.status_code == 401
    assert str(keys.path) not in answer.text


def test_admin_routes_need_an_admin_s_key_wherever_the_service_is(begin: Callable[..., TestClient], keys: Keys) -> None:
    client = begin(require_keys=False, open_metrics=False)
    _, plain = keys.create("a", ["predict"])
    _, admin = keys.create("b", ["admin"])
    for route in ("/admin/status", "/admin/audit", "/metrics"):
        assert client.get(route).status_code == 401
        assert client.get(route, headers=bearer(plain)).status_code == 403
        if route != "/metrics":  # BentoML's figures need processes of its own
            assert client.get(route, headers=bearer(admin)).status_code == 200
    status = client.get("/admin/status", headers=bearer(admin)).json()
    assert (status["version"], status["model_ready"], status["keys_valid"]) == ("7", True, 2)
    assert client.get("/admin/audit?limit=0", headers=bearer(admin)).status_code == 422
    assert "/" not in json.dumps(status["model_note"])
    assert client.get("/model").status_code == 200  # and all else is open here


def test_a_caller_that_asks_too_often_is_told_when_to_come_again(
    begin: Callable[..., TestClient], keys: Keys, phantom: bytes
) -> None:
    client = begin(require_keys=False, rate_limit="3/minute")
    _, slow = keys.create("slow", ["predict"], rate="1/minute")

    def ask(**headers: str) -> int:
        return client.post("/predict", files={"file": phantom}, headers=headers).status_code

    assert [ask() for _ in range(4)] == [200, 200, 200, 429]
    answer = client.post("/predict", files={"file": phantom})
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["error"] == "Too many requests: 3 a minute are allowed."
    assert client.get("/model").status_code == 200  # what costs nothing is not counted
    assert [ask(**bearer(slow)) for _ in range(2)] == [200, 429]  # of its own


def test_each_file_of_a_batch_counts(begin: Callable[..., TestClient], phantom: bytes) -> None:
    client = begin(require_keys=False, rate_limit="5/minute")
    files = [("file", phantom)] * 4
    assert client.post("/predict_batch", files=files).status_code == 200
    answer = client.post("/predict_batch", files=files)
    assert (answer.status_code, answer.headers["retry-after"].isdigit()) == (429, True)


def test_browsers_of_other_pages_are_kept_out_unless_named(begin: Callable[..., TestClient]) -> None:
    asked = {"origin": "https://ris.example.org", "access-control-request-method": "POST"}
    closed = begin(require_keys=False)
    assert "access-control-allow-origin" not in closed.options("/predict", headers=asked).headers
    assert "access-control-allow-origin" not in closed.get("/model", headers=asked).headers


def test_a_named_page_may_call(begin: Callable[..., TestClient]) -> None:
    client = begin(cors_origins=("https://ris.example.org",))
    asked = {"origin": "https://ris.example.org", "access-control-request-method": "POST"}
    assert client.options("/predict", headers=asked).headers["access-control-allow-origin"] == asked["origin"]
    assert client.get("/model", headers=asked).headers["access-control-allow-origin"] == asked["origin"]  # a 401
    other = asked | {"origin": "https://evil.example.org"}
    assert "access-control-allow-origin" not in client.options("/predict", headers=other).headers


def test_every_answer_has_the_headers_that_browsers_heed(begin: Callable[..., TestClient], phantom: bytes) -> None:
    client = begin(require_keys=False, tls=True)
    for answer in (
        client.post("/predict", files={"file": phantom}),
        client.post("/predict", files={"file": b""}),
        client.get("/nothing"),
    ):
        headers = answer.headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["strict-transport-security"] == "max-age=31536000"
        assert headers["x-request-id"]
    assert "'self'" in client.get("/").headers["content-security-policy"]
