"""Spans by OpenTelemetry's SDK: the one file that knows it. Imported only where it is wanted."""

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aistack import __version__
from aistack.kit.tracing import NOTHING, Attributes, Span

_TIMEOUT_S = 3.0
"""For one batch, all tries: a collector that is away must not hold up a stop."""
_CLOSE_MS = 5000
_W3C = TraceContextTextMapPropagator()


class _Open:
    """A span of the SDK."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        """Call it what turned out while it was open."""
        self._span.update_name(name)

    def put(self, attributes: Attributes) -> None:
        """Add what turned out while it was open."""
        self._span.set_attributes(dict(attributes))

    def fail(self, kind: str) -> None:
        """It ends badly."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(trace.StatusCode.ERROR)


class OtelTracer:
    """Makes spans and sends them in the background; those that find no room are dropped."""

    def __init__(
        self, endpoint: str, *, service: str, ratio: float, headers: Mapping[str, str]
    ) -> None:
        # Not ParentBased alone: whoever asks could have every request taken.
        taken = TraceIdRatioBased(ratio)
        sampler = ParentBased(taken, remote_parent_sampled=taken, remote_parent_not_sampled=taken)
        self._provider = TracerProvider(
            sampler=sampler,
            resource=Resource.create(
                {
                    "service.name": f"aistack-{service}",
                    "service.version": __version__,
                    "host.name": socket.gethostname(),
                }
            ),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(
            f"{endpoint.rstrip('/')}/v1/traces", headers=dict(headers), timeout=_TIMEOUT_S
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("aistack", __version__)
        # They tell of each batch that a collector did not take, with a traceback.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def serve(
        self, name: str, carrier: Mapping[str, str], attributes: Attributes
    ) -> AbstractContextManager[Span]:
        """A span of what somebody asked of us."""
        parent = _W3C.extract(carrier) if "traceparent" in carrier else None
        return self._span(name, trace.SpanKind.SERVER, attributes, parent)

    def call(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """A span of what we ask of somebody, within one that is open and taken."""
        if not trace.get_current_span().is_recording():
            return NOTHING
        return self._span(name, trace.SpanKind.CLIENT, attributes, None)

    @contextmanager
    def _span(
        self, name: str, kind: trace.SpanKind, attributes: Attributes, parent: Context | None
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name,
            parent,
            kind,
            dict(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            opened = _Open(span)
            try:
                yield opened
            except BaseException as exc:
                # Not its text: a database quotes values in it.
                opened.fail(type(exc).__name__)
                raise

    def headers(self) -> dict[str, str]:
        """W3C's headers of the span that is open."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier

    def trace_id(self) -> str | None:
        """Id of the trace that is open and taken."""
        span = trace.get_current_span()
        return f"{span.get_span_context().trace_id:032x}" if span.is_recording() else None

    def close(self) -> None:
        """Send what was not sent yet, for a few seconds at most."""
        self._provider.force_flush(_CLOSE_MS)
        self._provider.shutdown()
