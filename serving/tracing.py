"""Spans of a request's stages, sent by OTLP over HTTP where an address is given; nothing at all otherwise.

A span holds names, numbers and the request's id: no field of a form, no name of a file, no pixel.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

_tracer: "Tracer | None" = None
_provider: Any = None


def start(endpoint: str | None, exporter: "SpanExporter | None" = None) -> None:
    """Begin to trace; without an endpoint and an exporter, spans cost nothing from now on.

    Args:
        endpoint: such as `http://127.0.0.1:4318/v1/traces`.
        exporter: takes the spans in place of the endpoint.
    """
    global _tracer, _provider
    stop()
    if not endpoint and exporter is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    # The parent's choice is not asked: BentoML's own, unsampled span surrounds every request.
    _provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource.create({"service.name": "thorax"}))
    _provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=endpoint, timeout=5)))
    _tracer = _provider.get_tracer("thorax")


def stop() -> None:
    """Send what is left, and trace no more."""
    global _tracer, _provider
    if _provider is not None:
        _provider.shutdown()
    _tracer = _provider = None


def span(name: str) -> AbstractContextManager[Any]:
    """Return a block that is one span, a child of the one around it."""
    return nullcontext() if _tracer is None else _tracer.start_as_current_span(name)


@contextmanager
def request(method: str, path: str, name: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Any]:
    """Make a block the root span of a request; it continues the caller's trace where a header names one.

    Args:
        method: such as POST.
        path: the route that was asked for.
        name: the request's id.
        headers: of the request, as ASGI gives them.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers if key.startswith(b"trace")}
    context = TraceContextTextMapPropagator().extract(carrier, Context())
    attributes = {"http.request.method": method, "url.path": path[:100], "thorax.request_id": name}
    with _tracer.start_as_current_span(f"{method} {path[:100]}", context, SpanKind.SERVER, attributes) as root:
        yield root
