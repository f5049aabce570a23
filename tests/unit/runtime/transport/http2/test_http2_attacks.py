"""What hostile, slow and merely broken HTTP/2 clients meet; over raw sockets."""

import gzip
import time

import pytest
from tests.unit.runtime.transport.http2.conftest import SMALL, Connect
from tests.unit.runtime.transport.http2.grpc_server_thread import GrpcServerThread, Never, wait_until
from tests.unit.runtime.transport.http2.raw_client import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    RawClient,
    block,
    call,
    frame,
    literals,
    prefixed,
    reset,
    settings,
    window_update,
)

from modelservice_runtime.transport.http2.framing.errors import ErrorCode

CALM = ErrorCode.ENHANCE_YOUR_CALM
PROTOCOL = ErrorCode.PROTOCOL_ERROR
SIZE = ErrorCode.FRAME_SIZE_ERROR
FLOW = ErrorCode.FLOW_CONTROL_ERROR
CLOSED = ErrorCode.STREAM_CLOSED
COMPRESSION = ErrorCode.COMPRESSION_ERROR
OPEN = call(1, None, "/test.Test/Never")


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        PREFACE + frame(PING, payload=bytes(8)) + settings(),
        PREFACE + frame(HEADERS, END_HEADERS, 1, block()),
    ],
)
def test_wrong_greeting_is_a_protocol_error(connect_small: Connect, greeting: bytes) -> None:
    assert connect_small(greeting).goaway() == (0, PROTOCOL)


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (frame(DATA, 0, 0, b"x"), PROTOCOL),
        (frame(DATA, 0, 1, b"x"), PROTOCOL),
        (OPEN + frame(DATA, PADDED, 1, b""), PROTOCOL),
        (OPEN + frame(DATA, PADDED, 1, b"\x05abcd"), PROTOCOL),
        (OPEN + frame(DATA, 0, 1, bytes(16_385)), SIZE),
        (OPEN + frame(DATA, END_STREAM, 1) + frame(DATA, 0, 1, b"x"), None),
        (call(1) + frame(DATA, 0, 1, b"x"), CLOSED),
        (call(1) + frame(HEADERS, END_HEADERS, 1, block()), CLOSED),
        (call(3) + call(1), CLOSED),
        (call(2), PROTOCOL),
        (frame(HEADERS, END_HEADERS, 0, block()), PROTOCOL),
        (frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff"), PROTOCOL),
        (frame(HEADERS, END_HEADERS | 0x20, 1, b"\0\0\0\1\0" + block()), PROTOCOL),
        (frame(HEADERS, END_HEADERS | 0x20, 1, b"\0\0"), PROTOCOL),
        (frame(HEADERS, END_HEADERS, 1, b"\x80"), COMPRESSION),
        (frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\xff"), COMPRESSION),
        (frame(HEADERS, END_HEADERS, 1, b"\x3f\xff\xff\x7f"), COMPRESSION),
        (frame(HEADERS, 0, 1, block()) + frame(PING, payload=bytes(8)), PROTOCOL),
        (frame(HEADERS, 0, 1, block()) + frame(CONTINUATION, END_HEADERS, 3), PROTOCOL),
        (frame(HEADERS, 0, 0, block()), PROTOCOL),
        (frame(CONTINUATION, END_HEADERS, 1), PROTOCOL),
        (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL),
        (frame(PRIORITY, 0, 1, bytes(4)), SIZE),
        (frame(PRIORITY, 0, 1, b"\x80\0\0\1\x10"), PROTOCOL),
        (reset(0), PROTOCOL),
        (reset(1), PROTOCOL),
        (OPEN + frame(RST_STREAM, 0, 1, bytes(3)), SIZE),
        (frame(SETTINGS, 0, 1), PROTOCOL),
        (frame(SETTINGS, 0, 0, bytes(5)), SIZE),
        (frame(SETTINGS, ACK, 0, bytes(6)), SIZE),
        (settings((0x2, 2)), PROTOCOL),
        (settings((0x4, 2**31)), FLOW),
        (settings((0x5, 16_383)), PROTOCOL),
        (settings((0x5, 2**24)), PROTOCOL),
        (frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)), PROTOCOL),
        (frame(PING, 0, 1, bytes(8)), PROTOCOL),
        (frame(PING, 0, 0, bytes(7)), SIZE),
        (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL),
        (frame(GOAWAY, 0, 0, bytes(7)), PROTOCOL),
        (frame(WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
        (window_update(0, 0), PROTOCOL),
        (window_update(0, 2**31 - 1), FLOW),
        (window_update(5, 1), PROTOCOL),
        (OPEN + window_update(1, 2**31 - 65_536) + settings((0x4, 70_000)), FLOW),
        (frame(PING, 0, 0, bytes(16_385))[:9], SIZE),
        (frame(HEADERS, END_HEADERS, 1, bytes(16_385))[:9], SIZE),
        (frame(HEADERS, END_HEADERS, 1, block() + bytes(16_385)), SIZE),
        (frame(0xEE, 0, 0, bytes(16_385)), SIZE),
        (frame(HEADERS, 0, 1, bytes(15_000)) + frame(CONTINUATION, 0, 1, bytes(6000)), CALM),
    ],
)
def test_broken_framing_ends_the_connection_with_its_code(
    connect_small: Connect, attack: bytes, code: ErrorCode | None
) -> None:
    client = connect_small()
    client.send(attack)
    if code is None:
        assert client.reset_code(1) is CLOSED
    else:
        assert client.goaway()[1] is code


@pytest.mark.parametrize(
    ("flood", "count"),
    [
        (frame(PING, payload=bytes(8)), 1000),
        (frame(PING, ACK, payload=bytes(8)), 1000),
        (settings(), 1000),
        (settings((0x4, 65_535), (0x4, 65_536)) * 2, 500),
        (frame(SETTINGS, ACK), 1000),
        (frame(PRIORITY, 0, 1, bytes(5)), 1000),
        (frame(0xEE, 0, 7, b"unknown"), 1000),
        (OPEN + frame(DATA, 0, 1) * 1000, 1),
        (OPEN + frame(DATA, PADDED, 1, b"\x02\0\0") * 1000, 1),
        (OPEN + window_update(1, 1) * 1000, 1),
        (window_update(0, 1), 1000),
        (OPEN + frame(DATA, 0, 1, b"\0\0\1\0\0") + frame(DATA, 0, 1, b"x") * 2000, 1),
        (OPEN + reset(1) + reset(1) * 1000, 1),
        (frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1) * 17, 1),
        (frame(GOAWAY, 0, 0, bytes(8)), 1000),
    ],
)
def test_flood_of_frames_that_lead_nowhere_ends_in_calm(
    connect_small: Connect, flood: bytes, count: int
) -> None:
    client = connect_small()
    try:
        client.send(flood * count)
    except (ConnectionResetError, BrokenPipeError):
        return
    if flood[3] != GOAWAY:
        assert client.goaway()[1] is CALM
    else:
        assert list(client.frames())[-1].kind == GOAWAY


def test_rapid_reset_ends_in_calm(connect_small: Connect) -> None:
    cancelled = Never.cancelled
    client = connect_small()
    client.send(
        b"".join(
            [call(stream_id, None, "/test.Test/Never") + reset(stream_id) for stream_id in range(1, 801, 2)]
        )
    )
    last_stream_id, code = client.goaway()
    assert code is CALM
    assert 100 < last_stream_id < 300
    assert Never.cancelled - cancelled < 150


def test_cancelled_requests_cost_less_than_rapid_resets(connect: Connect) -> None:
    client = connect()
    for stream_id in range(1, 6001, 2):
        client.send(call(stream_id, b"request", "/test.Test/Never") + reset(stream_id))
    client.send(call(6001))
    assert client.answer(6001)[1] == prefixed(b"hi")


def test_resets_forced_by_malformed_requests_end_in_calm(connect_small: Connect) -> None:
    client = connect_small()
    bad = block(connection="close")
    client.send(
        b"".join([frame(HEADERS, END_HEADERS | END_STREAM, stream_id, bad) for stream_id in range(1, 801, 2)])
    )
    assert client.goaway()[1] is CALM


def test_streams_over_the_maximum_are_refused_and_a_flood_of_them_ended(connect_small: Connect) -> None:
    client = connect_small()
    client.send(b"".join([call(stream_id, None, "/test.Test/Never") for stream_id in range(1, 23, 2)]))
    assert client.reset_code(21) is ErrorCode.REFUSED_STREAM
    client.send(b"".join([call(stream_id, None, "/test.Test/Never") for stream_id in range(23, 1023, 2)]))
    assert client.goaway()[1] is CALM


def test_streams_in_all_are_bounded_over_connections(connect_small: Connect) -> None:
    first, second = connect_small(), connect_small()
    first.send(b"".join([call(stream_id, None, "/test.Test/Never") for stream_id in range(1, 21, 2)]))
    first.ping()
    second.send(b"".join([call(stream_id, None, "/test.Test/Never") for stream_id in range(1, 15, 2)]))
    assert second.reset_code(13) is ErrorCode.REFUSED_STREAM


def test_hpack_bomb_is_refused_and_costs_nothing(connect_small: Connect) -> None:
    client = connect_small()
    entry = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"v" * 4000
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block() + entry))
    client.answer(1)
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, block() + b"\xbe" * 10_000))
    headers, _ = client.answer(3)
    assert headers["grpc-status"] == "8"
    client.send(
        b"".join(
            [
                frame(HEADERS, END_HEADERS | END_STREAM, stream_id, block() + b"\xbe" * 10_000)
                for stream_id in range(5, 99, 2)
            ]
        )
    )
    assert client.goaway()[1] is CALM


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({":method": "GET"}, "405"),
        ({"content-type": "application/json"}, "415"),
        ({"content-type": "application/grpc-web"}, "415"),
        ({"content-type": None}, "415"),
    ],
)
def test_what_is_not_grpc_gets_a_status_of_http(
    connect_small: Connect, changes: dict[str, str | None], status: str
) -> None:
    client = connect_small()
    client.send(call(1, **changes))
    assert client.answer(1)[0] == {":status": status}
    client.send(call(3))
    assert client.answer(3)[1] == prefixed(b"hi")


@pytest.mark.parametrize(
    "changes",
    [
        {":path": None},
        {":scheme": None},
        {":extra": "x"},
        {"connection": "close"},
        {"te": "gzip"},
        {"Upper": "x"},
    ],
)
def test_malformed_request_ends_its_stream_only(
    connect_small: Connect, changes: dict[str, str | None]
) -> None:
    client = connect_small()
    client.send(call(1, **changes))
    assert client.reset_code(1) is PROTOCOL
    client.send(call(3))
    assert client.answer(3)[1] == prefixed(b"hi")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\xff\xff\xff\xff", "8"),
        (prefixed(gzip.compress(bytes(10_000_000), mtime=0), 1), "8"),
        (prefixed(b"damaged", 1), "13"),
        (prefixed(b"x", 7), "13"),
        (prefixed(b"cut off")[:-1], "13"),
        (b"\x00\x00", "13"),
    ],
)
def test_message_that_is_too_large_or_broken_ends_its_call(
    connect_small: Connect, data: bytes, status: str
) -> None:
    client = connect_small()
    client.send(
        frame(HEADERS, END_HEADERS, 1, block(grpc_encoding="gzip")) + frame(DATA, END_STREAM, 1, data)
    )
    headers, _ = client.answer(1)
    assert headers["grpc-status"] == status


def test_refused_call_still_open_is_reset_without_error_and_its_data_ignored(connect_small: Connect) -> None:
    client = connect_small()
    client.send(call(1, None, "/no/such") + frame(DATA, 0, 1, b"\x00\x00\x00\x00\x64"))
    headers, _ = client.answer(1)
    assert headers["grpc-status"] == "12"
    assert client.reset_code(1) is ErrorCode.NO_ERROR
    client.send(frame(DATA, 0, 1, bytes(90)) + frame(DATA, END_STREAM, 1, bytes(10)) + call(3))
    assert client.answer(3)[1] == prefixed(b"hi")


def test_unknown_encoding_is_unimplemented_and_names_those_known(connect_small: Connect) -> None:
    client = connect_small()
    client.send(call(1, grpc_encoding="snappy"))
    headers, _ = client.answer(1)
    assert (headers["grpc-status"], headers["grpc-accept-encoding"]) == ("12", "identity,gzip,deflate")


def test_buffered_messages_are_bounded_over_all_connections(
    connect_small: Connect, small: GrpcServerThread
) -> None:
    def send_most(client: RawClient) -> None:
        start = b"\x00" + (199_000).to_bytes(4)
        client.send(call(1, None, "/test.Test/Never") + frame(DATA, 0, 1, start))
        for number in range(11):
            client.send(frame(DATA, 0, 1, bytes(16_000)))
            client.next(WINDOW_UPDATE) if number == 3 else None

    *fitting, last = [connect_small() for _ in range(4)]
    for client in fitting:
        send_most(client)
        client.ping()
    assert small.server.buffered_bytes > SMALL.max_buffered_bytes - 176_000
    send_most(last)
    assert last.answer(1)[0]["grpc-status"] == "8"
    for client in (*fitting, last):
        client.socket.close()
    wait_until(lambda: small.server.buffered_bytes == 0)


def fill(connect: Connect) -> None:
    for client in [connect() for _ in range(SMALL.max_connections)]:
        client.send(call(1, b"", "/test.Test/Never"))
        client.ping()


def test_probe_is_answered_although_all_connections_are_busy(connect_small: Connect) -> None:
    fill(connect_small)
    for _ in range(3 * SMALL.probe_places):  # each leaves its place again
        other = connect_small()
        other.send(call(1, b"", "/test.Test/Never"))
        assert other.answer(1)[0]["grpc-status"] == "14"
        probe = connect_small()  # not before: who has not asked yet may have to make room for it
        probe.send(call(1))
        assert probe.answer(1)[1] == prefixed(b"hi")
        for client in (probe, other):
            assert client.goaway() == (1, ErrorCode.NO_ERROR)
            client.socket.close()


def test_client_that_only_says_hello_leaves_the_place_of_a_probe(
    connect_impatient: Connect, impatient: GrpcServerThread
) -> None:
    fill(connect_impatient)
    silent = connect_impatient()
    silent.send(call(1, None))  # and no message
    silent.ping()
    wait_until(lambda: len(impatient.server.connections) <= SMALL.max_connections)


def test_client_beyond_the_maximum_takes_the_place_of_an_idle_one(connect_small: Connect) -> None:
    idle, *kept = [connect_small() for _ in range(SMALL.max_connections)]
    idle.ping()
    for client in kept:
        client.send(call(1, b"", "/test.Test/Never"))
        client.ping()
    time.sleep(0.1)  # some of the server's looks at the clock: from two on a client counts as idle
    extra = connect_small()
    extra.send(call(1))
    assert extra.answer(1)[1] == prefixed(b"hi")
    assert idle.socket.recv(4096) == b""


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        PREFACE[:10],
        PREFACE,
        PREFACE + settings() + b"\x00\x00",
        PREFACE + settings() + frame(HEADERS, 0, 1),
    ],
)
def test_slow_greeting_or_frame_is_ended(connect_impatient: Connect, beginning: bytes) -> None:
    client = connect_impatient(beginning)
    assert any(item.kind == GOAWAY for item in client.frames())


def test_slow_message_ends_its_call_while_others_are_served(connect_impatient: Connect) -> None:
    client = connect_impatient()
    client.send(call(1, None) + frame(DATA, 0, 1, prefixed(b"0123456789")[:-1]) + call(3))
    assert client.answer(3)[1] == prefixed(b"hi")
    assert client.answer(1)[0]["grpc-status"] == "4"


@pytest.mark.parametrize(("length", "correct"), [("7", True), ("6", False), ("8", False)])
def test_content_length_must_be_that_of_the_data(connect_small: Connect, length: str, correct: bool) -> None:
    client = connect_small()
    client.send(call(1, **{"content-length": length}))
    if correct:
        assert client.answer(1)[1] == prefixed(b"hi")
    else:
        assert client.reset_code(1) is PROTOCOL


@pytest.mark.parametrize("length", ["-1", "x", "1" * 19])
def test_content_length_that_is_no_number_is_an_invalid_argument(connect_small: Connect, length: str) -> None:
    client = connect_small()
    client.send(call(1, **{"content-length": length}))
    assert client.answer(1)[0]["grpc-status"] == "3"


@pytest.mark.parametrize(
    ("timeout", "path", "status"),
    [
        ("99999999H", "/test.Test/Later", "0"),
        ("10S", "/test.Test/Later", "0"),
        ("0n", "/test.Test/Never", "4"),
        ("20m", "/test.Test/Never", "4"),
        ("1x", "/test.Test/Echo", "3"),
        ("20m", "/no/such", "12"),
    ],
)
def test_grpc_timeout_of_any_size(connect_small: Connect, timeout: str, path: str, status: str) -> None:
    client = connect_small()
    client.send(call(1, path=path, **{"grpc-timeout": timeout}))
    assert client.answer(1)[0]["grpc-status"] == status


def test_deadline_within_an_answer_resets_the_call(connect_small: Connect) -> None:
    client = connect_small(PREFACE + settings((0x4, 1000)))
    client.send(call(1, None, "/test.Test/Chat", **{"grpc-timeout": "50m"}))
    client.send(frame(DATA, 0, 1, prefixed(b"size 5000")))
    assert client.reset_code(1) is ErrorCode.CANCEL


def test_ping_is_answered_with_the_same_bytes(connect_small: Connect) -> None:
    client = connect_small()
    client.send(frame(PING, payload=b"01234567"))
    answer = client.next(PING)
    assert (answer.flags, answer.payload) == (ACK, b"01234567")


def test_trailers_of_a_client_end_the_call(connect_small: Connect) -> None:
    client = connect_small()
    trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, literals([("x-trailer", "1")]))
    client.send(call(1, None, "/test.Test/Chat") + frame(DATA, 0, 1, prefixed(b"a")) + trailers)
    headers, data = client.answer(1)
    assert (headers["grpc-status"], data) == ("0", prefixed(b"a"))


@pytest.mark.parametrize(
    ("flags", "trailers"),
    [
        (END_HEADERS, literals([("x-trailer", "1")])),
        (END_HEADERS | END_STREAM, literals([(":path", "/")])),
        (END_HEADERS | END_STREAM, block("/test.Test/Never")),
    ],
)
def test_malformed_trailers_end_their_stream_only(
    connect_small: Connect, flags: int, trailers: bytes
) -> None:
    client = connect_small()
    client.send(call(1, None, "/test.Test/Never") + frame(HEADERS, flags, 1, trailers))
    assert client.reset_code(1) is PROTOCOL
    client.ping()


def test_headers_in_many_continuations_and_padding_are_joined(connect_small: Connect) -> None:
    client = connect_small()
    data = block()
    client.send(frame(HEADERS, PADDED | 0x20, 1, b"\x03\x00\x00\x00\x00\x10" + data[:5] + bytes(3)))
    client.send(frame(CONTINUATION, 0, 1, data[5:30]) + frame(CONTINUATION, END_HEADERS, 1, data[30:]))
    client.send(frame(DATA, PADDED | END_STREAM, 1, b"\x0a" + prefixed(b"padded") + bytes(10)))
    assert client.answer(1)[1] == prefixed(b"padded")


def test_thousands_of_calls_in_one_packet_are_answered_in_turns_with_others(connect: Connect) -> None:
    greedy, other = connect(), connect()
    greedy.send(b"".join([call(stream_id) for stream_id in range(1, 4001, 2)]))
    other.send(call(1))
    assert other.answer(1)[1] == prefixed(b"hi")
    assert greedy.answer(3999)[1] == prefixed(b"hi")


def test_thousands_of_messages_in_one_frame_are_all_answered(connect: Connect) -> None:
    client = connect()
    client.send(call(1, None, "/test.Test/Chat") + frame(DATA, END_STREAM, 1, prefixed(b"abc") * 5000))
    _, data = client.answer(1)
    assert data == prefixed(b"abc") * 5000
