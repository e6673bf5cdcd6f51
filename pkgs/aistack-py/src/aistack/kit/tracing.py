"""Spans: what a request waited for, for a collector that speaks OpenTelemetry's protocol.

Until `running` is entered a span is nothing, and what sends them is not imported. A span never
holds what somebody wrote: names, routes and statements without their values, and the kind of an
error without its text.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

Attributes = Mapping[str, str | int | float | bool]


class Span(Protocol):
    """One that is open."""

    def rename(self, name: str) -> None:
        """Call it what turned out while it was open."""

    def put(self, attributes: Attributes) -> None:
        """Add what turned out while it was open."""

    def fail(self, kind: str) -> None:
        """It ends badly."""


class Tracer(Protocol):
    """What `running` sets up; `aistack.kit.otel` has it."""

    def serve(
        self, name: str, carrier: Mapping[str, str], attributes: Attributes
    ) -> AbstractContextManager[Span]:
        """See `serve` below."""

    def call(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """See `call` below."""

    def headers(self) -> dict[str, str]:
        """See `headers` below."""

    def trace_id(self) -> str | None:
        """See `trace_id` below."""

    def close(self) -> None:
        """Send what was not sent yet."""


class _Silent:
    """A span that nobody hears of."""

    def rename(self, name: str) -> None:
        """Nothing."""

    def put(self, attributes: Attributes) -> None:
        """Nothing."""

    def fail(self, kind: str) -> None:
        """Nothing."""


NOTHING: AbstractContextManager[Span] = nullcontext(_Silent())
"""A span that is none; it may be entered again and again."""
_tracer: Tracer | None = None


@contextmanager
def running(
    endpoint: str | None, *, service: str, ratio: float, headers: Mapping[str, str]
) -> Iterator[None]:
    """Trace until the block ends.

    Args:
        endpoint: base URL of a collector that takes OTLP over HTTP; None: nothing is traced.
        service: name of this one.
        ratio: share of the traces that are taken, 0 to 1, by their id.
        headers: what the collector wants to be told with each request, as a key.
    """
    global _tracer  # one a process, as the logs
    if endpoint is None:
        yield
        return
    # Imported here: it costs time and memory that only those pay who trace.
    from aistack.kit.otel import OtelTracer

    _tracer = OtelTracer(endpoint, service=service, ratio=ratio, headers=headers)
    try:
        yield
    finally:
        tracer, _tracer = _tracer, None
        tracer.close()


def on() -> bool:
    """Whether anything is traced."""
    return _tracer is not None


def serve(
    name: str, carrier: Mapping[str, str], attributes: Attributes
) -> AbstractContextManager[Span]:
    """A span of what somebody asked of us.

    Args:
        name: few values.
        carrier: where W3C's ``traceparent`` and ``tracestate`` may be: the asker's span is then the
            parent. Else it is the one that is open here, if any.
        attributes: named as OpenTelemetry's semantic conventions have it.
    """
    return NOTHING if _tracer is None else _tracer.serve(name, carrier, attributes)


def call(name: str, attributes: Attributes) -> AbstractContextManager[Span]:
    """A span of what we ask of somebody, within one that is open; else nothing.

    What works in the background asks all the time, and nobody waits for it.
    """
    return NOTHING if _tracer is None else _tracer.call(name, attributes)


def headers() -> dict[str, str]:
    """W3C's headers for a request to somebody who may trace, too."""
    return {} if _tracer is None else _tracer.headers()


def trace_id() -> str | None:
    """Id of the trace that is open and taken, as 32 hexadecimal digits."""
    return None if _tracer is None else _tracer.trace_id()
