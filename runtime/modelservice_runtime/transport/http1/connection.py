"""One client's connection in time: its transport, its place, its timeouts and its end."""

import asyncio
import time

from modelservice_runtime.transport.client import read_client
from modelservice_runtime.transport.http1.bodies.piecewise import Piecewise
from modelservice_runtime.transport.http1.exchange import Exchange
from modelservice_runtime.transport.http1.port import HttpPort
from modelservice_runtime.transport.http1.refusals import too_many_connections, too_slow
from modelservice_runtime.transport.http1.request_reader import Phase
from modelservice_runtime.transport.port_server import Place
from modelservice_runtime.transport.sockets import has_hung_up

# Answers that take less are given also to a client that sends many requests at once and half-closes.
_PATIENCE_NS = 1_000_000_000


class Connection(Exchange):
    """See the module's text."""

    def __init__(self, server: HttpPort) -> None:
        super().__init__(server)
        self._retire_at = server.age_limit()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register with the server; turn the client away when there are too many."""
        self._transport = transport
        self.client = read_client(transport)
        if transport.get_extra_info("ssl_object") is not None:
            self._piecewise = Piecewise(self._transport.write)
        place = self._server.opened(self)
        if place is not Place.REGULAR:
            self._take_place(place)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell whoever works on the current request that nobody waits any more."""
        self._server.closed(self)
        self._count_unsent(0)
        self._release_body()
        self._body.discard()
        self._requests.clear()
        request, self._current = self._current, None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.lose()
        self._last_request_seen = True
        if self._large_reads is not None:
            self._large_reads.stop()
        # They know this connection, and a cycle would keep their memory: with TLS, all that was not sent.
        self._large_reads = self._piecewise = self._transport = None
        if request is not None and request.on_disconnect is not None:
            request.on_disconnect()

    def eof_received(self) -> bool:
        """The client left, or half-closed, which looks the same: what it asked for is cancelled.

        Answers already written still go out. Clients that half-close while they wait are rare; clients that
        time out, close and ask again are not, and their old requests must not hold up the new ones.
        """
        return False

    def resume_writing(self) -> None:
        """The client caught up."""
        self._writing_paused = False
        self._count_unsent(0)
        self._write_pieces()
        if not self._writing_paused:
            self._process()
        if self._stream is not None and not self._writing_paused:
            self._stream.producer.resume()

    # its place and its end

    def _take_place(self, place: Place) -> None:
        """There are too many connections: let a probe in, or leave."""
        if place is Place.PROBE:
            self._application = self._server.serve_probe
            self._probes_only = True
            self._retiring = True
            self._deadline = self._server.now + self._limits.head_timeout_seconds
        elif place is Place.REFUSAL:
            self._refuse(too_many_connections())
        else:
            self.abort()

    def close_when_idle(self) -> None:
        """Close now, or after the answers that are still due."""
        if self._transport is None or (
            self._current is None and not self._requests and self._phase is Phase.IDLE
        ):
            self.close()

    def close(self) -> None:
        """Close after what is buffered has been sent."""
        if self._transport is not None:
            self._write_all_pieces()
            self._transport.close()

    def say_last(self) -> bool:
        """See `ServedConnection`."""
        on_cut_off = getattr(self._current, "on_cut_off", None)
        if on_cut_off is not None:
            on_cut_off()
        return on_cut_off is not None

    @property
    def idle_until(self) -> float | None:
        """See `ServedConnection`."""
        is_idle = self._phase in (Phase.IDLE, Phase.HEAD) and not self._is_busy()
        return self._deadline if is_idle and not self._transport.is_closing() else None

    def check_deadline(self, now: float) -> None:
        """Called by the server's sweep: end the connection when the client is too slow."""
        if self._large_reads is not None:
            self._large_reads.forget_unused()
        if now > self._retire_at:
            self._retiring = True
        if self._writing_paused:
            self._check_write_progress(now)
        elif self._has_left():
            self.abort()
        elif self._phase is Phase.LINGER:
            if now > self._deadline:
                self.abort()
        elif self._current is None and now > self._current_deadline():
            if self._phase is Phase.IDLE:
                self.close()
            else:
                self._refuse(too_slow())

    # inside

    def _has_left(self) -> bool:
        """Whether the client of an answer that takes long has gone, where unread requests hide it."""
        if not self._reading_paused or self._current is None:
            return False
        waited_ns = time.perf_counter_ns() - self._current.received_ns
        return waited_ns > _PATIENCE_NS and has_hung_up(self._transport)

    def _linger(self) -> None:
        """Send our end of stream and read on for a moment: closing at once could destroy the answer.

        The kernel resets a connection that is closed with unread data (RFC 9112, 9.6).
        """
        if self._transport.is_closing():
            return
        if self._probes_only:
            self._server.answered(self)
        if self._large_reads is not None:
            self._large_reads.stop()
        self._phase = Phase.LINGER
        self._deadline = self._server.now + self._limits.linger_seconds
        self._release_body()
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        if self._last_request_seen and self._refusal is None:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
