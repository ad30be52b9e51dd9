"""What every request passes before BentoML sees it, and every answer before it leaves. Plain ASGI.

Who asks is known before a byte of the body is read. A body is read whole, within a size and a time, before anything is
parsed: so a chunked upload that never ends, or drips, costs one bounded buffer and no thread. More requests than can
wait are told when to come again.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import tracing
from serving.call import Call, current
from serving.labels import restored
from serving.refusals import PLAIN, UNEXPECTED, body, reshape
from serving.routes import METHODS, OTHER, Route, route_of
from serving.runtime import Runtime
from serving.security.journals import AccessLog
from serving.security.keys import Key, Keys
from serving.security.rates import RateError, Rates

_SMALL = 1 << 20
_log = logging.getLogger("bentoml.thorax")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_STRICT = b"default-src 'none'; frame-ancestors 'none'"
#: The page that describes the API needs its own scripts and styles.
_DOCUMENTED = b"default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'"
_TLS = (b"strict-transport-security", b"max-age=31536000")
_HIDDEN = {b"server", b"x-bentoml-request-id"}


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, message: str, mend: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.body = status, body(message, mend)
        self.headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]


def guarded(app: ASGIApp) -> ASGIApp:
    """Put the guard before an application; pages of the origins that the settings name may call it, no others."""
    runtime = Runtime.read()
    guard = Guard(app, lambda: runtime)
    if not runtime.cors_origins:
        return guard
    return CORSMiddleware(
        guard,
        allow_origins=runtime.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "x-api-key"],
        expose_headers=["x-request-id", "x-model-version", "retry-after"],
    )


class Guard:
    """The middleware; `runtime` is read when the service's application is built."""

    def __init__(self, app: ASGIApp, runtime: Callable[[], Runtime] = Runtime.read) -> None:
        self._app = app
        self._limits = runtime()
        self._keys = Keys(self._limits.keys, self._limits.inner_key)
        self._rates = Rates(self._limits.rate_limit, self._limits.workers)
        self._access = AccessLog(self._limits.access)
        self._waiting = 0
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = restored(scope)
        start = time.perf_counter()
        call, route = Call(), route_of(scope["path"])
        current.set(call)
        answer = _Answer(send, call, route, self._limits.tls)
        self._waiting += route.scores
        try:
            self._admit(scope, route, call)
            if route.scores and self._waiting > self._limits.max_waiting:
                raise _RefusedError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "Too many requests are queued.",
                    "Send it again in a second.",
                    retry_after="1",
                )
            content = await self._body(scope, receive, route)
            call.arrived = time.perf_counter()
            with tracing.request(scope["method"], route.name, call.request_id, scope["headers"]):
                await self._app(scope, _replay(content, receive), answer)
        except _RefusedError as refused:
            await answer.refuse(refused, close=_leaves_much(scope, refused))
        except Exception as error:  # of the server's own; nothing of it leaves
            if answer.status:  # the answer was on its way: the connection ends with it
                raise
            _log.error("Unexpected error", exc_info=error)
            await answer.refuse(_RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, *UNEXPECTED), close=True)
        finally:
            self._waiting -= route.scores
            if not route.quiet:
                took = round((time.perf_counter() - start) * 1000, 1)
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._access.write(call.record(method=method, route=route.name, status=answer.status, ms=took))

    def _admit(self, scope: Scope, route: Route, call: Call) -> None:
        """Find out who asks, and whether they may.

        Raises:
            _RefusedError: no key, a wrong one, one without the scope, no such address, or too many requests.
        """
        key = self._key(scope, route)
        client = scope.get("client")
        call.caller = f"key:{key.id}" if key else f"address:{client[0] if client else 'unknown'}"
        if route is OTHER:
            raise _RefusedError(HTTPStatus.NOT_FOUND, *PLAIN[HTTPStatus.NOT_FOUND])
        if scope["method"] not in METHODS:
            raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, *PLAIN[HTTPStatus.METHOD_NOT_ALLOWED])
        if not route.scores:
            return

        def charge(cost: int) -> None:
            self._rates.charge(call.caller, key.rate if key else None, cost)

        call.charge = charge
        try:
            charge(1)
        except RateError as error:
            raise _RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS, error.message, error.mend, retry_after=str(error.seconds)
            ) from error

    def _key(self, scope: Scope, route: Route) -> Key | None:
        token = _token(dict(scope["headers"]))
        needed = self._limits.require_keys and not route.open
        needed |= route.name == "/metrics" and not self._limits.open_metrics
        needed |= route.scope == "admin" and route.name != "/metrics"
        if token is None:
            if needed:
                raise _RefusedError(
                    HTTPStatus.UNAUTHORIZED,
                    "This service answers to those with an API key.",
                    "Send yours as the header `Authorization: Bearer KEY`; `thorax serve keys create` makes one.",
                    www_authenticate="Bearer",
                )
            return None
        key = self._keys.find(token)
        if key is None or key.state != "valid":
            reason = f"has {key.state}" if key and key.state == "expired" else "was revoked" if key else "is not known"
            raise _RefusedError(
                HTTPStatus.UNAUTHORIZED,
                f"The API key {reason}.",
                "Ask the operator for another.",
                www_authenticate='Bearer error="invalid_token"',
            )
        if needed and route.scope is not None and route.scope not in key.scopes:
            raise _RefusedError(
                HTTPStatus.FORBIDDEN,
                f"The API key has no scope {route.scope}; it has {', '.join(key.scopes)}.",
                "Ask the operator for one that has.",
            )
        return key

    async def _body(self, scope: Scope, receive: Receive, route: Route) -> bytes:
        """Read the body.

        Raises:
            _RefusedError: of the wrong kind, too large, or too slow.
        """
        headers = dict(scope["headers"])
        if route.takes and scope["method"] == "POST":
            found = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
            if found != route.takes:
                raise _RefusedError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"{route.name} takes {route.takes}, not {found[:60] or 'a body without a type'}.",
                    f"Send the request as {route.takes}.",
                )
        sizes = {"image": self._limits.max_upload_bytes, "batch": self._limits.max_batch_bytes}
        limit = sizes.get(route.size, _SMALL)
        too_large = _RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The request is larger than {limit >> 20} MiB.",
            "Send fewer images." if route.size == "batch" else "Send one image, compressed if it must be.",
        )
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 12 or int(declared) > limit:
            raise too_large
        try:
            async with asyncio.timeout(self._limits.upload_seconds):
                return await self._collect(receive, limit, too_large)
        except TimeoutError as error:
            raise _RefusedError(
                HTTPStatus.REQUEST_TIMEOUT,
                "The upload took too long.",
                "Send it again over a faster line.",
            ) from error

    async def _collect(self, receive: Receive, limit: int, too_large: _RefusedError) -> bytes:
        """Read a body's parts; all that arrive at once may hold no more than two of the largest batches."""
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _RefusedError(HTTPStatus.BAD_REQUEST, "The upload was cut off.", "Send it again.")
                part = message.get("body", b"")
                size += len(part)
                self._held += len(part)
                if size > limit:
                    raise too_large
                if self._held > 2 * self._limits.max_batch_bytes:
                    raise _RefusedError(
                        HTTPStatus.SERVICE_UNAVAILABLE,
                        "Too much is being uploaded at once.",
                        "Send it again in a few seconds.",
                        retry_after="5",
                    )
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
        finally:
            self._held -= size


def _leaves_much(scope: Scope, refused: _RefusedError) -> bool:
    """Whether a refusal leaves so much of a body unread that the connection is not worth keeping."""
    if refused.status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        return True
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    return b"transfer-encoding" in headers or not length.isdigit() or int(length[:12]) > _SMALL


def _token(headers: dict[bytes, bytes]) -> str | None:
    """Return the key that a request shows, in either of the two usual headers."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip().decode("latin-1")
    given = headers.get(b"x-api-key")
    return None if given is None else given.strip().decode("latin-1")


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

    def __init__(self, send: Send, call: Call, route: Route, tls: bool) -> None:
        self._send = send
        self._call = call
        self._policy = _DOCUMENTED if route.documents else _STRICT
        self._tls = tls
        self._held: Message | None = None
        self._content = bytearray()
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in _HIDDEN]
            message = {**message, "headers": [*kept, *self._own_headers()]}
            if self.status >= 400:
                self._held = message
                return
        elif self._held is not None:
            self._content += message.get("body", b"")
            if not message.get("more_body", False):
                await self._release()
            return
        await self._send(message)

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        call = self._call
        own = [*_HEADERS, (b"content-security-policy", self._policy), (b"x-request-id", call.request_id.encode())]
        own += [_TLS] if self._tls else []
        own += [(b"x-model-version", call.version.encode("latin-1", "replace"))] if call.version else []
        return own + ([(b"x-thorax-logged", b"no")] if call.unlogged else [])

    async def refuse(self, refused: _RefusedError, close: bool) -> None:
        """Answer with a refusal of the guard's own; `close` ends the connection after it."""
        self.status = int(refused.status)
        self._held = {
            "type": "http.response.start",
            "status": self.status,
            "headers": [*self._own_headers(), *refused.headers, *([(b"connection", b"close")] if close else [])],
        }
        self._content = bytearray(json.dumps(refused.body).encode())
        await self._release()

    async def _release(self) -> None:
        held = self._held
        assert held is not None
        self._held = None
        said = self._call.refusal  # by the form's reader
        content = json.dumps(said).encode() if said else reshape(self.status, bytes(self._content))
        own = {b"content-length", b"content-type"}
        headers: list[Any] = [(name, value) for name, value in held["headers"] if name.lower() not in own]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await self._send({**held, "headers": headers})
        await self._send({"type": "http.response.body", "body": content})
