"""A proxy that refuses everything, and keeps whom it was asked for."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VARIABLES = tuple(
    spelled for kind in ("http", "https", "all") for spelled in (f"{kind}_proxy", f"{kind.upper()}_PROXY")
)


class Proxy(ThreadingHTTPServer):
    """A proxy on this machine; `asked` holds what it was asked for, as host:port or URL."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.asked: list[str] = []
        super().__init__((host, 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_port}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    do_POST = do_PUT = do_HEAD = do_CONNECT = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None: ...
