"""Bytes to frames: cuts what arrives into frames, joins header blocks, hands DATA on as it comes.

A frame of DATA is never collected here, whatever its size; any other frame is small or refused.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from modelservice_runtime.transport.http2.framing.errors import ConnectionFailedError, ErrorCode
from modelservice_runtime.transport.http2.framing.frames import (
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    FRAME_HEADER_BYTES,
    MIN_MAX_FRAME_BYTES,
    PADDED,
    PREFACE,
    PRIORITY,
    FrameType,
)
from modelservice_runtime.transport.http2.limits import Http2Limits

_DATA = int(FrameType.DATA)
_HEADERS = int(FrameType.HEADERS)
_HEADERS_FLAGS = PADDED | PRIORITY | END_HEADERS
_CONTINUATION = int(FrameType.CONTINUATION)
_STREAM_ID_MASK = 0x7FFFFFFF
_PRIORITY_BYTES = 5
# Decoding so much of a header block takes as long as a frame.
_BLOCK_SHIFT = 8

_Handler = Callable[[int, int, bytes], None]


class FrameReader(ABC):
    """Calls the `on_` methods of a subclass; raises ConnectionFailedError for broken framing."""

    def __init__(self, limits: Http2Limits) -> None:
        self.limits = limits
        self._rest = b""
        self._feed = self._feed_preface
        # A DATA frame of which a part is still to come: stream, flags, payload and padding left.
        self._data_stream_id = 0
        self._data_flags = 0
        self._data_left = 0
        self._padding_left = 0
        # A header block of which a part is still to come.
        self._block_stream_id = 0
        self._block_flags = 0
        self._block = b""
        self._continuations = 0
        self._control_handlers: tuple[_Handler, ...] = (
            self.on_priority,
            self.on_reset,
            self.on_settings,
            self.on_push_promise,
            self.on_ping,
            self.on_goaway,
            self.on_window_update,
        )

    @property
    def is_within_frame(self) -> bool:
        """A frame or a header block has begun and is not complete; DATA does not count."""
        return bool(self._rest or self._block_stream_id)

    def feed(self, data: bytes) -> bool:
        """Handle every complete frame; False when the turn ended early: call it again, then with b""."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        return self._feed(data)

    @abstractmethod
    def on_data(
        self, flags: int, stream_id: int, length: int, data: bytes, start: int, stop: int, *, complete: bool
    ) -> None:
        """A DATA frame, or its first part; `length` is what counts for flow control."""

    @abstractmethod
    def on_more_data(
        self, flags: int, stream_id: int, data: bytes, start: int, stop: int, *, complete: bool
    ) -> None:
        """A further part of a DATA frame."""

    @abstractmethod
    def on_headers(self, stream_id: int, block: bytes, ended: int) -> None:
        """A complete header block."""

    @abstractmethod
    def on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        """PRIORITY."""

    @abstractmethod
    def on_reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        """RST_STREAM."""

    @abstractmethod
    def on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        """SETTINGS."""

    def on_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        """PUSH_PROMISE, which no client may send."""
        raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a client cannot push")

    @abstractmethod
    def on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        """PING."""

    @abstractmethod
    def on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        """GOAWAY."""

    @abstractmethod
    def on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        """WINDOW_UPDATE."""

    @abstractmethod
    def on_unknown(self) -> None:
        """A frame of an unknown type, which is ignored."""

    # inside

    def _feed_preface(self, data: bytes) -> bool:
        if not data.startswith(PREFACE[: len(data)]):
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "this port speaks HTTP/2 (gRPC) only")
        if len(data) < len(PREFACE) + FRAME_HEADER_BYTES:
            self._rest = data
            return True
        if data[len(PREFACE) + 3] != FrameType.SETTINGS:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "the first frame must be SETTINGS")
        self._feed = self._feed_frames
        return self._feed_frames(data[len(PREFACE) :])

    def _feed_frames(self, data: bytes) -> bool:
        position = self._continue_data(data) if self._data_left or self._padding_left else 0
        end = len(data)
        frames_left = self.limits.max_frames_per_turn
        too_long = (self.limits.max_frame_bytes + 1) << 8
        while end - position >= FRAME_HEADER_BYTES:
            length_and_type, flags, stream_id = FRAME_HEADER.unpack_from(data, position)
            start = position + FRAME_HEADER_BYTES
            stop = start + (length_and_type >> 8)
            kind = length_and_type & 0xFF
            if length_and_type >= too_long:
                raise ConnectionFailedError(
                    ErrorCode.FRAME_SIZE_ERROR, f"a frame exceeds {self.limits.max_frame_bytes} bytes"
                )
            if self._block_stream_id and kind != _CONTINUATION:
                raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a header block was interrupted")
            if kind == _DATA:
                if stop <= end and not flags & PADDED:
                    self.on_data(
                        flags, stream_id & _STREAM_ID_MASK, stop - start, data, start, stop, complete=True
                    )
                else:
                    stop = self._begin_data(flags, stream_id & _STREAM_ID_MASK, data, start, stop)
                    if stop < 0:
                        break
            elif kind == _HEADERS and flags & _HEADERS_FLAGS == END_HEADERS and stop <= end:
                self.on_headers(stream_id & _STREAM_ID_MASK, data[start:stop], flags & END_STREAM)
                frames_left -= (stop - start) >> _BLOCK_SHIFT
            elif stop > end:
                self._check_length(kind, stop - start)
                break
            else:
                self._dispatch(kind, flags, stream_id & _STREAM_ID_MASK, data[start:stop])
                frames_left -= (stop - start) >> _BLOCK_SHIFT
            position = stop
            frames_left -= 1
            if frames_left <= 0:
                break
        self._rest = data[position:] if position < end else b""
        return frames_left > 0

    def _dispatch(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == _HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind == _CONTINUATION:
            self._continuation(flags, stream_id, payload)
        elif kind < _CONTINUATION:
            self._control_handlers[kind - 2](flags, stream_id, payload)
        else:
            self.on_unknown()

    def _check_length(self, kind: int, length: int) -> None:
        """Refuse a frame before it is collected."""
        if length > MIN_MAX_FRAME_BYTES and kind not in (_HEADERS, _CONTINUATION):
            raise ConnectionFailedError(ErrorCode.FRAME_SIZE_ERROR, "a control frame is too large")
        self.check_block(length)

    def check_block(self, length: int) -> None:
        """Refuse a header block that is too large."""
        if length > self.limits.max_header_block_bytes:
            raise ConnectionFailedError(
                ErrorCode.ENHANCE_YOUR_CALM,
                f"a header block exceeds {self.limits.max_header_block_bytes} bytes",
            )

    # DATA in parts

    def _begin_data(self, flags: int, stream_id: int, data: bytes, start: int, stop: int) -> int:
        """A padded or incomplete DATA frame; returns the position behind what was used, -1 to wait."""
        length = stop - start
        padding = 0
        if flags & PADDED:
            if length and start == len(data):
                return -1
            padding = data[start] if length else 0
            if padding >= length:
                raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a frame's padding exceeds the frame")
            start += 1
        part = min(stop - padding, len(data))
        self._data_left = stop - padding - part
        self._padding_left = padding
        self._data_flags, self._data_stream_id = flags, stream_id
        self.on_data(flags, stream_id, length, data, start, part, complete=not self._data_left)
        return self._skip_padding(data, part)

    def _continue_data(self, data: bytes) -> int:
        """The next part of an incomplete DATA frame; returns the position behind it."""
        if not self._data_left:
            return self._skip_padding(data, 0)
        stop = min(self._data_left, len(data))
        self._data_left -= stop
        if stop:
            complete = not self._data_left
            self.on_more_data(self._data_flags, self._data_stream_id, data, 0, stop, complete=complete)
        return self._skip_padding(data, stop)

    def _skip_padding(self, data: bytes, position: int) -> int:
        skipped = min(self._padding_left, len(data) - position)
        self._padding_left -= skipped
        return position + skipped

    # header blocks

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & (PADDED | PRIORITY):
            payload = _strip(flags, stream_id, payload)
        if flags & END_HEADERS:
            self.on_headers(stream_id, payload, flags & END_STREAM)
            return
        if not stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        self._block_stream_id, self._block_flags, self._block = stream_id, flags, payload
        self._continuations = 0

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id or stream_id != self._block_stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._continuations += 1
        if self._continuations > self.limits.max_continuations:
            raise ConnectionFailedError(ErrorCode.ENHANCE_YOUR_CALM, "too many CONTINUATION frames")
        self.check_block(len(self._block) + len(payload))
        self._block += payload
        if flags & END_HEADERS:
            block, self._block, self._block_stream_id = self._block, b"", 0
            self.on_headers(stream_id, block, self._block_flags & END_STREAM)


def _strip(flags: int, stream_id: int, payload: bytes) -> bytes:
    """A HEADERS payload without padding and priority (RFC 9113, 6.2)."""
    start = padding = 0
    if flags & PADDED:
        start = 1
        padding = payload[0] if payload else 0
    if flags & PRIORITY:
        dependency = int.from_bytes(payload[start : start + 4]) & _STREAM_ID_MASK
        if dependency == stream_id:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")
        start += _PRIORITY_BYTES
    if start + padding > len(payload):
        raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, "a frame's padding exceeds the frame")
    return payload[start : len(payload) - padding]
