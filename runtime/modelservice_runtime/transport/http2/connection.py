"""One client's connection in time: its transport, its turns, its timeouts and its end."""

import asyncio
import logging
import math
import time
from typing import Any

from modelservice_runtime.transport.client import read_client
from modelservice_runtime.transport.http2.framing.errors import ConnectionFailedError, ErrorCode
from modelservice_runtime.transport.http2.framing.frames import (
    DEFAULT_WINDOW_BYTES,
    MAX_STREAM_ID,
    FrameType,
    Setting,
    build_frame,
    build_goaway,
    build_settings,
    build_window_update,
)
from modelservice_runtime.transport.http2.outbox import Outbox
from modelservice_runtime.transport.http2.port import Http2Host
from modelservice_runtime.transport.http2.session import DRAIN_PINGS, Session
from modelservice_runtime.transport.http2.stream import Stream, StreamOwner
from modelservice_runtime.transport.port_server import Place
from modelservice_runtime.transport.tls import HTTP_2

log = logging.getLogger(__name__)

_LIVENESS_PING = b"alive???"
# Who had as much lets others in between: the transport would go on reading what has come.
_TURN_SECONDS = 0.005
# The transport's buffer, above which we neither write nor read.
_WRITE_BUFFER_BYTES = 128 * 1024


class Connection(Session, asyncio.Protocol):
    """See the module's text."""

    _transport: Any

    def __init__(self, server: Http2Host) -> None:
        super().__init__(server)
        self._deferred = False
        self._ended = False
        self._leaving = False
        self._quiet_since = server.now
        self._frame_deadline: float | None = None
        self._leave_deadline: float | None = None
        self._retire_at = server.age_limit()
        self._linger_deadline = 0.0
        self._probe_deadline = math.inf
        self._pinged = False
        self._write_deadline = 0.0
        self._unsent_bytes = 0

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or turn the client away when there are too many or it means another protocol."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self.outbox = Outbox(transport, self._server.call_soon)
        place = self._server.opened(self)
        tls = transport.get_extra_info("ssl_object")
        if place is Place.NONE or (tls is not None and tls.selected_alpn_protocol() != HTTP_2):
            self.abort()
            return
        self.client = read_client(transport)
        self._greet()
        if place is Place.PROBE:
            self._open_stream = self._open_probe
            self._probe_deadline = self._server.now + self.limits.head_timeout_seconds
        elif place is not Place.REGULAR:
            self._fail(ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many connections"))

    def _greet(self) -> None:
        limits = self.limits
        settings = (
            (Setting.MAX_CONCURRENT_STREAMS, limits.max_streams),
            (Setting.INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
            (Setting.MAX_FRAME_SIZE, limits.max_frame_bytes),
            (Setting.MAX_HEADER_LIST_SIZE, limits.max_header_list_bytes),
        )
        added_bytes = limits.connection_window_bytes - DEFAULT_WINDOW_BYTES
        self.outbox.write(build_settings(settings) + build_window_update(0, added_bytes))

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell whoever works on a call that nobody waits any more."""
        self._ended = True
        # The handlers of frames know this connection: in that cycle a TLS transport would keep all that it
        # has not sent.
        self._transport = None
        self.outbox.abandon()
        self._server.closed(self)
        self._drop_streams()

    def eof_received(self) -> bool:
        """The client left; what it asked for is cancelled."""
        return False

    def pause_writing(self) -> None:
        """The client reads more slowly than we answer: let it wait as well."""
        self.outbox.pause()
        self._transport.pause_reading()
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._write_deadline = self._server.now + self.limits.write_stall_seconds

    def resume_writing(self) -> None:
        """The client caught up."""
        self._quiet_since = self.reading_since = self._server.now
        self.outbox.resume()
        if not self.outbox.paused and not self._deferred:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Handle the frames; all that they caused leaves in one write."""
        if self._ended:
            return
        self._quiet_since = self._server.now
        if self._deferred:
            self._rest += data
            return
        try:
            self._take_turn(data)
        except Exception:  # the last boundary: no stream is left without an end
            log.exception("internal error with a connection")
            self.abort()

    def _take_turn(self, data: bytes) -> None:
        self.outbox.corked = True
        started = time.perf_counter()
        try:
            if not (self.feed(data) and time.perf_counter() - started < _TURN_SECONDS) and not self._ended:
                self._defer()
        except ConnectionFailedError as failure:
            self._fail(failure)
        self.outbox.flush()
        if self.is_within_frame:
            self._watch_frame()
        else:
            self._frame_deadline = None
        if self.after_turn:
            self._end_turn()

    # the end

    def start_leaving(self) -> None:
        """Ask the client to go elsewhere; streams that it opens until it knows are served (RFC 9113, 6.8)."""
        if self._leaving or self._ended:
            return
        self._leaving = True
        if self.limits.leaves_when_idle:
            self._leave_deadline = self._server.now + self.limits.max_connection_age_grace_seconds
            if not self.streams:
                self.stop_accepting()
            return
        self.outbox.write(build_goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR))
        self.outbox.write(build_frame(FrameType.PING, 0, 0, DRAIN_PINGS[0]))
        self._leave_deadline = self._server.now + self.limits.leave_seconds

    def close_when_idle(self) -> None:
        """Leave; at once when there is nothing in flight."""
        if not self.streams or self.limits.leaves_when_idle:
            self.stop_accepting()
        else:
            self.start_leaving()

    def say_last(self) -> bool:
        """See `ServedConnection`."""
        said = [stream.say_last() for stream in list(self.streams.values())]
        return any(said)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def idle_until(self) -> float | None:
        """See `ServedConnection`."""
        is_idle = not (self.streams or self._ended or self._transport.is_closing())
        return self._idle_deadline if is_idle else None

    def check_deadline(self, now: float) -> None:
        """Called by the server's sweep: refill the allowance, end what takes too long."""
        self.allowance = min(
            self.limits.allowance_burst,
            self.allowance + int(self.limits.allowance_per_second * self.limits.sweep_seconds),
        )
        if now > self._probe_deadline:
            self.abort()
        elif self.outbox.paused:
            self._check_write_progress(now)
        elif self._ended:
            if now > self._linger_deadline:
                self.abort()
        else:
            if now > self._retire_at:
                self._retire(now)
            if not self._ended:
                self._check_client(now)

    def stop_accepting(self) -> None:
        """The second GOAWAY: streams with larger numbers are ignored, the client repeats them elsewhere."""
        if self._last_accepted_id != MAX_STREAM_ID:
            return
        self._last_accepted_id = self._last_stream_id
        self.outbox.write(build_goaway(self._last_stream_id, ErrorCode.NO_ERROR))
        if not self.streams:
            self._linger(self.limits.leave_seconds)

    def on_drain_ping(self, payload: bytes) -> None:
        """See `Session`."""
        if not self._leaving or self._ended:
            return
        if payload == DRAIN_PINGS[-1]:
            self.stop_accepting()
        else:
            self.outbox.write(build_frame(FrameType.PING, 0, 0, DRAIN_PINGS[-1]))

    def on_last_stream(self) -> None:
        """See `Session`."""
        if self._last_accepted_id != MAX_STREAM_ID:
            self._linger(self.limits.leave_seconds)
        elif self._leaving and self.limits.leaves_when_idle:
            self.stop_accepting()

    # inside

    def _open_probe(self, session: StreamOwner, stream_id: int, head: Any) -> Stream:
        """On a connection beyond the limit, which leaves behind its first call."""
        self._server.call_soon(self._leave_after_probe)
        return self._server.open_probe(session, stream_id, head)

    def _leave_after_probe(self) -> None:
        if not self._ended:
            self._server.answered(self)
            self.stop_accepting()

    def _end_turn(self) -> None:
        streams, self.after_turn = self.after_turn, []
        for stream in streams:
            stream.turn_ended()

    def _defer(self) -> None:
        """Let other connections in between."""
        if not self._deferred:
            self._transport.pause_reading()
        self._deferred = True
        self._server.call_soon(self._resume)

    def _resume(self) -> None:
        if self._ended or not self._deferred:
            return
        self._deferred = False
        if not self.outbox.paused:
            self._transport.resume_reading()
        self.data_received(b"")

    def _watch_frame(self) -> None:
        if self._frame_deadline is None:
            self._frame_deadline = self._server.now + self.limits.head_timeout_seconds

    def _fail(self, failure: ConnectionFailedError) -> None:
        if self._ended:
            return
        self.outbox.write(build_goaway(self._last_stream_id, failure.code, str(failure)))
        self._linger(self.limits.linger_seconds)
        self._drop_streams()

    def _linger(self, seconds: float) -> None:
        """Send our end of stream and read on for a moment: closing at once could destroy the last answers.

        The kernel resets a connection that is closed with unread data, and a client that writes to it fails
        before it has read the GOAWAY that tells it to ask elsewhere.
        """
        self._ended = True
        self.outbox.close()
        self._linger_deadline = self._server.now + seconds
        if self._transport.is_closing():
            return
        if self._deferred:
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _drop_streams(self) -> None:
        streams, self.streams = self.streams, {}
        self._server.open_streams -= len(streams)
        for stream in streams.values():
            stream.discard()
            stream.dropped()

    def _check_write_progress(self, now: float) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._unsent_bytes:
            self._write_deadline = now + self.limits.write_stall_seconds
        elif now > self._write_deadline:
            self.abort()
        self._unsent_bytes = unsent

    def _check_client(self, now: float) -> None:
        if self._frame_deadline is not None and now > self._frame_deadline:
            self._fail(ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "a frame took too long to arrive"))
        elif self._leave_deadline is not None and now > self._leave_deadline:
            self._leave_deadline = None
            self.stop_accepting()
        elif self.streams:
            for stream in list(self.streams.values()):
                if stream.queued_bytes and now > stream.stall_deadline:
                    self.reset(stream, ErrorCode.ENHANCE_YOUR_CALM)
                    stream.dropped()
                else:
                    stream.check_deadline(now)
            self._check_liveness(now)
        elif now > self._idle_deadline:
            self.start_leaving()

    def _retire(self, now: float) -> None:
        """The connection is old: calls go elsewhere, those that stay are asked to end, and then ended."""
        self.start_leaving()
        overdue_seconds = now - self._retire_at - self.limits.max_connection_age_grace_seconds
        if overdue_seconds > 0:
            for stream in list(self.streams.values()):
                stream.leave(at_once=overdue_seconds > self.limits.linger_seconds)

    def _check_liveness(self, now: float) -> None:
        """A client that vanished without a word would keep its calls open for ever."""
        silence = now - self._quiet_since
        if silence > self.limits.ping_after_seconds + self.limits.ping_timeout_seconds:
            self.abort()
        elif silence <= self.limits.ping_after_seconds:
            self._pinged = False
        elif not self._pinged:
            self._pinged = True
            self.outbox.write(build_frame(FrameType.PING, 0, 0, _LIVENESS_PING))
