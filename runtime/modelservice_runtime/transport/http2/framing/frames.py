"""The bytes of HTTP/2 frames (RFC 9113, 4 and 6); pure."""

import struct
from collections.abc import Iterable
from enum import IntEnum

from modelservice_runtime.transport.http2.framing.errors import ErrorCode

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES = 9
MAX_WINDOW_BYTES = 2**31 - 1
MAX_STREAM_ID = 2**31 - 1
DEFAULT_WINDOW_BYTES = 65_535
MIN_MAX_FRAME_BYTES = 16_384
MAX_MAX_FRAME_BYTES = 2**24 - 1

# Length and type in one number, flags, stream: `length << 8 | type` is cheaper than three fields.
FRAME_HEADER = struct.Struct(">IBI")


class FrameType(IntEnum):
    """RFC 9113, 6."""

    DATA = 0x0
    HEADERS = 0x1
    PRIORITY = 0x2
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9


# Flags; ACK and END_STREAM share a bit and never a frame.
END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20


class Setting(IntEnum):
    """RFC 9113, 6.5.2."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


_SETTING = struct.Struct(">HI")
SETTINGS_ACK = FRAME_HEADER.pack(FrameType.SETTINGS, ACK, 0)


def build_frame(kind: FrameType, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Any frame; the payload must fit the peer's maximum."""
    return FRAME_HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def build_settings(settings: Iterable[tuple[Setting, int]]) -> bytes:
    """SETTINGS of ours."""
    return build_frame(FrameType.SETTINGS, 0, 0, b"".join([_SETTING.pack(*pair) for pair in settings]))


def build_window_update(stream_id: int, increment: int) -> bytes:
    """WINDOW_UPDATE; stream 0 is the connection."""
    return build_frame(FrameType.WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4))


def build_reset(stream_id: int, code: ErrorCode) -> bytes:
    """RST_STREAM."""
    return build_frame(FrameType.RST_STREAM, 0, stream_id, code.to_bytes(4))


def build_goaway(last_stream_id: int, code: ErrorCode, sentence: str = "") -> bytes:
    """GOAWAY; `sentence` is for people who debug the client."""
    payload = last_stream_id.to_bytes(4) + code.to_bytes(4) + sentence.encode("ascii", "replace")
    return build_frame(FrameType.GOAWAY, 0, 0, payload)


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """Identifiers and values of a SETTINGS payload whose length is a multiple of six."""
    return list(_SETTING.iter_unpack(payload))
