"""What is written down of requests and decisions, and that a change to it shows."""

import json
import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving.runtime import Runtime
from serving.security import journals
from serving.security.journals import AccessLog, AuditLog, forget
from thorax.errors import InputError
from thorax.prediction import now


def test_the_access_log_says_who_asked_what_and_which_version_answered(
    client: TestClient, phantom: bytes, runtime: Runtime
) -> None:
    answer = client.post("/predict", files={"file": ("Jane_Doe.png", phantom)})
    client.post("/predict", files={"file": b"no image"})
    client.get("/patients/Jane%20Doe?name=Jane")
    client.get("/livez")
    lines = list(AccessLog(runtime.access).read())
    assert [(line["route"], line["status"]) for line in lines] == [("/predict", 200), ("/predict", 400), ("other", 404)]
    first = lines[0]
    assert first["request_id"] == answer.headers["x-request-id"]
    assert first["version"] == answer.headers["x-model-version"] == "7"
    assert first["caller"] == "address:testclient"
    assert first["ms"] > 0
    written = "".join(path.read_text() for path in runtime.access.iterdir())
    assert "Jane" not in written


def test_feedback_and_what_it_is_of_stand_in_the_audit_log(
    client: TestClient, phantom: bytes, runtime: Runtime
) -> None:
    request_id = client.post("/predict", files={"file": phantom}).json()["request_id"]
    client.post("/feedback", json={"request_id": request_id, "findings": {"Edema": True}, "role": "physician"})
    (line,) = AuditLog(runtime.audit).read()
    assert (line["action"], line["of"], line["role"], line["findings"]) == (
        "feedback",
        request_id,
        "physician",
        ["Edema"],
    )


def test_a_line_that_was_changed_or_removed_shows(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    for number in range(4):
        log.write("key.create", key=str(number))
    assert [line["key"] for line in log.read()] == ["0", "1", "2", "3"]
    whole = log.path.read_text().splitlines(keepends=True)
    for damaged in (
        [whole[0], whole[1].replace('"1"', '"9"'), *whole[2:]],
        [whole[0], *whole[2:]],
        [whole[1], whole[0], *whole[2:]],
    ):
        log.path.write_text("".join(damaged))
        with pytest.raises(InputError, match="was changed, or one before it was removed"):
            log.read()


def test_what_a_killed_process_left_of_a_line_ends_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write("a")
    with log.path.open("a") as stream:
        stream.write('{"action": "b", "ti')
    log.write("c")
    assert [line["action"] for line in log.read()] == ["a", "c"]


def _write(path: Path, count: int) -> None:
    for number in range(count):
        AuditLog(path).write("feedback", number=number)


def test_processes_that_write_at_once_keep_the_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(tmp_path / "audit.jsonl", 25)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(AuditLog(tmp_path / "audit.jsonl").read()) == 75


def test_old_access_logs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AccessLog(tmp_path)
    today = now()
    for days in (40, 20, 0):
        monkeypatch.setattr(journals, "now", lambda days=days: today - timedelta(days=days))
        log.write({"days": days})
    assert len(list(tmp_path.iterdir())) == 3
    assert len(forget(log, timedelta(days=30), dry_run=True)) == 1
    forget(log, timedelta(days=30))
    assert [line["days"] for line in log.read()] == [20, 0]
    assert [line["days"] for line in log.read(today - timedelta(days=1))] == [0]


def test_a_full_disk_does_not_end_the_access_log_s_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    log = AccessLog(tmp_path)
    monkeypatch.setattr(journals.os, "write", full)
    log.write({"status": 200})


@pytest.mark.parametrize("policy", ["refuse", "answer"])
def test_a_full_disk_refuses_or_says_that_the_answer_is_not_logged(
    runtime: Runtime,
    sample_bundle: Path,
    start: Callable[[], TestClient],
    phantom: bytes,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
) -> None:
    from serving.pointer import Pointer, write_pointer
    from thorax.errors import RoomError
    from thorax.prediction_log import PredictionLog

    def full(*_: object) -> None:
        raise RoomError("The disk is full.", "Free some space.")

    write_pointer(runtime.pointer, Pointer(bundle=sample_bundle))
    runtime.model_copy(update={"log_full": policy}).write(runtime.folder / "runtime.json")
    client = start()
    monkeypatch.setattr(PredictionLog, "write", full)
    answer = client.post("/predict", files={"file": phantom})
    line = json.loads(next(runtime.access.iterdir()).read_text())
    if policy == "refuse":
        assert (answer.status_code, line["status"]) == (507, 507)
    else:
        assert answer.status_code == 200
        assert answer.headers["x-thorax-logged"] == "no"
        assert line["unlogged"]
        from prometheus_client import REGISTRY

        assert REGISTRY.get_sample_value("thorax_unlogged_total") == 1
