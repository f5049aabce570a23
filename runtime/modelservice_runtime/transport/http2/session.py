"""The state of one client's HTTP/2: streams, windows, settings, and what each frame does to them.

Whatever costs us something and brings nothing forward is paid for from an allowance (see `Http2Limits`).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from modelservice_runtime.transport.client import UNKNOWN_CLIENT
from modelservice_runtime.transport.http2.framing.errors import (
    ConnectionFailedError,
    ErrorCode,
    StreamFailedError,
)
from modelservice_runtime.transport.http2.framing.frames import (
    ACK,
    END_STREAM,
    MAX_MAX_FRAME_BYTES,
    MAX_STREAM_ID,
    MAX_WINDOW_BYTES,
    MIN_MAX_FRAME_BYTES,
    SETTINGS_ACK,
    FrameType,
    Setting,
    build_frame,
    build_reset,
    build_window_update,
    parse_settings,
)
from modelservice_runtime.transport.http2.framing.reader import FrameReader
from modelservice_runtime.transport.http2.headers.head_blocks import HeadBlocks
from modelservice_runtime.transport.http2.outbox import Outbox
from modelservice_runtime.transport.http2.port import Http2Host
from modelservice_runtime.transport.http2.stream import Stream

# What frames cost of the allowance, and what brings it back.
_COST_OF_RESET = 4
# A whole request came before: it is like any other, but for the answer that it does not get.
_COST_OF_CANCEL = 2
_EARNED_BY_ANSWER = 4
_EARNED_BY_DATA_FRAME = 2
# DATA below this size costs, unless it completes a message.
_CRUMB_BYTES = 64
# Streams that we reset while the client still sends on them; the oldest are forgotten.
_MAX_RESET_IDS = 1024
DRAIN_PINGS = b"draining", b"drained?"
"""The second goes out behind the first answer, which gRPC's C-core writes ahead of streams that are open."""


class Session(FrameReader):
    """See the module's text, and `StreamOwner`."""

    outbox: Outbox
    call_soon: Callable[[Callable[[], None]], object]

    def __init__(self, server: Http2Host) -> None:
        super().__init__(server.limits)
        limits = server.limits
        self.streams: dict[int, Stream] = {}
        self.stream_window = limits.stream_window_bytes
        self.allowance = limits.allowance_burst
        self.after_turn: list[Stream] = []
        self.reading_since = server.now
        self.client = UNKNOWN_CLIENT
        self.call_soon = server.call_soon
        self._server = server
        self._open_stream = server.open_stream
        self._blocks = HeadBlocks(limits.max_header_list_bytes, server.parse_head)
        self._known_blocks = self._blocks.known
        self._last_stream_id = 0
        self._last_accepted_id = MAX_STREAM_ID
        self._reset_ids: dict[int, None] = {}
        self._receive_window = limits.connection_window_bytes
        # Until when the client must have said SETTINGS, or else opened a stream.
        self._idle_deadline = server.now + limits.head_timeout_seconds

    @abstractmethod
    def start_leaving(self) -> None:
        """Ask the client to go elsewhere."""

    @abstractmethod
    def stop_accepting(self) -> None:
        """Ignore streams that the client opens from now on."""

    @abstractmethod
    def on_drain_ping(self, payload: bytes) -> None:
        """The client knows that it should go elsewhere; this is its answer to one of `DRAIN_PINGS`."""

    @abstractmethod
    def on_last_stream(self) -> None:
        """No stream is open any more."""

    # streams

    def on_headers(self, stream_id: int, block: bytes, ended: int) -> None:
        """Open a stream, or end one with trailers."""
        head = self._known_blocks.get(block)
        if head is None:
            head = self._decode(stream_id, block)
        if stream_id <= self._last_stream_id:
            self._on_trailers(stream_id, head, ended)
            return
        if not stream_id & 1:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a client's streams have odd numbers")
        self._last_stream_id = stream_id
        if stream_id > self._last_accepted_id:
            return
        server = self._server
        if isinstance(head, StreamFailedError):
            self._refuse(stream_id, head.code)
        elif (
            len(self.streams) >= self.limits.max_streams
            or server.open_streams >= self.limits.max_streams_in_all
        ):
            self._refuse(stream_id, ErrorCode.REFUSED_STREAM)
        else:
            server.open_streams += 1
            self.streams[stream_id] = stream = self._open_stream(self, stream_id, head)
            stream.opened(ended)

    def on_data(
        self, flags: int, stream_id: int, length: int, data: bytes, start: int, stop: int, *, complete: bool
    ) -> None:
        """Account for the whole frame, then pass on what is there."""
        self._receive_window -= length
        if self._receive_window < self.limits.connection_window_bytes >> 1:
            self._credit_connection()
        stream = self.streams.get(stream_id)
        if stream is None or stream.remote_ended:
            self._on_stray_data(stream_id, stream)
            return
        stream.receive_window -= length
        if stream.receive_window < 0:
            self._drop(stream, ErrorCode.FLOW_CONTROL_ERROR)
            return
        ended = flags & END_STREAM if complete else 0
        if length < _CRUMB_BYTES and not ended:
            self.spend(1)
        stream.received(data, start, stop, ended)

    def on_more_data(
        self, flags: int, stream_id: int, data: bytes, start: int, stop: int, *, complete: bool
    ) -> None:
        """Pass on a further part."""
        stream = self.streams.get(stream_id)
        if stream is not None and not stream.remote_ended:
            stream.received(data, start, stop, flags & END_STREAM if complete else 0)

    def credit(self, stream: Stream) -> None:
        """See `StreamOwner`."""
        used = self.stream_window - stream.receive_window
        if used > self.stream_window >> 1:
            stream.receive_window = self.stream_window
            self.outbox.write(build_window_update(stream.id, used))

    def answered(self, stream: Stream) -> None:
        """See `StreamOwner`."""
        if not stream.remote_ended:
            self.outbox.write(build_reset(stream.id, ErrorCode.NO_ERROR))
            self._remember_reset(stream.id)
        self.allowance += _EARNED_BY_ANSWER
        self._forget(stream)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """See `StreamOwner`."""
        if self.streams.get(stream.id) is stream:
            self.outbox.write(build_reset(stream.id, code))
            self._remember_reset(stream.id)
            self._forget(stream)

    def reserve(self, size: int) -> bool:
        """See `StreamOwner`."""
        server = self._server
        if server.buffered_bytes + size > self.limits.max_buffered_bytes:
            return False
        server.buffered_bytes += size
        return True

    def release(self, size: int) -> None:
        """See `StreamOwner`."""
        self._server.buffered_bytes -= size

    def stall_deadline(self) -> float:
        """See `StreamOwner`."""
        return self._server.now + self.limits.stream_stall_seconds

    def spend(self, cost: int) -> None:
        """Pay from the allowance; raises ConnectionFailedError when it is used up."""
        self.allowance -= cost
        if self.allowance < 0:
            self.allowance += self.outbox.data_frames * _EARNED_BY_DATA_FRAME
            self.outbox.data_frames = 0
            if self.allowance < 0:
                raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that lead nowhere")

    # other frames

    def on_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Ignored, as RFC 9113 5.3 advises."""
        self.spend(1)
        if not stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY has 5 bytes")
        if int.from_bytes(payload[:4]) & MAX_STREAM_ID == stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")

    def on_reset(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """The client gives a call up."""
        self._check_open(stream_id, payload)
        stream = self.streams.get(stream_id)
        self.spend(_COST_OF_CANCEL if stream is not None and stream.remote_ended else _COST_OF_RESET)
        if stream is not None:
            self._forget(stream)
            stream.dropped()

    def on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        """The client's settings, or its word that it knows ours."""
        if stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        self._idle_deadline = self._server.now + self.limits.idle_timeout_seconds
        if flags & ACK:
            self.spend(1)
            return
        self.spend(1 + len(payload) // 6 + len(self.streams) // 8)
        # The acknowledgement goes ahead of data that a wider window lets out: clients count from there on.
        self.outbox.write(SETTINGS_ACK)
        for name, value in parse_settings(payload):
            self._apply_setting(name, value)

    def on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Answer, or learn that an answer came back."""
        if stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "PING has 8 bytes")
        self.spend(1)
        if not flags & ACK:
            self.outbox.write(build_frame(FrameType.PING, ACK, 0, payload))
        elif payload in DRAIN_PINGS:
            self.on_drain_ping(payload)

    def on_goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """The client opens no more streams; answers to those it has still go out."""
        if stream_id or len(payload) < 8:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "malformed GOAWAY")
        self.spend(1)
        self.stop_accepting()

    def on_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """The client can take more."""
        if len(payload) != 4:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE has 4 bytes")
        increment = int.from_bytes(payload) & MAX_WINDOW_BYTES
        self.spend(1)
        if not stream_id:
            if not increment:
                raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self.outbox.widen(increment)
            return
        self._check_open(stream_id, payload)
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        if not increment:
            self._drop(stream, ErrorCode.PROTOCOL_ERROR)
        elif not stream.widen(increment):
            self._drop(stream, ErrorCode.FLOW_CONTROL_ERROR)

    def on_unknown(self) -> None:
        """Ignored (RFC 9113, 4.1)."""
        self.spend(1)

    # inside

    def _decode(self, stream_id: int, block: bytes) -> Any:
        """What the application makes of a request, or a StreamFailedError; the headers of trailers."""
        self.check_block(len(block))
        headers = self._blocks.decode(block)
        if headers is None:
            self.spend(len(block) // _CRUMB_BYTES)
        if stream_id <= self._last_stream_id:
            return headers or ()
        try:
            return self._blocks.parse(block, headers)
        except StreamFailedError as failure:
            return failure

    def _on_trailers(self, stream_id: int, trailers: Any, ended: int) -> None:
        """Their content means nothing to us, but a request's head, which is no list, is none."""
        stream = self.streams.get(stream_id)
        if stream is None:
            self._on_stray_frame(stream_id)
        elif stream.remote_ended:
            self._drop(stream, ErrorCode.STREAM_CLOSED)
        elif not ended or not isinstance(trailers, list) or any(n.startswith(b":") for n, _ in trailers):
            self._drop(stream, ErrorCode.PROTOCOL_ERROR)
        else:
            stream.received(b"", 0, 0, END_STREAM)

    def _on_stray_data(self, stream_id: int, stream: Stream | None) -> None:
        if stream is None:
            self._on_stray_frame(stream_id)
        else:
            self._drop(stream, ErrorCode.STREAM_CLOSED)

    def _on_stray_frame(self, stream_id: int) -> None:
        """HEADERS or DATA without a stream: late on one that we ended, or wrong."""
        self.spend(1)
        if not stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "HEADERS or DATA on stream 0")
        if stream_id > self._last_stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "DATA on an idle stream")
        if stream_id not in self._reset_ids and stream_id <= self._last_accepted_id:
            raise ConnectionFailedError(ErrorCode.STREAM_CLOSED, "HEADERS or DATA on a closed stream")

    def _check_open(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM has 4 bytes")
        if not stream_id or stream_id > self._last_stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a frame on an idle stream")

    def _apply_setting(self, name: int, value: int) -> None:
        if name == Setting.INITIAL_WINDOW_SIZE:
            self._resize_windows(value)
        elif name == Setting.MAX_FRAME_SIZE:
            if not MIN_MAX_FRAME_BYTES <= value <= MAX_MAX_FRAME_BYTES:
                raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
            self.outbox.limit_frames(value)
        elif name == Setting.HEADER_TABLE_SIZE:
            self.outbox.limit_table(value)
        elif name == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")

    def _resize_windows(self, size: int) -> None:
        """Also the windows of open streams move, below zero if need be (RFC 9113, 6.9.2)."""
        if size > MAX_WINDOW_BYTES:
            raise ConnectionFailedError(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE exceeds 2^31-1")
        change = size - self.outbox.stream_window
        self.outbox.stream_window = size
        for stream in list(self.streams.values()):
            if not stream.widen(change):
                raise ConnectionFailedError(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window exceeds 2^31-1")

    def _credit_connection(self) -> None:
        """What arrives is used or held within other limits, so the connection's window is given back."""
        if self._receive_window < 0:
            raise ConnectionFailedError(
                ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window"
            )
        full = self.limits.connection_window_bytes
        self.outbox.write(build_window_update(0, full - self._receive_window))
        self._receive_window = full

    def _refuse(self, stream_id: int, code: ErrorCode) -> None:
        self.spend(_COST_OF_RESET)
        self.outbox.write(build_reset(stream_id, code))
        self._remember_reset(stream_id)

    def _drop(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream because of the client."""
        self.spend(_COST_OF_RESET)
        self.reset(stream, code)
        stream.dropped()

    def _forget(self, stream: Stream) -> None:
        if self.streams.pop(stream.id, None) is None:
            return
        server = self._server
        server.open_streams -= 1
        if stream.queued_bytes:
            stream.discard()
        if not self.streams:
            self._idle_deadline = server.now + self.limits.idle_timeout_seconds
            self.on_last_stream()

    def _remember_reset(self, stream_id: int) -> None:
        self._reset_ids[stream_id] = None
        if len(self._reset_ids) > _MAX_RESET_IDS:
            del self._reset_ids[next(iter(self._reset_ids))]
