"""Spans, exported in batches from a thread of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from application.ports.telemetry import Kind

_NAMES = {
    "agent": "gen_ai.agent.name",
    "conversation_id": "gen_ai.conversation.id",
    "error": "error.type",
    "input_tokens": "gen_ai.usage.input_tokens",
    "method": "http.request.method",
    "model": "gen_ai.request.model",
    "output_tokens": "gen_ai.usage.output_tokens",
    "route": "http.route",
    "status": "http.response.status_code",
    "tool": "gen_ai.tool.name",
}
"""What the semantic conventions of OpenTelemetry call our attributes; the names of all others begin with `parley.`."""

_propagator = TraceContextTextMapPropagator()


class OtlpTracer:
    """See application.ports.telemetry.Tracer. To be made in the process that uses it: it has a thread.

    Where to, how and how much is sampled the SDK reads from OTEL_EXPORTER_OTLP_*, OTEL_BSP_*, OTEL_TRACES_SAMPLER*,
    OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES. What cannot be delivered is dropped.
    """

    def __init__(self, version: str) -> None:
        resource = Resource.create({SERVICE_VERSION: version})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "parley"}))
        # The process's own end is for whoever stops it to bring about, by `flush`.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("parley", version)

    @contextmanager
    def span(
        self,
        name: str,
        *,
        parent: str | None = None,
        since: float | None = None,
        kind: Kind = "internal",
        attributes: Mapping[str, str | float],
    ) -> Iterator[_Span]:
        began = time.time_ns()
        if since is not None:
            began -= round((time.monotonic() - since) * 1e9)
        with self._tracer.start_as_current_span(
            name,
            context=_propagator.extract({"traceparent": parent}) if parent is not None else None,
            kind=SpanKind[kind.upper()],
            attributes=_named(attributes),
            start_time=began,
            # Errors' messages may quote what somebody wrote.
            record_exception=False,
            set_status_on_exception=False,
        ) as started:
            span = _Span(started)
            try:
                yield span
            except Exception as error:
                span.fail(getattr(error, "slug", type(error).__name__))
                raise

    def flush(self, timeout: float) -> None:
        self._provider.force_flush(round(timeout * 1000))

    def present(self) -> Mapping[str, str]:
        """The ids of the present span, as logs are to carry them; none outside of traces."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}


class _Span:
    """See application.ports.telemetry.Span."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(self._span))
        return carrier.get("traceparent")

    def note(self, **attributes: str | float) -> None:
        self._span.set_attributes(_named(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, kind: str) -> None:
        self._span.set_status(StatusCode.ERROR)
        self._span.set_attribute("error.type", kind)


def _named(attributes: Mapping[str, str | float]) -> dict[str, str | float]:
    return {_NAMES.get(name, f"parley.{name}"): value for name, value in attributes.items()}
