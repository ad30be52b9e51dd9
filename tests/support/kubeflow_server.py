"""A stand-in for a Kubeflow cluster: the paths of its published API, every request checked against the API's models.

It keeps what it is sent, answers as the API says, and wants a token where one is set. It also answers for the part of
Kubernetes that lists pods and reads their logs.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import kfp_server_api
from kfp_server_api import models


def faults(value: Any, model: str) -> list[str]:
    """Return where a JSON value is not what the published API's model says."""
    if value is None:
        return []
    if model.startswith("list["):
        inner = model[5:-1]
        return [fault for item in value for fault in faults(item, inner)] if isinstance(value, list) else ["no list"]
    if model.startswith("dict(") or model == "object":
        return [] if isinstance(value, dict) else ["no object"]
    simple = {"str": str, "bool": bool, "int": int, "float": float, "datetime": str}
    if model in simple:
        # Kubeflow's JSON writes 64 bit integers as text; both are read.
        return [] if isinstance(value, (simple[model], int)) else [f"{value!r} is no {model}"]
    known = getattr(models, model)
    if hasattr(known, "allowable_values"):
        return [] if value in known.allowable_values else [f"{value!r} is not one of {known.allowable_values}"]
    names = {sent: known.openapi_types[own] for own, sent in known.attribute_map.items()}
    found = [f"{model} has no {key}" for key in value if key not in names]
    return found + [f"{key}: {text}" for key in value if key in names for text in faults(value[key], names[key])]


@dataclass
class Kubeflow:
    """What the stand-in knows and has seen."""

    host: str = ""
    token: str | None = None
    cookies: str | None = None
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    recurring: list[dict[str, Any]] = field(default_factory=list)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def end(self, run_id: str, state: str, tasks: list[dict[str, Any]]) -> None:
        """Let a run be over."""
        run = next(run for run in self.runs if run["run_id"] == run_id)
        run |= {"state": state, "run_details": {"task_details": tasks}}


_CREATES = {
    "/apis/v2beta1/experiments": ("V2beta1Experiment", "experiments", "experiment_id"),
    "/apis/v2beta1/runs": ("V2beta1Run", "runs", "run_id"),
    "/apis/v2beta1/recurringruns": ("V2beta1RecurringRun", "recurring", "recurring_run_id"),
}


def _handler(state: Kubeflow) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, code: int, body: Any) -> None:
            raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def admitted(self) -> bool:
            state.asked.append(f"{self.command} {self.path}")
            if state.token and self.headers.get("authorization") != f"Bearer {state.token}":
                self.answer(401, {"error": "token expired"})
                return False
            if state.cookies and self.headers.get("cookie") != state.cookies:
                self.answer(403, {"error": "log in"})
                return False
            return True

        def do_GET(self) -> None:
            if not self.admitted():
                return
            url = urlparse(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            parts = url.path.strip("/").split("/")
            if url.path == "/apis/v2beta1/healthz":
                self.answer(200, {"multi_user": False})
            elif url.path == "/apis/v2beta1/experiments":
                self.answer(200, {"experiments": state.experiments})
            elif url.path == "/apis/v2beta1/runs":
                chosen = [r for r in state.runs if r["experiment_id"] == query.get("experiment_id")][::-1]
                self.answer(200, {"runs": chosen[: int(query.get("page_size", 10))]})
            elif url.path == "/apis/v2beta1/recurringruns":
                self.answer(200, {"recurringRuns": state.recurring})
            elif url.path.startswith("/apis/v2beta1/runs/"):
                found = [run for run in state.runs if run["run_id"] == parts[-1]]
                self.answer(200, found[0]) if found else self.answer(404, {"error": "no such run"})
            elif parts[-1] == "pods":
                wanted = query["labelSelector"].split("=")[1]
                items = [
                    {"metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}}
                    for name, pod in state.pods.items()
                    if pod["run_id"] == wanted
                ]
                self.answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
            elif parts[-1] == "log":
                self.answer(200, state.pods[parts[-2]]["log"])
            else:
                self.answer(404, {"error": self.path})

        def do_POST(self) -> None:
            if not self.admitted():
                return
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlparse(self.path).path
            if url.endswith(":terminate"):
                run_id = url.split("/")[-1].removesuffix(":terminate")
                state.end(run_id, "CANCELED", [])
                self.answer(200, {})
                return
            model, shelf, key = _CREATES[url]
            body = json.loads(raw)
            wrong = faults(body, model)
            if wrong:
                state.refused += wrong
                self.answer(400, {"error": "; ".join(wrong)})
                return
            made = {**body, key: f"{shelf}-{len(getattr(state, shelf)) + 1}"}
            if shelf == "recurring":
                made["status"] = "ENABLED"
            getattr(state, shelf).append(made)
            self.answer(200, made)

        def do_DELETE(self) -> None:
            if not self.admitted():
                return
            gone = self.path.split("/")[-1]
            state.recurring = [one for one in state.recurring if one["recurring_run_id"] != gone]
            self.answer(200, {})

    return Handler


@contextmanager
def kubeflow() -> Iterator[Kubeflow]:
    """Start the stand-in on a free port; gives what it knows and sees."""
    assert kfp_server_api.__version__.startswith("2")
    state = Kubeflow()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.host = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
