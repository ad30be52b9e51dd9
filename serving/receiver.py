"""Hear from MLflow that an alias moved, and look at the registry at once instead of at the next poll.

A message only ever makes the publisher look: it cannot name what to serve, so nothing is lost with one that never
comes, and nothing is gained by forging one.
"""

import json
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from thorax.errors import InputError
from thorax.settings import Settings

ROUTE = "/registry"
_LARGEST = 1 << 16
_log = logging.getLogger("thorax.receiver")


class Receiver:
    """A small HTTP server on one address; see the module's text.

    Args:
        settings: which model is meant, and on which port to listen (0: a free one).
        secret: shared with MLflow.
        aliases: those whose moves matter.
        moved: called for each of them; returns at once.
    """

    def __init__(self, settings: Settings, secret: str, aliases: tuple[str, ...], moved: Callable[[], None]) -> None:
        class Handler(_Handler):
            def understood(self, body: bytes) -> bool:
                from thorax.registry.webhooks import concerns, understand

                change = understand(dict(self.headers.items()), body, secret)
                return any(concerns(change, settings, alias) for alias in aliases)

            def act(self) -> None:
                moved()

        self._server = ThreadingHTTPServer((settings.serve.host, settings.serve.webhook_port or 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://{settings.serve.host}:{self._server.server_address[1]}{ROUTE}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    timeout = 5  # seconds that a slow sender may take
    server_version, sys_version = "thorax", ""

    def understood(self, body: bytes) -> bool:
        raise NotImplementedError

    def act(self) -> None:
        raise NotImplementedError

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if self.path != ROUTE:
            return self._answer(HTTPStatus.NOT_FOUND, "This address does not exist.")
        if not (length.isascii() and length.isdigit()) or int(length[:9]) > _LARGEST or len(length) > 9:
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The message has no length, or is too large.")
        try:
            meant = self.understood(self.rfile.read(int(length)))
        except InputError as error:
            _log.warning("A message was not believed: %s", error)
            return self._answer(HTTPStatus.UNAUTHORIZED, error.message)
        if meant:
            self.act()
        return self._answer(HTTPStatus.OK, "")

    def log_message(self, *_: Any) -> None:
        """Say nothing of every request: who sent it is nobody's business."""

    def _answer(self, status: HTTPStatus, said: str) -> None:
        body = json.dumps({"error": said, "mend": ""} if said else {"taken": True}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
