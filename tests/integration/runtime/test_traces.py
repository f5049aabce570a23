"""Spans leave a real server for a real collector; one that is gone or says nothing holds nobody up."""

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.unit.runtime.server_process import ServerProcess, server_process
from tritonclient.grpc import service_pb2, service_pb2_grpc

BODY = b'{"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}'
REST, GRPC = "POST /v2/models/{model}/infer", "POST /inference.GRPCInferenceService/ModelInfer"


class Collector:
    """Takes spans as OTLP over HTTP has them (protobuf, `/v1/traces`)."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def spans(self) -> dict[str, Span]:
        """What has come, by the spans' names."""
        return {
            span.name: span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                requests.append(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments: object) -> None:
                pass

        return Handler


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, args=(0.01,))
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


@contextmanager
def traced_server(
    monkeypatch: pytest.MonkeyPatch, model: Path, endpoint: str, *arguments: str
) -> Iterator[ServerProcess]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with server_process("--model", f"mlp={model}", "--drain-delay-seconds", "0", *arguments) as server:
        server.wait_for("ready")
        yield server


def infer_over_rest(server: ServerProcess, traceparent: str) -> int:
    url = f"http://127.0.0.1:{server.http_port}/v2/models/mlp/infer"
    with urllib.request.urlopen(urllib.request.Request(url, BODY, {"traceparent": traceparent})) as answer:
        return answer.status


def infer_over_grpc(server: ServerProcess, traceparent: str) -> None:
    request = service_pb2.ModelInferRequest(
        model_name="mlp", raw_input_contents=[np.ones((1, 4), np.float32).tobytes()]
    )
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ModelInfer(request, metadata=(("traceparent", traceparent),), timeout=120)


def test_spans_of_both_protocols_arrive_below_their_callers(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, model_files: dict[str, Path]
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mail")
    with traced_server(monkeypatch, model_files["mlp"], collector.endpoint) as server:
        infer_over_rest(server, f"00-{'a' * 32}-{'1' * 16}-01")
        infer_over_grpc(server, f"00-{'b' * 32}-{'2' * 16}-01")
        assert server.end() == 0  # sends what is left
    spans = collector.spans()
    parents = {name: (span.trace_id.hex(), span.parent_span_id.hex()) for name, span in spans.items()}
    assert parents == {REST: ("a" * 32, "1" * 16), GRPC: ("b" * 32, "2" * 16)}
    for span in spans.values():
        assert span.kind == Span.SPAN_KIND_SERVER
        assert 0 < span.start_time_unix_nano < span.end_time_unix_nano
        values = {pair.key: pair.value.string_value for pair in span.attributes}
        assert values["modelservice.model"] == "mlp"
    resource = collector.requests[0].resource_spans[0].resource
    assert ("service.name", "mail") in [(pair.key, pair.value.string_value) for pair in resource.attributes]


def test_span_that_its_caller_does_not_record_stays(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, model_files: dict[str, Path]
) -> None:
    with traced_server(monkeypatch, model_files["mlp"], collector.endpoint) as server:
        infer_over_rest(server, f"00-{'a' * 32}-{'1' * 16}-00")
        infer_over_grpc(server, f"00-{'b' * 32}-{'2' * 16}-01")
        assert server.end() == 0
    assert set(collector.spans()) == {GRPC}


def test_line_of_the_access_log_leads_to_its_span(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, model_files: dict[str, Path]
) -> None:
    with traced_server(monkeypatch, model_files["mlp"], collector.endpoint, "--access-log", "all") as server:
        url = f"http://127.0.0.1:{server.http_port}/v2/models/mlp/infer"
        with urllib.request.urlopen(urllib.request.Request(url, BODY)):
            line = server.wait_for("request")
        assert server.end() == 0
    span = collector.spans()[REST]
    assert (line["trace_id"], line["span_id"]) == (span.trace_id.hex(), span.span_id.hex())


@pytest.mark.parametrize("listening", [True, False], ids=["silent", "gone"])
def test_missing_collector_holds_up_neither_requests_nor_the_end(
    listening: bool, monkeypatch: pytest.MonkeyPatch, model_files: dict[str, Path]
) -> None:
    """Every span is a batch, of which the SDK would wait ten seconds for each, one after the other."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if not listening:
            silent.close()
        with traced_server(monkeypatch, model_files["mlp"], f"http://127.0.0.1:{port}") as server:
            for _ in range(8):
                assert infer_over_rest(server, f"00-{'a' * 32}-{'1' * 16}-01") == 200
            assert server.end() == 0
            assert server.process.stderr is not None
            lines = server.process.stderr.read().splitlines()
    assert sum("xport" in line for line in lines) <= 1
