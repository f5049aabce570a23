"""What the connections of an HTTP/1 port share: application, limits, and what need not be done twice."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from modelservice_runtime.errors import ServingError
from modelservice_runtime.transport.client import Client
from modelservice_runtime.transport.http import (
    HttpApplication,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    RequestHead,
    render_date,
    render_start,
)
from modelservice_runtime.transport.http1.bodies.body import MIN_DIRECT_BYTES
from modelservice_runtime.transport.http1.refusals import (
    RefusalError,
    too_large,
    too_many_connections,
    turned_away,
)
from modelservice_runtime.transport.port_server import PortServer, ServedConnection
from modelservice_runtime.transport.status import error_response

# Clients that put something new into every head fill this; it is emptied then.
_MAX_KNOWN_HEADS = 512
_MAX_KNOWN_HEAD_BYTES = 2048
# Of larger bodies, and those of unknown size, nothing at all is read from who may not ask; of smaller ones no
# more than came with the head.
_MAX_UNASKED_BYTES = 64 * 1024

Refuse: TypeAlias = Callable[[bytes, Mapping[bytes, bytes], ServingError], HttpResponse]
"""Makes the answer to who may not ask, of a request's target and headers."""


class Admission(Protocol):
    """Decides who may send a body."""

    def __call__(self, target: bytes, headers: Mapping[bytes, bytes], client: Client) -> object:
        """Raise ServingError to turn a request away."""


class HttpPort(PortServer[ServedConnection]):
    """See the module's text. Complete requests go to `application`.

    `known_heads` holds parsed heads by their bytes: clients say the same with every request, and the same
    bytes mean the same. From `start_closing` on every answer closes its connection. `admit`, if set, is
    asked before a body is held; the application has to ask for every request all the same. `is_probe` tells
    of a request's target whether it is answered also where there are too many connections; where there is
    `admit`, such a request has no body. `refuse` makes the answer to who may not ask.
    """

    def __init__(
        self,
        application: HttpApplication,
        limits: HttpLimits,
        loop: asyncio.AbstractEventLoop,
        admit: Admission | None = None,
        is_probe: Callable[[bytes], bool] = lambda _target: False,
        refuse: Refuse = lambda _target, _headers, error: error_response(error),
    ) -> None:
        super().__init__(limits, loop)
        self.admit = admit
        self.is_probe = is_probe
        self.refuse = refuse
        self.application = application
        self.limits = limits
        self.known_heads: dict[bytes, RequestHead] = {}
        self._starts: dict[tuple[int, bytes], bytes] = {}

    def admit_body(
        self, target: bytes, headers: Mapping[bytes, bytes], body_bytes: int, client: Client
    ) -> bool:
        """Whether who announces a body of `body_bytes` (-1: of unknown length) may ask.

        False where that is still to be found out, before more is read than came with the head. Raises
        RefusalError for a body that need not be read.
        """
        if body_bytes > 0:
            self._check_length(body_bytes)
        if self.admit is None:
            return True
        if self.is_probe(target):  # or strangers could fill the memory with it
            raise RefusalError(413, "everybody may ask this path, so it takes no body; ask with GET")
        if 0 < body_bytes <= _MAX_UNASKED_BYTES and b"expect" not in headers:
            return False
        self.check_admission(target, headers, client)
        return True

    def check_admission(self, target: bytes, headers: Mapping[bytes, bytes], client: Client) -> None:
        """Raise RefusalError for who may not ask anything: they shall not fill the memory either."""
        if self.admit is not None:
            try:
                self.admit(target, headers, client)
            except ServingError as error:
                raise turned_away(self.refuse(target, headers, error)) from None

    def has_no_room_for(self, response: HttpResponse) -> bool:
        """Whether all clients together hold too much for a large answer to wait for its own."""
        is_full = self.buffers.held_bytes > self.limits.max_buffered_bytes
        return is_full and response.content_length >= MIN_DIRECT_BYTES

    def serve_probe(self, request: HttpRequest) -> None:
        """The application of a connection beyond the limit."""
        if self.is_probe(request.target):
            self.application(request)
        else:
            request.reply(too_many_connections().response)

    def sweep(self) -> None:
        """See `PortServer`."""
        self._starts.clear()  # they carry the date
        super().sweep()

    def remember(self, data: bytes, head: RequestHead) -> None:
        """Keep a parsed head, the bytes of which are `data`, unless it is unusually large."""
        if len(data) <= _MAX_KNOWN_HEAD_BYTES:
            if len(self.known_heads) >= _MAX_KNOWN_HEADS:
                self.known_heads.clear()
            self.known_heads[data] = head

    def response_start(self, status: int, content_type: bytes) -> bytes:
        """See `http.render_start`; rendered once for each sweep."""
        key = (status, content_type)
        start = self._starts.get(key)
        if start is None:
            start = self._starts[key] = render_start(status, content_type, self.date())
        return start

    def _check_length(self, body_bytes: int) -> None:
        if body_bytes > self.limits.max_body_bytes:
            raise too_large(self.limits.max_body_bytes)
        room_bytes = self.limits.max_buffered_bytes - self.buffers.withheld_bytes
        if body_bytes > room_bytes:
            raise RefusalError(507, f"there is memory for bodies of {room_bytes} bytes; send less at once")

    def date(self) -> bytes:
        """Now, as a header says it."""
        return render_date(time.time())
