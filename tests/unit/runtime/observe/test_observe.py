"""Access log and traces: what is told of a request, and that nothing else is."""

import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.unit.runtime.server_process import server_process

from modelservice_runtime.observe.access_log import AccessLog
from modelservice_runtime.observe.background import BackgroundObserver
from modelservice_runtime.observe.exchange import Exchange, TraceContext, parse_traceparent
from modelservice_runtime.observe.http import ObservedApplication, describe_target
from modelservice_runtime.observe.seldom import SeldomHandler
from modelservice_runtime.observe.setup import find_other_protocol, make_observation, wants_traces
from modelservice_runtime.observe.tracing import Tracer
from modelservice_runtime.settings.access_log import AccessLogSettings
from modelservice_runtime.transport.client import UNKNOWN_CLIENT
from modelservice_runtime.transport.http import HttpRequest, HttpResponse, RequestHead
from modelservice_runtime.transport.streaming import AnswerStream, Producer, StreamHead

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def make_exchange(status: int = 200, trace: TraceContext | None = None) -> Exchange:
    return Exchange(
        "http",
        "POST",
        "/v2/models/{model}/infer",
        "m",
        status,
        status >= 500,
        10,
        20,
        1_500_000,
        10**18,
        None,
        trace,
    )


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (TRACEPARENT, True),
        (TRACEPARENT[:-1] + "0", False),
        (f" {TRACEPARENT} ", True),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-brings", True),
    ],
)
def test_parse_traceparent_reads_valid_headers(value: str, sampled: bool) -> None:
    assert parse_traceparent(value.encode()) == TraceContext(TRACE_ID, SPAN_ID, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID}-{SPAN_ID}-01\n{TRACEPARENT}",
    ],
)
def test_parse_traceparent_ignores_others(value: str) -> None:
    assert parse_traceparent(value.encode()) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/v2/models/a%20b/infer?x=1", ("/v2/models/{model}/infer", "a b")),
        (b"/v2/models/m/versions/3/ready", ("/v2/models/{model}/versions/{version}/ready", "m")),
        (b"/v1/models/m/versions/3:predict", ("/v1/models/{model}/versions/{version}:predict", "m")),
        (b"/v2/health/live", ("/v2/health/live", None)),
        (b"/nowhere", ("(none)", None)),
        (b"*", ("(none)", None)),
    ],
)
def test_describe_target_gives_the_template_and_the_model(target: bytes, expected: tuple[str, str]) -> None:
    assert describe_target(target) == expected


@pytest.mark.parametrize(("rate", "lines"), [(1.0, 20), (0.5, 10), (0.1, 2)])
def test_access_log_takes_its_share(caplog: pytest.LogCaptureFixture, rate: float, lines: int) -> None:
    access_log = AccessLog(rate)
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            access_log(make_exchange())
    assert len(caplog.records) == lines


class Pieces:
    """Stands for a stream and for who writes it."""

    unsent_bytes = 0

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.has_ended = self.was_aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def end(self) -> None:
        self.has_ended = True

    def abort(self) -> None:
        self.was_aborted = True


class Connection:
    """Where replies go; stands for the client's connection."""

    client = UNKNOWN_CLIENT

    def __init__(self) -> None:
        self.replies: list[HttpResponse] = []
        self.pieces = Pieces()

    def stream(self, _request: HttpRequest, _head: StreamHead, _producer: Any) -> Pieces:
        return self.pieces

    def reply(self, request: HttpRequest, response: HttpResponse) -> None:
        self.replies.append(response)


def ask(
    application: Callable[[HttpRequest], None], method: bytes = b"POST", target: bytes = b"/v2/models/m/infer"
) -> tuple[HttpRequest, Connection, list[Exchange]]:
    connection, seen = Connection(), list[Exchange]()
    head = RequestHead(
        method=method, target=target, headers={b"x-request-id": b"r-1\n"}, keep_alive=True, is_http_1_0=False,
        body_bytes=6,
    )  # fmt: skip
    request = HttpRequest(head, b"secret", 0, connection)
    ObservedApplication(application, seen.append)(request)
    return request, connection, seen


def test_observed_application_tells_of_an_answer_without_its_content() -> None:
    _, connection, (exchange,) = ask(lambda request: request.reply(HttpResponse(503, b"{}")))
    assert [response.status for response in connection.replies] == [503]
    assert (exchange.status, exchange.failed, exchange.route) == (503, True, "/v2/models/{model}/infer")
    assert (exchange.request_bytes, exchange.response_bytes) == (6, 2)
    assert exchange.request_id == "r-1\n"
    assert "secret" not in repr(exchange)


def begin_stream(request: HttpRequest) -> AnswerStream:
    request.on_disconnect = lambda: None
    stream = request.stream(StreamHead(b"text/event-stream"), Mock(spec=Producer))
    stream.write(b"12345")
    return stream


def test_observed_application_tells_of_a_stream_at_its_end() -> None:
    streams: list[AnswerStream] = []
    request, connection, seen = ask(lambda request: streams.append(begin_stream(request)))
    assert seen == []
    streams[0].write(b"678")
    streams[0].end()
    (exchange,) = seen
    assert (exchange.status, exchange.failed, exchange.response_bytes) == (200, False, 8)
    assert connection.pieces.written == [b"12345", b"678"]
    assert connection.pieces.has_ended
    assert request.on_disconnect is not None
    request.on_disconnect()
    assert len(seen) == 1


def test_observed_application_tells_what_a_client_had_of_a_stream_when_it_left() -> None:
    request, _, seen = ask(lambda request: begin_stream(request).write(b""))
    assert request.on_disconnect is not None
    request.on_disconnect()
    assert [(one.status, one.response_bytes) for one in seen] == [(499, 5)]


def test_observed_application_tells_of_a_stream_that_was_broken_off() -> None:
    _, connection, seen = ask(lambda request: begin_stream(request).abort())
    assert connection.pieces.was_aborted
    assert [(one.status, one.failed) for one in seen] == [(500, True)]


def test_observed_application_tells_of_a_client_that_left_once() -> None:
    cancelled: list[bool] = []

    def answer_later(request: HttpRequest) -> None:
        request.on_disconnect = lambda: cancelled.append(True)

    request, _, seen = ask(answer_later)
    assert seen == []
    assert request.on_disconnect is not None
    request.on_disconnect()
    request.reply(HttpResponse(200, b"too late"))
    assert [exchange.status for exchange in seen] == [499]
    assert cancelled == [True]


def test_observed_application_names_unusual_methods_alike() -> None:
    _, _, (exchange,) = ask(lambda request: request.reply(HttpResponse(405)), b"FORGED\x1b", b"/x")
    assert (exchange.method, exchange.route) == ("(other)", "(none)")


def test_background_observer_drops_what_it_cannot_keep_up_with_and_survives_faults(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate, seen = threading.Event(), list[Exchange]()

    def observe(exchange: Exchange) -> None:
        gate.wait(120)
        seen.append(exchange)
        raise ValueError("an exporter's fault")

    background = BackgroundObserver([observe], capacity=3)
    for _ in range(10):
        background(make_exchange())
    gate.set()
    background.close(10)
    assert 3 <= len(seen) <= 4
    assert "requests were left out of the access log and traces" in caplog.messages


def test_background_observer_tells_later_stages_what_earlier_ones_found_out() -> None:
    seen = list[Exchange]()
    found = TraceContext(TRACE_ID, SPAN_ID, sampled=True)

    def fail(_: Exchange) -> None:
        raise ValueError("an exporter's fault")

    background = BackgroundObserver([lambda one: replace(one, trace=found), fail, seen.append])
    background(make_exchange())
    background.close(10)
    assert [exchange.trace for exchange in seen] == [found]


def test_tracer_makes_a_span_below_the_callers() -> None:
    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter, {})
    known = [
        tracer(make_exchange(500, TraceContext(TRACE_ID, SPAN_ID, sampled=True))),
        tracer(make_exchange(200, TraceContext(TRACE_ID, SPAN_ID, sampled=False))),
        tracer(make_exchange(200)),
    ]
    tracer.close()
    child, root = exporter.get_finished_spans()
    # Who reads a log line finds the span that was sent; of the second request there is none.
    assert [exchange and exchange.trace for exchange in known] == [
        TraceContext(TRACE_ID, f"{child.context.span_id:016x}", sampled=True),
        None,
        TraceContext(f"{root.context.trace_id:032x}", f"{root.context.span_id:016x}", sampled=True),
    ]
    assert child.parent is not None
    assert (f"{child.context.trace_id:032x}", f"{child.parent.span_id:016x}") == (TRACE_ID, SPAN_ID)
    assert (child.kind, child.status.status_code) == (SpanKind.SERVER, StatusCode.ERROR)
    assert (child.start_time, child.end_time) == (10**18 - 1_500_000, 10**18)
    assert child.name == "POST /v2/models/{model}/infer"
    assert child.attributes is not None
    assert child.attributes["http.response.status_code"] == 500
    assert child.resource.attributes["service.name"] == "modelservice-runtime"
    assert root.parent is None


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_wants_traces_follows_the_standard_variables(environment: dict[str, str], wanted: bool) -> None:
    assert wants_traces(environment) is wanted


@pytest.mark.parametrize(
    ("environment", "other"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": ""}, None),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, None),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
        (
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            None,
        ),
    ],
)
def test_find_other_protocol_names_the_variable(environment: dict[str, str], other: str | None) -> None:
    assert find_other_protocol(environment) == other


def test_seldom_handler_passes_one_record_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    library = logging.getLogger("a-library")
    library.propagate = False
    library.addHandler(SeldomHandler(60.0, lambda: now))
    for now in (100.0, 101.0, 159.9, 160.0, 161.0):
        library.warning("no collector at %s", now)
    assert caplog.messages == ["no collector at 100.0", "no collector at 160.0"]


def test_make_observation_without_anything_wanted_leaves_the_application_alone() -> None:
    def application(request: HttpRequest) -> None:
        raise AssertionError(request)

    observation = make_observation(AccessLogSettings(), {})
    assert observation.watch(application) is application
    observation.close()


def test_serve_writes_an_access_log_that_cannot_be_forged(model_files: dict[str, Path]) -> None:
    arguments = ("--model", f"mlp={model_files['mlp']}", "--drain-delay-seconds", "0", "--access-log", "all")
    with server_process(*arguments) as server:
        server.wait_for("ready")
        forged = "/v2/models/x%0a%7B%22level%22%3A%22error%22%7D/infer"
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.http_port}{forged}", b"the payload", {"traceparent": TRACEPARENT}
        )
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(request)
        record = server.wait_for("request")
        assert record["route"] == "/v2/models/{model}/infer"
        assert record["model"] == 'x\n{"level":"error"}'
        assert (record["status"], record["request_bytes"]) == (404, 11)
        assert (record["trace_id"], record["span_id"]) == (TRACE_ID, SPAN_ID)
        assert "payload" not in json.dumps(record)
        assert server.end() == 0
