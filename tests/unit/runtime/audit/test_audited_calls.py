"""What the audit log makes of requests within streams, of versions, and of a front end that breaks."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from modelservice_runtime.audit.asking import AskedTable, Notes
from modelservice_runtime.audit.audit import AuditedEntrance
from modelservice_runtime.audit.grpc import audit_services
from modelservice_runtime.audit.http import AuditedApplication, AuditedHttpAdmission
from modelservice_runtime.audit.line import Asked, Entrant, Line
from modelservice_runtime.auth.caller import Caller
from modelservice_runtime.auth.guard import Guard
from modelservice_runtime.errors import NotFoundError
from modelservice_runtime.transport.client import Client
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall, Service
from modelservice_runtime.transport.http import Buffer, HttpRequest, HttpResponse, RequestHead
from modelservice_runtime.transport.status import GrpcError, GrpcStatus

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
ENTRANT = Entrant(Caller(api_key="alice"), Client(None, "10.0.0.7"))


class Lines:
    """Stands for the log: what would be written."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def check_room(self) -> None: ...

    def add(self, line: Line) -> None:
        self.lines.append(line)

    refuse = add


class Call:
    """A call as the transport hands it to services."""

    on_writable: Callable[[], None] | None = None
    path = STREAM
    caller = ENTRANT
    metadata: Mapping[bytes, bytes] = MappingProxyType({b"x-request-id": b"r-7"})
    received_ns = 0
    timeout_seconds = None
    writable = True

    def send(self, message: Buffer | Sequence[Buffer]) -> None: ...

    def finish(self, status: GrpcStatus = GrpcStatus.OK, message: str = "") -> None: ...


class Asking:
    """A service that looks up the model that each message names."""

    def __init__(self, table: AskedTable, call: GrpcCall) -> None:
        self._table = table
        self._call = call

    def on_message(self, message: bytes) -> None:
        with pytest.raises(NotFoundError):
            self._table.find(message.decode(), None)

    def on_end(self) -> None:
        self._call.finish()

    def on_cancel(self) -> None: ...


def serve(log: Any, table: AskedTable) -> CallHandler:
    services = audit_services({STREAM: lambda call: Asking(table, call)}, log, table)
    return services[STREAM](Call())


def test_each_request_of_a_stream_has_its_line() -> None:
    log, table = Lines(), AskedTable()
    handler = serve(log, table)
    for model in (b"spam", b"ham", b"spam"):
        handler.on_message(model)
    assert [line.asked for line in log.lines] == [Asked("spam"), Asked("ham")]
    handler.on_end()

    assert [(line.asked, line.status) for line in log.lines] == [
        (Asked("spam"), None),
        (Asked("ham"), None),
        (Asked("spam"), "OK"),
    ]
    assert {line.request_id for line in log.lines} == {"r-7"}


def test_call_that_its_client_leaves_has_one_line() -> None:
    log, table = Lines(), AskedTable()
    handler = serve(log, table)
    handler.on_message(b"spam")
    handler.on_cancel()
    handler.on_cancel()
    assert [(line.asked, line.status) for line in log.lines] == [(Asked("spam"), "CANCELLED")]


class Connection:
    """Where a request came from."""

    client = Client("CN=web", "10.0.0.7")

    def __init__(self) -> None:
        self.replies: list[HttpResponse] = []

    def reply(self, request: HttpRequest, response: HttpResponse) -> None:
        self.replies.append(response)


def ask(application: Callable[[HttpRequest], None], log: Any, table: AskedTable) -> HttpRequest:
    head = RequestHead(b"POST", b"/v2/models/spam/infer", {}, True, False, 0)
    request = HttpRequest(head, b"", 0, Connection())
    admission = AuditedHttpAdmission(Guard(None, needs_client_certificate=False), log)
    AuditedApplication(application, admission, log, table)(request)
    return request


def test_log_of_refusals_says_nothing_of_those_who_are_let_in() -> None:
    log: Any = Lines()
    guard = Guard(None, needs_client_certificate=True)
    entrance = AuditedEntrance(guard, log, AskedTable(), of_all=False)
    services: dict[str, Service] = {}
    assert entrance.watch(services) is services
    application = entrance.protect(lambda request: request.reply(HttpResponse(200, b"{}")))
    stranger, known = Connection(), Connection()
    stranger.client = Client(None, "10.0.0.8")
    head = RequestHead(b"POST", b"/v2/models/spam/infer", {}, True, False, 0)
    for connection in (stranger, known):
        application(HttpRequest(head, b"", 0, connection))

    assert [one.replies[0].status for one in (stranger, known)] == [401, 200]
    assert [(line.status, line.asked) for line in log.lines] == [(401, Asked("spam"))]
    with pytest.raises(GrpcError):
        entrance.admission(STREAM, {}, stranger.client)
    entrance.admission(STREAM, {}, known.client)
    assert [line.status for line in log.lines] == [401, "UNAUTHENTICATED"]


def test_front_end_that_breaks_leaves_a_line() -> None:
    log, table = Lines(), AskedTable()

    def breaks(request: HttpRequest) -> None:
        table.find("spam", None)

    with pytest.raises(NotFoundError):
        ask(breaks, log, table)
    assert [(line.status, line.asked) for line in log.lines] == [(500, Asked("spam"))]
    assert table.notes is None


def test_request_that_is_answered_later_notes_what_it_asked_for_and_not_what_others_did() -> None:
    log, table = Lines(), AskedTable()

    def later(request: HttpRequest) -> None:
        with pytest.raises(NotFoundError):
            table.find("spam", "3")
        request.on_disconnect = lambda: None

    request = ask(later, log, table)
    assert log.lines == []
    table.notes = Notes()
    with pytest.raises(NotFoundError):
        table.find("another", None)
    request.reply(HttpResponse(200, b"{}"))

    assert [(line.status, line.asked) for line in log.lines] == [(200, Asked("spam", "3"))]
