"""How gRPC writes itself into HTTP/2 headers (grpc `doc/PROTOCOL-HTTP2.md`); pure."""

import re

from modelservice_runtime.transport.http2.headers.hpack import encode_header
from modelservice_runtime.transport.status import GrpcStatus

SUPPORTED_ENCODINGS = (b"gzip", b"deflate")

_MAX_TIMEOUT_DIGITS = 8
_SECONDS_BY_UNIT = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MAX_MESSAGE_BYTES = 2048
_PERCENT_ENCODED = re.compile(rb"[^ -$&-~]")
_CONTENT_TYPE = re.compile(rb"application/grpc(\+proto)?[ \t]*(;.*)?", re.IGNORECASE | re.DOTALL)

# The head of every answer: status 200 has an index, the rest are literals.
_STATUS_200 = b"\x88"
HEAD_BLOCK = _STATUS_200 + encode_header(b"content-type", b"application/grpc")
TRAILERS_OK_BLOCK = encode_header(b"grpc-status", b"0")
ACCEPT_ENCODING_BLOCK = encode_header(b"grpc-accept-encoding", b"identity,gzip,deflate")


def parse_timeout(value: bytes) -> float:
    """`grpc-timeout` in seconds; raises ValueError."""
    digits, unit = value[:-1], value[-1:]
    if not digits.isdigit() or len(digits) > _MAX_TIMEOUT_DIGITS or unit not in _SECONDS_BY_UNIT:
        raise ValueError("grpc-timeout must be at most eight digits and a unit of H, M, S, m, u or n")
    return int(digits) * _SECONDS_BY_UNIT[unit]


def is_grpc_content_type(value: bytes) -> bool:
    """`application/grpc` or `application/grpc+proto`, with or without parameters."""
    return _CONTENT_TYPE.fullmatch(value) is not None


def build_head_block(encoding: bytes) -> bytes:
    """The headers of an answer whose messages may be compressed; b"" for one whose are not."""
    return HEAD_BLOCK + encode_header(b"grpc-encoding", encoding) if encoding else HEAD_BLOCK


def build_trailers_block(status: GrpcStatus, message: str) -> bytes:
    """The trailers; a long message is cut."""
    block = encode_header(b"grpc-status", b"%d" % status)
    if message:
        block += encode_header(b"grpc-message", encode_message(message))
    return block


def encode_message(message: str) -> bytes:
    """Percent-encode what is not printable ASCII, and the percent sign."""
    text = message.encode("utf-8", "replace")[:_MAX_MESSAGE_BYTES]
    return _PERCENT_ENCODED.sub(lambda match: b"%%%02X" % match[0][0], text)


def build_http_error_block(status: int) -> bytes:
    """An answer to what is not gRPC: a status of HTTP and nothing else."""
    return encode_header(b":status", b"%d" % status)
