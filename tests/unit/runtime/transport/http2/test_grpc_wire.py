import gzip
import urllib.parse
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.transport.grpc.messages import MessageReader
from modelservice_runtime.transport.grpc.wire import encode_message, is_grpc_content_type, parse_timeout
from modelservice_runtime.transport.http2.framing.errors import StreamFailedError
from modelservice_runtime.transport.http2.headers.fields import split_fields
from modelservice_runtime.transport.status import GrpcError, GrpcStatus

REQUIRED = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b")]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"99999999m", 99_999.999), (b"5u", 5e-6), (b"0n", 0)],
)
def test_parse_timeout_of_each_unit_is_seconds(value: bytes, seconds: float) -> None:
    assert parse_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", [b"", b"1", b"S", b"-1S", b"+1S", b"1.5S", b"1 S", b"123456789n", b"1Sx", b"1s"]
)
def test_parse_timeout_of_anything_else_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="grpc-timeout"):
        parse_timeout(value)


@given(st.text(max_size=200))
def test_encode_message_is_percent_encoding(text: str) -> None:
    encoded = encode_message(text)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert urllib.parse.unquote_to_bytes(encoded) == text.encode("utf-8", "replace")


def test_encode_message_cuts_a_long_one() -> None:
    assert len(encode_message("ä" * 100_000)) <= 3 * 2048


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;charset=utf-8", True),
        (b"application/grpc-web", False),
        (b"application/grpc+json", False),
        (b"application/json", False),
        (b"", False),
    ],
)
def test_is_grpc_content_type(value: bytes, expected: bool) -> None:
    assert is_grpc_content_type(value) is expected


@pytest.mark.parametrize(
    "headers",
    [
        REQUIRED[:2],
        REQUIRED[1:],
        [*REQUIRED[:2], (b":path", b"")],
        [*REQUIRED, (b":path", b"/a/b")],
        [*REQUIRED, (b":status", b"200")],
        [*REQUIRED[:2], (b"a", b"b"), REQUIRED[2]],
        [*REQUIRED, (b"Upper", b"a")],
        [*REQUIRED, (b"", b"a")],
        [*REQUIRED, (b"a b", b"a")],
        [*REQUIRED, (b"connection", b"close")],
        [*REQUIRED, (b"transfer-encoding", b"chunked")],
        [*REQUIRED, (b"te", b"gzip")],
        [*REQUIRED, (b"a", b"b\r\nc: d")],
        [*REQUIRED, (b"a", b"\x00")],
    ],
)
def test_split_fields_of_a_malformed_request_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(StreamFailedError):
        split_fields(headers)


def test_split_fields_joins_repeated_headers() -> None:
    pseudo, fields = split_fields([*REQUIRED, (b"a", b"1"), (b"te", b"trailers"), (b"a", b"2")])
    assert pseudo == dict(REQUIRED)
    assert fields == {b"a": b"1,2", b"te": b"trailers"}


class Memory:
    """Counts reserved bytes."""

    def __init__(self, limit: int = 10**9) -> None:
        self.limit = limit
        self.reserved = 0

    def reserve(self, size: int) -> bool:
        if self.reserved + size > self.limit:
            return False
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        self.reserved -= size

    def reader(self, encoding: bytes = b"", max_bytes: int = 10_000) -> MessageReader:
        return MessageReader(encoding, max_bytes, self.reserve, self.release)


def prefixed(message: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4) + message


def read_all(reader: MessageReader, pieces: list[bytes]) -> list[bytes]:
    messages = []
    for piece in pieces:
        position = 0
        while position < len(piece):
            message, position = reader.read(piece, position, len(piece))
            if message is not None:
                messages.append(reader.inflate(message) if reader.is_compressed else message)
    return messages


@given(st.data(), st.lists(st.binary(max_size=5000), max_size=5))
def test_message_reader_gives_the_same_messages_however_they_are_cut(
    data: st.DataObject, messages: list[bytes]
) -> None:
    memory = Memory()
    stream = b"".join(map(prefixed, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    reader = memory.reader()
    assert read_all(reader, pieces) == messages
    assert memory.reserved == 0
    assert not reader.is_within_message


def test_message_reader_undoes_compression() -> None:
    assert read_all(Memory().reader(b"gzip"), [prefixed(gzip.compress(b"a"), 1)]) == [b"a"]
    assert read_all(Memory().reader(b"deflate"), [prefixed(zlib.compress(b"b"), 1), prefixed(b"c")]) == [
        b"b",
        b"c",
    ]


@pytest.mark.parametrize(
    ("stream", "encoding", "status"),
    [
        (prefixed(b"a", 2), b"", GrpcStatus.INTERNAL),
        (prefixed(b"a", 1), b"", GrpcStatus.INTERNAL),
        (prefixed(b"damaged", 1), b"gzip", GrpcStatus.INTERNAL),
        (b"\x00\x00\x00\x27\x11", b"", GrpcStatus.RESOURCE_EXHAUSTED),
        (b"\x00\xff\xff\xff\xff", b"", GrpcStatus.RESOURCE_EXHAUSTED),
        (prefixed(gzip.compress(bytes(10_001), mtime=0), 1), b"gzip", GrpcStatus.RESOURCE_EXHAUSTED),
    ],
)
def test_message_reader_refuses_what_is_wrong_or_too_large(
    stream: bytes, encoding: bytes, status: GrpcStatus
) -> None:
    with pytest.raises(GrpcError) as caught:
        read_all(Memory().reader(encoding), [stream])
    assert caught.value.status is status


def test_message_reader_stops_when_buffers_are_full() -> None:
    memory = Memory(limit=3000)
    reader = memory.reader()
    with pytest.raises(GrpcError) as caught:
        read_all(reader, [prefixed(bytes(9000))[:2000], bytes(2000)])
    assert caught.value.status is GrpcStatus.RESOURCE_EXHAUSTED
    reader.discard()
    assert memory.reserved == 0
