"""The description of the API: BentoML's own, with our answers, refusals, keys and examples in it."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.contract import AdminStatus, AuditLines, BatchAnswer, Explanation, Feedback, FeedbackTaken, ModelReport
from serving.routes import route_of
from thorax import __version__
from thorax.prediction import Prediction

PATH = "/docs.json"
_REF = "#/components/schemas/{model}"
_ANSWERS: dict[str, type[BaseModel]] = {
    "/predict": Prediction,
    "/explain": Explanation,
    "/predict_batch": BatchAnswer,
    "/feedback": FeedbackTaken,
    "/model": ModelReport,
    "/admin/status": AdminStatus,
    "/admin/audit": AuditLines,
}
#: What each kind of refusal means; those of forms and scoring only where there are any.
_ALWAYS = {
    401: "No API key, or one that is unknown, expired or revoked.",
    403: "The API key lacks the required scope.",
    413: "The upload is too large.",
    500: "Internal error; the trace is in the service's log.",
    503: "No model, no prediction log, or too many queued requests: see Retry-After.",
}
_OF_BODIES = {
    400: "The image, the form or a value is invalid; the error names it.",
    408: "The upload took too long.",
    415: "Unsupported content type.",
    429: "Rate limit exceeded: see Retry-After.",
    504: "The request timed out.",
    507: "The disk of the prediction log is full. No result is returned without being logged.",
}
_REFUSAL = {
    "type": "object",
    "title": "Refusal",
    "required": ["error", "mend"],
    "properties": {
        "error": {"type": "string", "description": "The error."},
        "mend": {"type": "string", "description": "How to fix it; may be empty."},
    },
    "example": {"error": "The image: It is empty.", "mend": ""},
}
_EXAMPLE: dict[str, Any] = {
    "request_id": "3f0c7e0f5f0b4f0c9e2b7a54c1d2e3f4",
    "time": "2026-01-01T08:30:00.000Z",
    "model": {"name": "thorax", "version": "7", "architecture": "densenet121", "synthetic": True},
    "findings": [
        {
            "finding": "Effusion",
            "probability": 0.874,
            "answer": "present",
            "lower": 0.24,
            "upper": 0.66,
            "threshold": 0.31,
            "uncertainty": 0.55,
            "box": {"x": 0.55, "y": 0.62, "w": 0.3, "h": 0.25},
            "heat": None,
            "decision": True,
            "conformal": "present",
        }
    ],
    "refer": False,
    "refer_reasons": [],
    "novelty": {"score": 11.2, "cutoff": 25.4, "out": False},
    "image": {"kind": "DICOM", "width": 2048, "height": 2500, "bits": 12, "view": "PA", "age": 61.0, "sex": "F"},
    "summary": "Highest probability: effusion, 87% (present). …",
    "took_ms": 34.1,
}


def described(app: ASGIApp, spec: Callable[[], dict[str, Any]]) -> ASGIApp:
    """Answer at `PATH` with a description; everything else passes."""
    kept: list[bytes] = []

    async def describing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "GET":
            await app(scope, receive, send)
            return
        if not kept:
            kept.append(json.dumps(amend(spec())).encode())
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(kept[0])).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": kept[0]})

    return describing


def amend(spec: dict[str, Any]) -> dict[str, Any]:
    """Return BentoML's description with what it does not know.

    Args:
        spec: as BentoML makes it (OpenAPI 3.0); it is changed.
    """
    models = [*((model, "serialization") for model in _ANSWERS.values()), (Feedback, "validation")]
    _, definitions = models_json_schema(models, ref_template=_REF)  # type: ignore[arg-type]
    spec["openapi"] = "3.1.0"
    spec["info"] = {
        "title": "Thorax",
        "version": __version__,
        "description": "Finding probabilities for chest radiographs. Research software; not a medical device. No "
        "patient identifiers are stored.",
    }
    spec["tags"] = [
        {"name": "Service APIs", "description": "Predictions."},
        {"name": "Infrastructure", "description": "For operators."},
    ]
    schemas = spec.setdefault("components", {}).setdefault("schemas", {})
    for name in ("InvalidArgument", "NotFound", "InternalServerError", "TaskStatusResponse", "HTTPValidationError"):
        schemas.pop(name, None)
    schemas |= definitions["$defs"] | {"Refusal": _REFUSAL}
    schemas["Prediction"]["example"] = _EXAMPLE
    spec["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}}
    for path, methods in spec["paths"].items():
        for operation in methods.values():
            _describe(path, operation)
    return spec


def _describe(path: str, operation: dict[str, Any]) -> None:
    """Say what one operation answers, and what it needs."""
    route = route_of(path)
    answers = operation["responses"]
    for status in [status for status in answers if int(status) >= 400]:
        del answers[status]
    if path in _ANSWERS:
        schema = {"$ref": _REF.format(model=_ANSWERS[path].__name__)}
        content: dict[str, Any] = {"application/json": {"schema": schema}}
        if path == "/explain":
            binary = {"schema": {"type": "string", "format": "binary"}}
            content |= {"multipart/mixed": binary, "application/dicom": binary}
        # BentoML's keys are numbers, FastAPI's are text.
        answers.clear()
        answers["200"] = {"description": "Success.", "content": content}
    if path == "/feedback":
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REF.format(model="Feedback")}}},
        }
    if route.open and path != "/metrics":
        if path == "/readyz":
            answers["503"] = _refused(503)
        return
    refusals = _ALWAYS | (_OF_BODIES if route.takes else {})
    if path == "/admin/audit":
        refusals = refusals | {400: "The audit log was changed.", 422: "A wrong `limit`."}
    for status in sorted(refusals):
        answers[str(status)] = _refused(status, refusals[status])
    needs = f"A key with the scope {route.scope}." if route.scope else "Any valid key."
    operation["security"] = [{"key": []}] if route.scope == "admin" else [{}, {"key": []}]
    where = "" if route.scope == "admin" and path != "/metrics" else " Where keys are required:"
    operation["description"] = f"{operation.get('description', '')}\n\n{where.strip()} {needs}".strip()


def _refused(status: int, why: str = "") -> dict[str, Any]:
    schema = {"schema": {"$ref": _REF.format(model="Refusal")}}
    return {"description": why or HTTPStatus(status).phrase, "content": {"application/json": schema}}
