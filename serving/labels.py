"""BentoML keeps a figure of every address that is asked for; here, of those that there are.

An address may hold a patient's name, and whoever asks for many makes the figures grow without end. BentoML's middleware
stands before every other and offers no choice, so it is handed the route's name as the path, and the guard puts the
path back.
"""

from typing import Any

from starlette.types import Receive, Scope, Send

from serving.routes import route_of

_PATH = "thorax.path"


def install() -> None:
    """Let BentoML's figures name routes alone; a second call changes nothing."""
    from bentoml._internal.server.http import instruments

    for kind in (instruments.HTTPTrafficMetricsMiddleware, instruments.RunnerTrafficMetricsMiddleware):
        whole = kind.__call__
        if getattr(whole, "by_route", False):
            continue

        async def named(self: Any, scope: Scope, receive: Receive, send: Send, whole: Any = whole) -> None:
            if scope["type"] == "http":
                scope = {**scope, "path": route_of(scope["path"]).name, _PATH: scope["path"]}
            await whole(self, scope, receive, send)

        named.by_route = True  # type: ignore[attr-defined]
        kind.__call__ = named  # type: ignore[method-assign]


def restored(scope: Scope) -> Scope:
    """Return a request with the path that was asked for."""
    return {**scope, "path": scope[_PATH]} if _PATH in scope else scope
