"""Requests over HTTP/2: their heads, their bodies, and why they are refused."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.unit.runtime.transport.http1.stream_server import StreamServer
from tests.unit.runtime.transport.http2.raw_client import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    RST_STREAM,
    RawClient,
    frame,
    literals,
    reset,
)
from tests.unit.runtime.transport.rest.requests import connected, get, head, post

from modelservice_runtime.transport.http import HttpLimits
from modelservice_runtime.transport.http2.framing.errors import ErrorCode

LARGE = bytes(range(250)) * 1200
LIMITS = HttpLimits(max_body_bytes=len(LARGE), max_target_bytes=100, max_headers=20, max_head_bytes=4000)


@pytest.fixture(scope="module")
def server() -> Iterator[StreamServer]:
    with StreamServer(LIMITS) as running:
        yield running


@pytest.fixture
def client(server: StreamServer) -> Iterator[RawClient]:
    with connected(server) as opened:
        yield opened


def serves_on(client: RawClient, stream_id: int = 101) -> bool:
    client.send(get(stream_id, "/plain"))
    return client.answer(stream_id)[1] == b'"plain"'


def test_answer_has_the_fields_of_http_1_in_lower_case(client: RawClient) -> None:
    client.send(post(1, "/echo", b"body"))
    headers, body = client.answer(1)
    assert body == b"body"
    date = headers.pop("date")
    assert date.endswith(" GMT")
    assert headers == {
        ":status": "200",
        "content-type": "application/octet-stream",
        "content-length": "4",
        "x-own": "Value",
    }


@pytest.mark.parametrize("body", [b"", b"x", LARGE[:65_535], LARGE], ids=len)
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("tensors", [None, "21"])
def test_body_arrives_whole(client: RawClient, body: bytes, announced: bool, tensors: str | None) -> None:
    length = str(len(body)) if announced else None
    client.send(post(1, "/echo", body, content_length=length, inference_header_content_length=tensors))
    client.send(
        b"".join([frame(8, 0, number, (10**6).to_bytes(4)) for number in (0, 1)])
    )  # room for the answer
    assert client.answer(1)[1] == body


@hypothesis_settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 1000), max_size=6), padding=st.integers(0, 255), trailers=st.booleans())
def test_body_may_come_in_any_frames(
    server: StreamServer, cuts: list[int], padding: int, trailers: bool
) -> None:
    body = LARGE[:1000]
    places = [0, *sorted(cuts), len(body)]
    frames = [
        frame(DATA, PADDED, 1, bytes([padding]) + body[start:stop] + bytes(padding))
        for start, stop in itertools.pairwise(places)
    ]
    last = (
        frame(HEADERS, END_HEADERS | END_STREAM, 1, literals([("trailer", "x")]))
        if trailers
        else frame(DATA, END_STREAM, 1)
    )
    with connected(server) as client:
        client.send(head(1, "/echo", ended=False, content_length="1000") + b"".join(frames) + last)
        assert client.answer(1)[1] == body


def test_requests_of_a_connection_are_answered_side_by_side(server: StreamServer, client: RawClient) -> None:
    client.send(get(1, "/stream") + get(3, "/plain") + post(5, "/echo", b"five"))
    producer = server.begin()
    assert client.answer(3)[1] == b'"plain"'
    assert client.answer(5)[1] == b"five"
    producer.write(b"one")
    producer.end()
    assert client.answer(1)[1] == b"one"


def test_head_gets_the_length_and_no_body(client: RawClient) -> None:
    client.send(get(1, "/plain", __method="HEAD"))
    headers, body = client.answer(1)
    assert (headers["content-length"], body) == ("7", b"")


def test_expectation_is_answered_before_the_body_comes(client: RawClient) -> None:
    client.send(head(1, "/echo", ended=False, expect="100-continue"))
    asked = client.next(HEADERS, 1)
    assert client.decoder.decode(asked.payload) == [(":status", "100")]
    assert not asked.flags & END_STREAM
    client.send(frame(DATA, END_STREAM, 1, b"body"))
    assert client.answer(1)[1] == b"body"


@pytest.mark.parametrize(
    ("request_frames", "status"),
    [
        (post(1, "/echo", LARGE + b"x"), "413"),
        (head(1, "/echo", ended=False, content_length=str(len(LARGE) + 1)), "413"),
        (get(1, "/" + 100 * "x"), "414"),
        (get(1, "/plain", **{f"x-{number}": "" for number in range(21)}), "431"),
        (get(1, "/plain", large=4000 * "x"), "431"),
        (get(1, "/plain", larger=8000 * "x"), "431"),
        (head(1, "/echo", ended=False, expect="miracles"), "417"),
    ],
)
def test_request_over_a_limit_is_refused_alone(client: RawClient, request_frames: bytes, status: str) -> None:
    client.send(request_frames)
    headers, body = client.answer(1)
    assert headers[":status"] == status
    assert body.startswith(b'{"error":')
    assert serves_on(client)


def test_what_still_comes_of_a_refused_body_is_read_for_a_moment(client: RawClient) -> None:
    """Clients that are reset while they send do not look at the answer."""
    client.send(head(1, "/echo", ended=False, content_length=str(3 * len(LARGE))))
    assert client.answer(1)[0][":status"] == "413"
    for _ in range(60):
        client.send(frame(DATA, 0, 1, LARGE[:15_000]))
    client.send(frame(DATA, END_STREAM, 1) + get(3, "/plain"))
    seen = []
    for item in client.frames():
        seen.append((item.kind, item.stream_id))
        if item.kind == DATA:
            break
    assert (RST_STREAM, 1) not in seen
    assert seen[-1] == (DATA, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"__path": None},
        {"__path": ""},
        {"__path": "plain"},
        {"__path": "http://localhost/plain"},
        {"__path": "/pla in"},
        {"__method": None},
        {"__method": "GE T"},
        {"__method": "CONNECT", "__path": None, "__scheme": None},
        {"__scheme": None},
        {"__extra": "x"},
        {"host": "elsewhere"},
        {"connection": "close"},
        {"transfer_encoding": "chunked"},
        {"upgrade": "h2c"},
        {"te": "gzip"},
        {"Upper": "x"},
        {"x_line": "a\r\nb"},
        {"x_blank": " x"},
        {"x_blank": "x\t"},
        {"content_length": "x"},
        {"content_length": "5"},
        {"content_length": "0, 0"},
    ],
)
def test_malformed_request_ends_its_stream_alone(client: RawClient, changes: dict[str, str | None]) -> None:
    client.send(get(1, "/plain", **changes))
    assert client.reset_code(1) is ErrorCode.PROTOCOL_ERROR
    assert serves_on(client)


@pytest.mark.parametrize("body", [b"", b"abc", b"abcde"])
def test_body_of_another_length_than_announced_is_malformed(client: RawClient, body: bytes) -> None:
    client.send(post(1, "/echo", body, content_length="4"))
    assert client.reset_code(1) is ErrorCode.PROTOCOL_ERROR
    assert serves_on(client)


def test_equal_heads_mean_the_same_and_others_something_else(client: RawClient) -> None:
    for stream_id in range(1, 13, 4):
        client.send(get(stream_id, "/plain") + post(stream_id + 2, "/echo", b"%d" % stream_id))
        assert client.answer(stream_id)[1] == b'"plain"'
        assert client.answer(stream_id + 2)[1] == b"%d" % stream_id


def test_slow_body_is_refused() -> None:
    limits = HttpLimits(body_grace_seconds=0.2, min_body_bytes_per_second=1e9)
    with StreamServer(limits) as server, connected(server) as client:
        client.send(head(1, "/echo", ended=False) + frame(DATA, 0, 1, b"so far"))
        assert client.answer(1)[0][":status"] == "408"


def test_who_goes_on_sending_after_a_refusal_is_reset_without_error() -> None:
    with (
        StreamServer(HttpLimits(max_body_bytes=10, linger_seconds=0.2)) as server,
        connected(server) as client,
    ):
        client.send(head(1, "/echo", ended=False, content_length="11"))
        assert client.answer(1)[0][":status"] == "413"
        assert client.reset_code(1) is ErrorCode.NO_ERROR


def test_bodies_are_bounded_over_all_requests() -> None:
    with (
        StreamServer(HttpLimits(max_buffered_bytes=200_000)) as server,
        connected(server) as client,
    ):
        for number in range(1, 5):
            start = head(2 * number - 1, "/echo", ended=False)
            client.send(start + 4 * frame(DATA, 0, 2 * number - 1, bytes(16_000)))
        headers, body = client.answer(7)
        assert (headers[":status"], headers["retry-after"]) == ("503", "1")
        assert b"too much data" in body


def test_rapid_resets_end_the_connection(server: StreamServer) -> None:
    with connected(server) as client:
        attack = [head(number, "/echo", ended=False) + reset(number) for number in range(1, 8001, 2)]
        try:
            client.send(b"".join(attack))
        except (ConnectionResetError, BrokenPipeError):
            return
        assert client.goaway()[1] is ErrorCode.ENHANCE_YOUR_CALM


def test_a_head_in_endless_parts_ends_the_connection(client: RawClient) -> None:
    client.send(frame(HEADERS, 0, 1, b"") + 17 * frame(CONTINUATION, 0, 1))
    assert client.goaway()[1] is ErrorCode.ENHANCE_YOUR_CALM
