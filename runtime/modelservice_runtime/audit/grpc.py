"""The audit log around gRPC services: who is turned away, and what became of who was let in."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from modelservice_runtime.audit.asking import AskedTable, Notes
from modelservice_runtime.audit.line import Asked, Entrant, Line
from modelservice_runtime.audit.log import AuditLog
from modelservice_runtime.auth.caller import NOBODY
from modelservice_runtime.auth.guard import Guard
from modelservice_runtime.errors import ServingError
from modelservice_runtime.observe.exchange import Exchange, decode_header
from modelservice_runtime.observe.grpc import observe_call
from modelservice_runtime.protocols.open_paths import OPEN_GRPC_PATHS
from modelservice_runtime.transport.client import Client
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall, Service
from modelservice_runtime.transport.status import grpc_error

_PROTOCOL = "grpc"


class AuditedGrpcAdmission:
    """The guard in front of every gRPC call; see `Admission` of the transport.

    With `of_all` nobody is let in whose line has no place.
    """

    def __init__(self, guard: Guard, log: AuditLog, *, of_all: bool) -> None:
        self._guard = guard
        self._log = log
        self._of_all = of_all

    def __call__(self, path: str, metadata: Mapping[bytes, bytes], client: Client) -> Entrant | None:
        """Return who calls, None where everybody may. Raises GrpcError."""
        if path in OPEN_GRPC_PATHS:
            return None
        try:
            entrant = Entrant(self._guard.check(metadata, client), client)
        except ServingError as error:
            refusal = grpc_error(error)
            line = _line(time.time_ns(), path, metadata, Entrant(NOBODY, client))
            self._log.refuse(replace(line, reason=refusal.message, status=refusal.status.name))
            raise refusal from error
        if self._of_all:
            self._check_room()
        return entrant

    def _check_room(self) -> None:
        try:
            self._log.check_room()
        except ServingError as error:
            raise grpc_error(error) from error


def audit_services(services: Mapping[str, Service], log: AuditLog, table: AskedTable) -> dict[str, Service]:
    """The same services, whose calls are in the log when they end."""
    return {path: partial(_serve, service, log, table) for path, service in services.items()}


def _serve(service: Service, log: AuditLog, table: AskedTable, call: GrpcCall) -> CallHandler:
    entrant = call.caller
    if not isinstance(entrant, Entrant):
        return service(call)  # everybody may
    audited = _AuditedCall(call, entrant, log, table)
    return observe_call(audited.serve(service), audited.ended, call)


class _AuditedCall:
    """What is known of one call so far. Each request of a stream has a line of its own."""

    def __init__(self, call: GrpcCall, entrant: Entrant, log: AuditLog, table: AskedTable) -> None:
        self._path = call.path
        self._metadata = call.metadata
        self._entrant = entrant
        self._log = log
        self._table = table
        self._notes = Notes()
        self._asked: Asked | None = None
        self._asked_unix_ns = 0

    def serve(self, service: Service) -> Service:
        """The service, while what it asks the table for is noted."""

        def noting(call: GrpcCall) -> CallHandler:
            return _NotingHandler(service(call), self)

        return noting

    def note(self, act: Callable[[], None]) -> None:
        """Do something that may ask the table."""
        self._table.notes = self._notes
        try:
            act()
        finally:
            self._table.notes = None
            self._take_notes()

    def ended(self, exchange: Exchange) -> None:
        """Write the last line."""
        self._take_notes()
        line = self._line(exchange.ended_unix_ns)
        self._log.add(replace(line, status=exchange.status, asked=self._asked))

    def _take_notes(self) -> None:
        """Where something was asked for, the request before it in the stream gets its line."""
        asked, self._notes.asked = self._notes.asked, None
        if asked is None:
            return
        if self._asked is not None:
            self._log.add(replace(self._line(self._asked_unix_ns), asked=self._asked))
        self._asked, self._asked_unix_ns = asked, time.time_ns()

    def _line(self, unix_ns: int) -> Line:
        return _line(unix_ns, self._path, self._metadata, self._entrant)


class _NotingHandler:
    """Stands in front of one call's handler; see `CallHandler`."""

    __slots__ = ("_call", "_handler")

    def __init__(self, handler: CallHandler, call: _AuditedCall) -> None:
        self._handler = handler
        self._call = call

    def on_message(self, message: bytes) -> None:
        self._call.note(partial(self._handler.on_message, message))

    def on_end(self) -> None:
        self._call.note(self._handler.on_end)

    def on_cancel(self) -> None:
        self._handler.on_cancel()


def _line(unix_ns: int, path: str, metadata: Mapping[bytes, bytes], entrant: Entrant) -> Line:
    return Line(
        unix_ns=unix_ns,
        protocol=_PROTOCOL,
        method=None,
        route=path,
        entrant=entrant,
        request_id=decode_header(metadata.get(b"x-request-id")),
    )
