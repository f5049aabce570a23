"""OpenTelemetry spans of the requests, exported over OTLP/HTTP; needs the extra `otel`.

Off unless the standard environment variables name a collector (OpenTelemetry specification, "Environment
Variable Specification" and "OTLP Exporter Configuration"); the SDK reads them: endpoint, headers, service
name, resource attributes, sampler and batching. Attribute names are those of the semantic conventions for
HTTP and RPC servers, and for generative AI.
"""

import threading
from collections.abc import Mapping
from dataclasses import replace

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.util.types import AttributeValue

from modelservice_runtime.observe.exchange import Exchange, TraceContext
from modelservice_runtime.observe.seldom import log_seldom

_PROVIDER = "modelservice"
_DEFAULT_SERVICE_NAME = "modelservice-runtime"
_CLOSE_SECONDS = 3.0
# The SDK complains of a collector that is gone about once a second.
_COMPLAINT_SECONDS = 60.0


class Tracer:
    """Makes a finished span of every exchange, as a child of the caller's where there is one."""

    def __init__(self, exporter: SpanExporter, environment: Mapping[str, str]) -> None:
        named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        resource = Resource.create({} if named else {SERVICE_NAME: _DEFAULT_SERVICE_NAME})
        # Spans are flushed by our own drain, not by an exit handler that might wait for a dead collector.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("modelservice_runtime")

    def __call__(self, exchange: Exchange) -> Exchange | None:
        """Record the exchange's span; returns the exchange with it, None where nobody will find it."""
        span = self._tracer.start_span(
            f"{exchange.method} {exchange.route}",
            context=_parent(exchange.trace),
            kind=trace.SpanKind.SERVER,
            attributes=span_attributes(exchange),
            start_time=exchange.ended_unix_ns - exchange.duration_ns,
        )
        if exchange.failed:
            span.set_status(trace.StatusCode.ERROR)
        span.end(exchange.ended_unix_ns)
        own = span.get_span_context()
        if not own.trace_flags.sampled:
            return None
        trace_id, span_id = trace.format_trace_id(own.trace_id), trace.format_span_id(own.span_id)
        return replace(exchange, trace=TraceContext(trace_id, span_id, sampled=True))

    def close(self) -> None:
        """Send what is left, for at most a few seconds: the SDK itself would try for most of a minute."""
        sender = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        sender.start()
        sender.join(_CLOSE_SECONDS)


def make_tracer(environment: Mapping[str, str]) -> Tracer:
    """A tracer that exports to the collector the environment names."""
    log_seldom("opentelemetry", _COMPLAINT_SECONDS)
    return Tracer(OTLPSpanExporter(), environment)


def span_attributes(exchange: Exchange) -> dict[str, AttributeValue]:
    """Attributes by the semantic conventions, and the model's name."""
    attributes: dict[str, AttributeValue]
    if exchange.protocol == "grpc":
        attributes = {
            "rpc.system.name": "grpc",
            "rpc.method": exchange.route,
            "rpc.response.status_code": exchange.status,
        }
    else:
        attributes = {
            "http.request.method": exchange.method,
            "http.route": exchange.route,
            "http.response.status_code": exchange.status,
            "http.request.body.size": exchange.request_bytes,
            "http.response.body.size": exchange.response_bytes,
        }
    if exchange.model is not None:
        attributes["modelservice.model"] = exchange.model
    if exchange.request_id is not None:
        attributes["modelservice.request_id"] = exchange.request_id
    if exchange.failed:
        attributes["error.type"] = str(exchange.status)
    if "gen_ai.operation.name" in exchange.told:
        attributes["gen_ai.provider.name"] = _PROVIDER
    return {**attributes, **exchange.told}


def _parent(caller: TraceContext | None) -> Context | None:
    if caller is None:
        return None
    context = trace.SpanContext(
        int(caller.trace_id, 16),
        int(caller.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(caller.sampled)),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(context))
