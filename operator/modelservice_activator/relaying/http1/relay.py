"""The requests of one HTTP/1.1 connection, one after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import h11

from modelservice_activator import metrics
from modelservice_activator.holding.refusals import Refusal
from modelservice_activator.relaying.answers import Answer
from modelservice_activator.relaying.http1.exchange import Exchange
from modelservice_activator.relaying.lost import LOST, LostPodError
from modelservice_activator.relaying.reach import reached

if TYPE_CHECKING:
    from modelservice_activator.relaying.visit import Visit

MAX_HEAD_BYTES = 64 * 1024


class Http1Relay:
    """Reads requests, passes each on and brings its answer back."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._channel = visit.channel
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._received_bytes = 0
        """Since the last answer: what is held in memory of a request that waits."""
        self._has_begun = False
        """Whether the head of the next request has."""

    async def run(self, first: bytes) -> None:
        """Serve the connection, whose first bytes these are, to its end."""
        self._receive(first)
        try:
            while (request := await self._next_request()) is not None:
                self._visit.work()
                await self._answer(request)
                if self._http.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                    break
                self._http.start_next_cycle()
                self._received_bytes = len(self._http.trailing_data[0])
                self._visit.rest(self._visit.means.limits.idle_seconds)
        except h11.RemoteProtocolError as error:
            self._refuse_bad_request(error)
        await self._channel.close_gently()

    def _receive(self, data: bytes) -> None:
        self._received_bytes += len(data)
        self._http.receive_data(data)

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._receive(await self._channel.read())
        return cast("h11.Event | type[h11.PAUSED]", event)

    async def _next_request(self) -> h11.Request | None:
        """Return the next request; None at the end."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._visit.keep(self._received_bytes)
            self._receive(await self._channel.read())
            # A head that has begun is to come soon, however long the connection was kept.
            if self._visit.is_resting and self._http.trailing_data[0] and not self._has_begun:
                self._has_begun = True
                self._visit.rest(self._visit.means.limits.head_seconds)
        self._has_begun = False
        self._visit.keep(0)
        if not isinstance(event, h11.Request):
            return None
        _check(event)
        return event

    async def _answer(self, request: h11.Request) -> None:
        """Hold a request and pass it on; its client may leave at any time."""
        task = asyncio.current_task()
        assert task is not None
        outcome = "left"
        try:
            with self._visit.means.departures.watching(self._channel, task.cancel):
                outcome = await self._relay(request)
        finally:
            metrics.REQUESTS.labels("http1", outcome).inc()

    async def _relay(self, request: h11.Request) -> str:
        """Return what became of the request."""
        visit = self._visit
        exchange = Exchange(self._http, visit, self._next_event)
        # What its client still has to say can wait in the kernel.
        self._channel.stop_reading()
        try:
            with visit.means.holder.hold(visit.key, visit.port) as held:
                held.grow(self._received_bytes)
                async with reached(held, visit.means.connect_seconds) as pod:
                    await exchange.run(request, pod)
        except Refusal as refusal:
            await self._say(Answer(503, refusal.message, refusal.retry_after_seconds))
            return "refused"
        except LostPodError:
            if self._http.our_state is h11.SEND_RESPONSE:
                await self._say(LOST)
            else:
                self._channel.reset()
            return "lost"
        return "passed"

    async def _say(self, answer: Answer) -> None:
        """Answer ourselves; the connection is kept where the whole request has come already."""
        while isinstance(self._http.next_event(), h11.Data):
            pass
        headers = answer.headers()
        if self._visit.is_retired or self._http.their_state is not h11.DONE:
            headers.append((b"connection", b"close"))
        self._write(answer, headers)
        await self._channel.drain()

    def _refuse_bad_request(self, error: h11.RemoteProtocolError) -> None:
        """Say what is wrong where an answer is still due; the connection ends."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE) and self._received_bytes:
            # What h11 says behind a colon is how Python writes the bytes.
            answer = Answer(error.error_status_hint, str(error).partition(":")[0])
            self._write(answer, [*answer.headers(), (b"connection", b"close")])

    def _write(self, answer: Answer, headers: list[tuple[bytes, bytes]]) -> None:
        head = h11.Response(status_code=answer.status, headers=headers, reason=answer.reason)
        for event in (head, h11.Data(data=answer.body), h11.EndOfMessage()):
            self._channel.write(self._http.send(event) or b"")


def _check(request: h11.Request) -> None:
    """Refuse what two servers in a row could understand differently, and what asks for a tunnel."""
    # h11 looks at the size of what is incomplete only.
    if sum(len(name) + len(value) for name, value in request.headers) > MAX_HEAD_BYTES:
        raise h11.RemoteProtocolError("the headers are too large", error_status_hint=431)
    names = {bytes(name) for name, _ in request.headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding", error_status_hint=400)
    if request.method == b"CONNECT":
        raise h11.RemoteProtocolError("CONNECT is not served here", error_status_hint=501)
