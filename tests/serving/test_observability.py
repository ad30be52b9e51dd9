"""What an operator sees: every stage on /metrics, a dashboard whose figures exist, and spans that make a trace."""

import contextvars
import json
import logging
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from bundle_factory import FINDINGS
from prometheus_client import generate_latest
from starlette.testclient import TestClient

from serving import tracing
from serving.call import Call, current
from serving.launch import launched
from serving.logs import JsonLines
from serving.pointer import Pointer, write_pointer
from serving.runtime import Runtime
from thorax.settings import load

_STAGES = ("queue", "decode", "preprocess", "network", "answer", "explain", "log")


def test_every_stage_and_every_kind_of_answer_is_counted(client: TestClient, phantom: bytes) -> None:
    assert client.post("/explain", files={"file": phantom}).status_code == 200
    client.post("/predict", files={"file": b"no image"})
    figures = generate_latest().decode()  # of this process; workers share theirs in files
    for stage in _STAGES:
        assert re.search(rf'thorax_stage_seconds_count\{{stage="{stage}"\}} [1-9]', figures), stage
    assert re.search(r"thorax_batch_size_count [1-9]", figures)
    assert re.search(r'thorax_predictions_total\{version="7"\} [1-9]', figures)
    assert re.search(r'thorax_model_serving\{version="7"\} 1', figures)
    assert re.search(r'thorax_refused_total\{status="400"\} [1-9]', figures)
    for finding in FINDINGS:
        assert re.search(rf'thorax_finding_answers_total\{{answer="\w+",finding="{finding}"\}} [1-9]', figures), finding


@pytest.mark.slow
def test_every_figure_of_the_dashboard_exists(sample_bundle: Path, home: Path, project: Path, tmp_path: Path) -> None:
    dashboard = json.loads((project / "deploy" / "grafana" / "thorax.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for one in expressions for name in re.findall(r"\b(?:thorax|bentoml)_[a-z0-9_]+", one)}
    assert len(asked) > 10
    settings = load(home, ["serve.shadow=true", "serve.poll_seconds=0.1"])
    phantom = (sample_bundle / "examples" / "1-positive.png").read_bytes()
    other = shutil.copytree(sample_bundle, tmp_path / "other")
    with launched(settings, sample_bundle, port=0) as started:
        pointer = Pointer(bundle=sample_bundle, version="7", challenger=other, challenger_version="8")
        write_pointer(Runtime.of(settings).pointer, pointer)
        httpx.post(f"{started.address}/predict", files={"file": b"no image"})
        deadline, missing = time.monotonic() + 60, asked
        while missing and time.monotonic() < deadline:
            httpx.post(f"{started.address}/explain", files={"file": phantom}, timeout=30).raise_for_status()
            found = httpx.get(f"{started.address}/metrics", timeout=30).text
            known = set(re.findall(r"^([a-z0-9_]+)[{ ]", found, re.MULTILINE))
            missing = asked - known
    assert missing == set()


def test_a_request_is_one_trace_of_its_stages_and_continues_the_callers(
    runtime: Runtime,
    sample_bundle: Path,
    start: Callable[[], TestClient],
    phantom: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    begin = tracing.start
    monkeypatch.setattr(tracing, "start", lambda endpoint: begin(endpoint, exporter))
    write_pointer(runtime.pointer, Pointer(bundle=sample_bundle, version="7"))
    client = start()
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = client.post("/explain", files={"file": phantom}, data={"age": "61"}, headers={"traceparent": caller})
    tracing._provider.force_flush()
    found = {span.name: span for span in exporter.get_finished_spans()}
    tracing.stop()
    root = found["POST /explain"]
    assert format(root.context.trace_id, "032x") == "0af7651916cd43dd8448eb211c80319c"
    assert root.attributes["thorax.request_id"] == answer.headers["x-request-id"]
    for stage in ("decode", "preprocess", "network", "answer", "explain", "log"):
        assert found[stage].context.trace_id == root.context.trace_id, stage
        assert found[stage].parent.span_id == root.context.span_id, stage
    # Not by looking for the digits: they also stand in ids.
    assert not {"61", 61} & {value for span in found.values() for value in span.attributes.values()}


def test_without_an_endpoint_nothing_is_traced() -> None:
    tracing.start(None)
    with tracing.span("decode") as one, tracing.request("GET", "/", "0", []) as two:
        assert (one, two) == (None, None)


def test_a_line_of_the_service_log_is_json_and_names_its_request() -> None:
    def line(message: str, level: int, error: BaseException | None = None) -> dict:
        trace = (type(error), error, error.__traceback__) if error else None
        record = logging.LogRecord("bentoml.thorax", level, "x.py", 1, message, (7,), trace)
        return json.loads(JsonLines().format(record))

    quiet = contextvars.Context().run(line, "Serving version %s", logging.INFO)
    assert (quiet["message"], quiet["level"], "request_id" in quiet) == ("Serving version 7", "info", False)
    token = current.set(Call(request_id="a" * 32))
    loud = line("Unexpected error %s", logging.ERROR, ValueError("inside"))
    current.reset(token)
    assert loud["request_id"] == "a" * 32
    assert "ValueError: inside" in loud["trace"]
