"""A service whose log is in PostgreSQL keeps the same promise, and says so when the database is away."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from postgres import postgres
from starlette.testclient import TestClient

from serving.pointer import Pointer, write_pointer
from serving.runtime import Runtime
from thorax.prediction_log import read_feedback, read_log

pytestmark = pytest.mark.slow


def test_an_answer_leaves_when_the_database_holds_it_and_not_before(
    runtime: Runtime, sample_bundle: Path, start: Callable[[], TestClient], phantom: bytes
) -> None:
    write_pointer(runtime.pointer, Pointer(bundle=sample_bundle, version="7"))
    with postgres() as address:
        runtime.model_copy(update={"log": address}).write(runtime.folder / "runtime.json")
        assert (runtime.folder / "runtime.json").stat().st_mode & 0o077 == 0
        client = start()
        kept = [client.post("/predict", files={"file": phantom}).json()["request_id"] for _ in range(3)]
        assert read_log(address)["request_id"].tolist() == kept
        body = {"request_id": kept[0], "findings": {"Edema": True}, "role": "radiologist"}
        assert client.post("/feedback", json=body).json()["kept"] == 1
        assert read_feedback(address)["finding"].tolist() == ["Edema"]
        with psycopg.connect(address.rpartition("/")[0] + "/postgres", autocommit=True) as admin:
            admin.execute("ALTER DATABASE thorax WITH ALLOW_CONNECTIONS false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'thorax'")
            answer = client.post("/predict", files={"file": phantom})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "cannot be used" in answer.json()["error"]
            admin.execute("ALTER DATABASE thorax WITH ALLOW_CONNECTIONS true")
        kept.append(client.post("/predict", files={"file": phantom}).json()["request_id"])
        assert read_log(address)["request_id"].tolist() == kept
