"""A real server on a loopback port, in a thread of the test process."""

import asyncio
import http.client
import json
import socket
import threading
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from modelservice_runtime.auth.loading import load_guard
from modelservice_runtime.execution.lane import Lane
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.models.batching_decision import BatchingWish, prove_file
from modelservice_runtime.models.health import Health
from modelservice_runtime.models.learning import learn
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.models.text_inputs import load_text_inputs
from modelservice_runtime.observe.generation_metrics import GenerationMetrics
from modelservice_runtime.observe.metrics import MetricsApplication
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.protocols.application import build_application
from modelservice_runtime.protocols.grpc_services import build_grpc_services
from modelservice_runtime.protocols.open_paths import GRPC_PROBES, OPEN_GRPC_PATHS, is_open_target
from modelservice_runtime.protocols.refusals import refusal_response
from modelservice_runtime.serving import load
from modelservice_runtime.serving.life import Life
from modelservice_runtime.serving.load import LoadPage, ProcessLoad
from modelservice_runtime.serving.pages import PagesApplication
from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.settings.security import SecuritySettings
from modelservice_runtime.settings.sessions import SessionSettings
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.grpc.server import GrpcServer
from modelservice_runtime.transport.http import HttpLimits
from modelservice_runtime.transport.http1.server import HttpServer
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.rest.server import RestServer
from modelservice_runtime.transport.tls import load_tls


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class ServerThread:
    """Serves `models` (name -> file) until `stop`."""

    def __init__(
        self,
        models: Mapping[str, Path],
        limits: HttpLimits | None = None,
        lane: LaneSettings | None = None,
        security: SecuritySettings | None = None,
        host: str = "127.0.0.1",
        publish: Callable[["ServerThread"], None] = lambda _server: None,
    ) -> None:
        self._host = host
        self._publish = publish
        self.limits = replace(limits or HttpLimits(), sweep_seconds=0.05)
        self._lane = lane or LaneSettings()
        self.delay_seconds = self._lane.max_delay_seconds
        self._models = models
        security = security or SecuritySettings()
        self._security = security
        self._access, self.tls = load_guard(security), load_tls(security.tls)
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = self.grpc_port = self.metrics_port = 0
        self.table = ModelTable()
        self.health = Health(self.table)
        self.life = Life()
        self.server: RestServer
        self.grpc_paths: list[str]
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> "ServerThread":
        self._thread.start()
        assert self._started.wait(120)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(120)
        assert not self._thread.is_alive()

    def request(
        self, method: str, path: str, body: bytes | object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, data, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def load_page(self) -> dict[str, Any]:
        """What `/load` on the metrics port says now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/load", timeout=120) as response:
            page: dict[str, Any] = json.load(response)
            return page

    def infer(self, model: str, inputs: Sequence[Mapping[str, Any]], **fields: Any) -> Answer:
        return self.request("POST", f"/v2/models/{model}/infer", {"inputs": list(inputs), **fields})

    def poll_files(self) -> None:
        """Look at the files of keys now; on the loop's thread."""
        for files in self._access.files:
            files.poll()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def load(self, name: str, path: Path, version: str = "1") -> ModelHandle:
        """A version of a model, ready to be published on the loop's thread."""
        model = load_onnx_model(path, name, version, SessionSettings(("CPU",), 1))
        statistics = ModelStatistics()
        # The tests' models are so small that a proof of their graphs is not what is tested.
        wish = BatchingWish(self._lane.max_batch_size, rows_are_independent=True)
        learned = learn(model, wish, lambda: prove_file(path))
        lane = Lane(model, self._lane, statistics, self.loop, learned)
        return ModelHandle(model.spec, lane, statistics, load_text_inputs(model.spec, path))

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        for name, path in self._models.items():
            self.table.publish(self.load(name, path))
        self._publish(self)
        application = build_application(self.table, self.health, self.limits.max_body_bytes, self._security)
        guarded, admit = self._access.protect(application), self._access.http_admission
        is_probe = is_open_target
        self.server = RestServer(guarded, self.limits, self.loop, admit, is_probe, refusal_response)
        pages = {load.PATH: LoadPage(ProcessLoad(self.table), self.life)}
        prometheus = MetricsApplication(self.table, collectors=[GenerationMetrics(self.table.generative)])
        metrics = HttpServer(PagesApplication(pages, prometheus), HttpLimits(), self.loop)
        streams = OpenStreams()
        services = build_grpc_services(self.table, self.health, streams, self.loop)
        self.grpc_paths = sorted(services)
        limits = Http2Limits(max_message_bytes=self.limits.max_body_bytes, sweep_seconds=0.05)
        grpc = GrpcServer(services, limits, self.loop, self._access.admission, GRPC_PROBES, OPEN_GRPC_PATHS)
        self.port = await self.server.listen(self._host, 0, self.tls.http)
        self.grpc_port = await grpc.listen(self._host, 0, self.tls.grpc)
        self.metrics_port = await metrics.listen(self._host, 0)
        self.life.become_ready()
        self._started.set()
        await self._stop.wait()
        streams.end_all()
        await grpc.drain(0.2)
        await self.server.drain(0.2)
        await metrics.drain(0)


def read_until_closed(connection: socket.socket) -> bytes:
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"<reset>")
    return b"".join(parts)


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read one response with a Content-Length: its status and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1)
        assert part, f"closed after {data!r}"
        data += part
    head = data.decode("latin-1")
    length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
    body = b""
    while len(body) < length:
        part = connection.recv(length - len(body))
        assert part, "closed within the body"
        body += part
    return int(head.split(" ", 2)[1]), body
