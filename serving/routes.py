"""What the service answers at, and what each address needs: in one table, so that none is forgotten."""

from dataclasses import dataclass
from typing import Literal

from serving.security.keys import Scope

FORM = "multipart/form-data"


@dataclass(frozen=True)
class Route:
    """One address.

    Attributes:
        name: the address, as it may be written down.
        scope: what a key must allow; None: any valid key will do.
        takes: the only kind of body; BentoML would also unpack others.
        size: which limit on the body's size holds.
        scores: whether it runs the network, so that it counts against a caller's rate and may have to wait.
        open: whether anybody may ask, also where keys are required.
        quiet: whether it is left out of the access log, as machines ask it every second.
        documents: whether it is a page that describes the API.
    """

    name: str
    scope: Scope | None = None
    takes: str | None = None
    size: Literal["image", "batch", "small"] = "small"
    scores: bool = False
    open: bool = False
    quiet: bool = False
    documents: bool = False


_TABLE = (
    Route("/predict", "predict", FORM, "image", scores=True),
    Route("/explain", "predict", FORM, "image", scores=True),
    Route("/predict_batch", "predict", FORM, "batch", scores=True),
    Route("/feedback", "feedback", "application/json"),
    Route("/model"),
    Route("/schema.json"),
    Route("/admin/status", "admin"),
    Route("/admin/audit", "admin"),
    Route("/metrics", "admin", open=True, quiet=True),
    *(Route(name, open=True, quiet=True) for name in ("/livez", "/readyz", "/healthz")),
    *(Route(name, open=True, documents=True) for name in ("/", "/docs.json")),
)
_KNOWN = {route.name: route for route in _TABLE}
_STATIC = Route("/static_content", open=True, quiet=True, documents=True)
#: What the page that describes the API is made of.
_FILES = frozenset(
    f"/static_content/{name}"
    for name in (
        "favicon-dark-32x32.png",
        "favicon-light-32x32.png",
        "index.css",
        "swagger-initializer.js",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "swagger-ui.css",
    )
)
#: Whatever else is asked for. It goes no further than the guard, and nothing of it is written down: an address may hold
#: a name, and BentoML would keep a figure of every address.
OTHER = Route("other")
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST"})


def route_of(path: str) -> Route:
    """Return what an address needs."""
    found = _KNOWN.get(path)
    if found is None and path in _FILES:
        return _STATIC
    return found or OTHER
