"""The audit log around an HTTP front end: who is turned away, and what became of who was let in."""

import time
from collections.abc import Mapping

from modelservice_runtime.audit.asking import AskedTable, Notes
from modelservice_runtime.audit.line import Asked, Entrant, Line
from modelservice_runtime.audit.log import AuditLog
from modelservice_runtime.auth.caller import NOBODY
from modelservice_runtime.auth.guard import Guard
from modelservice_runtime.errors import ServingError
from modelservice_runtime.observe.exchange import Exchange, decode_header
from modelservice_runtime.observe.http import build_exchange, describe_target, observe_request
from modelservice_runtime.protocols.open_paths import is_open_target
from modelservice_runtime.protocols.refusals import refuse
from modelservice_runtime.transport.client import Client
from modelservice_runtime.transport.http import HttpApplication, HttpRequest
from modelservice_runtime.transport.status import ERRORS

_PROTOCOL = "http"
_INTERNAL_ERROR = 500


class AuditedHttpAdmission:
    """The guard in front of every HTTP request; see `Admission` of the transport."""

    def __init__(self, guard: Guard, log: AuditLog) -> None:
        self._guard = guard
        self._log = log

    def __call__(self, target: bytes, headers: Mapping[bytes, bytes], client: Client) -> Entrant | None:
        """Return who asks, None where everybody may. Raises ServingError."""
        if is_open_target(target):
            return None
        try:
            return Entrant(self._guard.check(headers, client), client)
        except ServingError as error:
            self._log.refuse(_refusal(target, headers, client, error))
            raise


class AuditedApplication:
    """An HTTP application behind a guard."""

    def __init__(
        self, application: HttpApplication, admit: AuditedHttpAdmission, log: AuditLog, table: AskedTable
    ) -> None:
        self._application = application
        self._admit = admit
        self._log = log
        self._table = table

    def __call__(self, request: HttpRequest) -> None:
        """Hand the request on, or refuse it."""
        try:
            entrant = self._admit(request.target, request.headers, request.source.client)
            if entrant is not None:
                self._log.check_room()
        except ServingError as error:
            refuse(request, error)
            return
        if entrant is None:
            self._application(request)
        else:
            request.caller = entrant.caller
            self._hand_over(request, entrant)

    def _hand_over(self, request: HttpRequest, entrant: Entrant) -> None:
        record = _Record(entrant, self._log)
        self._table.notes = record.notes
        try:
            observe_request(self._application, request, record.end)
        except Exception:
            # The connection answers it: nobody else can.
            record.end(build_exchange(request, _INTERNAL_ERROR, 0, 0, time.time_ns()))
            raise
        finally:
            self._table.notes = None


class _Record:
    """One request that was let in; its line is written once."""

    __slots__ = ("_entrant", "_has_ended", "_log", "notes")

    def __init__(self, entrant: Entrant, log: AuditLog) -> None:
        self._entrant = entrant
        self._log = log
        self._has_ended = False
        self.notes = Notes()

    def end(self, exchange: Exchange) -> None:
        """Write it."""
        if not self._has_ended:
            self._has_ended = True
            self._log.add(_answered(exchange, self._entrant, self.notes))


def _answered(exchange: Exchange, entrant: Entrant, notes: Notes) -> Line:
    return Line(
        unix_ns=exchange.ended_unix_ns,
        protocol=_PROTOCOL,
        method=exchange.method,
        route=exchange.route,
        entrant=entrant,
        request_id=exchange.request_id,
        status=exchange.status,
        asked=notes.asked,
    )


def _refusal(target: bytes, headers: Mapping[bytes, bytes], client: Client, error: ServingError) -> Line:
    """A stranger's words are told as they are: which model they meant, nobody looked up."""
    route, model = describe_target(target)
    return Line(
        unix_ns=time.time_ns(),
        protocol=_PROTOCOL,
        method=None,
        route=route,
        entrant=Entrant(NOBODY, client),
        request_id=decode_header(headers.get(b"x-request-id")),
        reason=str(error),
        status=ERRORS[type(error)].status,
        asked=None if model is None else Asked(model),
    )
