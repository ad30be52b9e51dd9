"""What every request passes before BentoML sees it, and every answer before it leaves. Plain ASGI.

A body is read whole, within a size and a time, before anything is parsed: so a chunked upload that never ends, or
drips, costs one bounded buffer and no thread. More requests than can wait are told when to come again.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import tracing
from serving.refusals import body, reshape
from serving.runtime import Runtime
from thorax.prediction import new_request_id

#: The only kinds of body that each address takes. BentoML would also unpack others.
CONTENT_TYPES = {
    "/predict": "multipart/form-data",
    "/explain": "multipart/form-data",
    "/feedback": "application/json",
}
_OPEN = {"/livez", "/readyz", "/healthz", "/metrics"}
_SMALL = 1 << 20
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_HIDDEN = {b"server", b"x-bentoml-request-id"}
#: Of the request that is being answered; threads that work for it see it too.
request_id: ContextVar[str] = ContextVar("request_id")
#: When its body had arrived, by `time.perf_counter`.
arrived: ContextVar[float] = ContextVar("arrived")
_access = logging.getLogger("thorax.access")


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, message: str, mend: str, retry: int = 0) -> None:
        super().__init__(message)
        self.status, self.body, self.retry = status, body(message, mend), retry


class Guard:
    """The middleware; `runtime` is read when the service's application is built."""

    def __init__(self, app: ASGIApp, runtime: Callable[[], Runtime] = Runtime.read) -> None:
        self._app = app
        self._limits = runtime()
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = new_request_id()
        request_id.set(name)
        answer = _Answer(send, name, scope.setdefault("state", {}))
        start = time.perf_counter()
        counted = scope["path"] in CONTENT_TYPES
        self._waiting += counted
        try:
            if counted and self._waiting > self._limits.max_waiting:
                raise _RefusedError(
                    HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests are waiting.", "Send it again in a second.", 1
                )
            content = await self._body(scope, receive)
            arrived.set(time.perf_counter())
            with tracing.request(scope["method"], scope["path"], name, scope["headers"]):
                await self._app(scope, _replay(content, receive), answer)
        except _RefusedError as refused:
            await answer.refuse(refused)
        finally:
            self._waiting -= counted
            if scope["path"] not in _OPEN:
                record = {
                    "request_id": name,
                    "method": scope["method"],
                    "path": scope["path"][:100],
                    "status": answer.status,
                    "ms": round((time.perf_counter() - start) * 1000, 1),
                }
                _access.info(json.dumps(record))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body.

        Raises:
            _RefusedError: of the wrong kind, too large, or too slow.
        """
        headers = dict(scope["headers"])
        wanted = CONTENT_TYPES.get(scope["path"]) if scope["method"] == "POST" else None
        if wanted:
            found = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
            if found != wanted:
                raise _RefusedError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"{scope['path']} takes {wanted}, not {found[:60] or 'a body without a type'}.",
                    f"Send the request as {wanted}.",
                )
        limit = self._limits.max_upload_bytes if wanted == "multipart/form-data" else _SMALL
        too_large = _RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The request is larger than {limit >> 20} MiB.",
            "Send one image, compressed if it must be.",
        )
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 12 or int(declared) > limit:
            raise too_large
        try:
            async with asyncio.timeout(self._limits.upload_seconds):
                return await _collect(receive, limit, too_large)
        except TimeoutError as error:
            raise _RefusedError(
                HTTPStatus.REQUEST_TIMEOUT, "The upload took too long.", "Send it again over a faster line."
            ) from error


async def _collect(receive: Receive, limit: int, too_large: _RefusedError) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The upload was cut off.", "Send it again.")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` that hands the body on whole, and then passes on what else comes."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    return replay


class _Answer:
    """Passes an answer on, with the headers that every answer has and refusals in their one shape."""

    def __init__(self, send: Send, request_id: str, state: dict[str, Any]) -> None:
        self._send = send
        self._state = state
        self._extra = [*_HEADERS, (b"x-request-id", request_id.encode())]
        self._held: Message | None = None
        self._content = bytearray()
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in _HIDDEN]
            message = {**message, "headers": [*kept, *self._extra]}
            if self.status >= 400:
                self._held = message
                return
        elif self._held is not None:
            self._content += message.get("body", b"")
            if not message.get("more_body", False):
                await self._release()
            return
        await self._send(message)

    async def refuse(self, refused: _RefusedError) -> None:
        """Answer with a refusal of the guard's own."""
        self.status = int(refused.status)
        headers = list(self._extra)
        # What is left of the body is not read, so the connection cannot be used again.
        headers += [(b"connection", b"close")] if refused.status != HTTPStatus.UNSUPPORTED_MEDIA_TYPE else []
        headers += [(b"retry-after", str(refused.retry).encode())] if refused.retry else []
        self._held = {"type": "http.response.start", "status": self.status, "headers": headers}
        self._content = bytearray(json.dumps(refused.body).encode())
        await self._release()

    async def _release(self) -> None:
        held = self._held
        assert held is not None
        self._held = None
        said = self._state.get("refusal")  # by the form's reader
        content = json.dumps(said).encode() if said else reshape(self.status, bytes(self._content))
        own = {b"content-length", b"content-type"}
        headers = [(name, value) for name, value in held["headers"] if name.lower() not in own]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await self._send({**held, "headers": headers})
        await self._send({"type": "http.response.body", "body": content})
