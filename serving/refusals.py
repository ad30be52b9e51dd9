"""How a refusal leaves the service: one JSON shape, a status that tells whose turn it is, and nothing inside."""

import json
import logging
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from serving.security.rates import RateError
from thorax.errors import BundleError, ImageError, InputError, RegistryError, RoomError, ThoraxError
from thorax.prediction_log.places import LogError

_log = logging.getLogger("bentoml.thorax")

#: The first that matches decides.
_STATUS: tuple[tuple[type[ThoraxError], HTTPStatus], ...] = (
    (ImageError, HTTPStatus.BAD_REQUEST),
    (InputError, HTTPStatus.BAD_REQUEST),
    (BundleError, HTTPStatus.SERVICE_UNAVAILABLE),
    (RegistryError, HTTPStatus.SERVICE_UNAVAILABLE),
    (RoomError, HTTPStatus.INSUFFICIENT_STORAGE),
    (LogError, HTTPStatus.SERVICE_UNAVAILABLE),
    (RateError, HTTPStatus.TOO_MANY_REQUESTS),
)
UNEXPECTED = (
    "Internal error.",
    "Give the operator the x-request-id of this response.",
)
PLAIN = {
    HTTPStatus.NOT_FOUND: ("This address does not exist.", "See /docs.json for the addresses."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("This address does not support this method.", "See /docs.json."),
    HTTPStatus.GATEWAY_TIMEOUT: ("The request timed out.", "Send the image again."),
    HTTPStatus.TOO_MANY_REQUESTS: ("Too many requests are queued.", "Send the image again in a second."),
}


def body(message: str, mend: str = "") -> dict[str, str]:
    """The one shape of a refusal."""
    return {"error": message, "mend": mend}


def status_of(error: ThoraxError) -> HTTPStatus:
    """Say whose turn it is: the caller's (4xx) or the operator's (5xx)."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def refusal(error: ThoraxError) -> JSONResponse:
    """Return the answer for an error that Thorax raised on purpose."""
    status = status_of(error)
    headers = {"Retry-After": "5"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    if isinstance(error, RateError):
        headers = {"Retry-After": str(error.seconds)}
    return JSONResponse(body(error.message, error.mend), status_code=status, headers=headers)


def unexpected(error: Exception) -> JSONResponse:
    """Return the answer for an error that nobody foresaw; the trace goes to the log alone."""
    _log.error("Unexpected error", exc_info=error)
    return JSONResponse(
        body(*UNEXPECTED),
        status_code=HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def reshape(status: int, content: bytes) -> bytes:
    """Bring an error body of BentoML or Starlette into the one shape."""
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if isinstance(found, dict) and set(found) == {"error", "mend"}:
        return content
    if isinstance(found, list) and found:
        found = found[0]
    if status in PLAIN:
        message, mend = PLAIN[HTTPStatus(status)]
    elif isinstance(found, dict) and "detail" in found and status in (400, 422):
        message, mend = _explain(found["detail"]), "See /docs.json for the fields."
    elif isinstance(found, dict) and isinstance(found.get("error"), str) and status < 500:
        message, mend = found["error"], ""
    else:
        message, mend = HTTPStatus(status).phrase + ".", ""
    return json.dumps(body(message, mend)).encode()


def _explain(details: Any) -> str:
    """Turn pydantic's list of what is wrong into one sentence a field."""
    try:
        return " ".join(f"{'.'.join(str(p) for p in item['loc']) or 'body'}: {item['msg']}." for item in details)
    except (TypeError, KeyError):
        return "The request does not have the expected fields."
