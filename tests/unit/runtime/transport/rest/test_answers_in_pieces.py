"""Answers in pieces over HTTP/2: within the windows, and their end for whatever reason."""

import socket
import struct
from collections.abc import Iterator

import pytest
from tests.unit.runtime.transport.http1.stream_server import PATIENCE_SECONDS, StreamServer
from tests.unit.runtime.transport.http2.raw_client import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    RST_STREAM,
    RawClient,
    reset,
    window_update,
)
from tests.unit.runtime.transport.rest.requests import connected, get, head

from modelservice_runtime.transport.http import HttpLimits
from modelservice_runtime.transport.http2.framing.errors import ErrorCode

WINDOW = 65_535


@pytest.fixture(scope="module")
def server() -> Iterator[StreamServer]:
    with StreamServer() as running:
        yield running


def read_data(client: RawClient, stream_id: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += client.next(DATA, stream_id).payload
    return data


def test_pieces_arrive_one_by_one(server: StreamServer) -> None:
    with connected(server) as client:
        client.send(get(1, "/stream"))
        producer = server.begin()
        headers = dict(client.decoder.decode(client.next(HEADERS, 1).payload))
        assert (headers[":status"], headers["content-type"]) == ("200", "text/event-stream")
        assert "content-length" not in headers
        for piece in (b"data: 1\n\n", b"", b"y" * 17):
            producer.write(piece)
            if piece:
                assert client.next(DATA, 1).payload == piece
        producer.end()
        last = client.next(DATA, 1)
        assert (last.payload, last.flags) == (b"", END_STREAM)


def test_a_closed_window_pauses_its_own_stream_alone(server: StreamServer) -> None:
    with connected(server) as client:
        client.send(window_update(0, 10**6) + get(1, "/stream") + get(3, "/stream"))
        slow, quick = server.begin(), server.begin()
        slow.write(b"x" * (WINDOW + 1000))
        assert slow.next() == "pause"
        assert server.call(lambda: slow.stream.unsent_bytes) == 1000
        assert server.server.buffered_bytes == 1000
        assert len(read_data(client, 1, WINDOW)) == WINDOW
        quick.write(b"quick")
        assert read_data(client, 3, 5) == b"quick"
        assert quick.heard.empty()
        client.send(window_update(1, 2000))
        assert len(read_data(client, 1, 1000)) == 1000
        assert slow.next() == "resume"
        slow.write(b"more")
        slow.end()
        assert client.answer(1)[1] == b"more"
        quick.end()
        assert client.answer(3)[1] == b""


def test_a_stream_that_begins_on_a_full_connection_does_not_rest_for_ever(server: StreamServer) -> None:
    size = 12 * 1024 * 1024  # more than the sockets take
    with connected(server) as client:
        client.send(window_update(0, 2 * size) + get(1, "/stream") + window_update(1, 2 * size))
        client.send(get(3, "/later"))
        slow = server.begin()
        slow.write(b"x" * size)
        assert slow.next() == "pause"
        late, read = server.begin_later(), 0
        while read < size:
            read += len(client.next(DATA, 1).payload)
        assert slow.next() == "resume"
        client.ping()
        heard = [late.heard.get() for _ in range(late.heard.qsize())]
        assert heard in ([], ["pause", "resume"])
        late.write(b"late")
        assert read_data(client, 3, 4) == b"late"
        for producer in (slow, late):
            producer.end()


def test_who_grants_no_window_is_cut_off_alone() -> None:
    with StreamServer(HttpLimits(write_stall_seconds=0.2)) as server, connected(server) as client:
        client.send(window_update(0, 10**6) + get(1, "/stream"))
        server.begin().write(b"x" * (WINDOW + 1))
        assert client.reset_code(1) is ErrorCode.ENHANCE_YOUR_CALM
        assert server.left.get(timeout=PATIENCE_SECONDS) == b"/stream"
        client.send(get(3, "/plain"))
        assert client.answer(3)[1] == b'"plain"'


@pytest.mark.parametrize("target", ["/stream", "/wait"])
def test_a_reset_gives_its_own_request_up(server: StreamServer, target: str) -> None:
    with connected(server) as client:
        client.send(get(1, target) + get(3, "/stream"))
        producers = [server.begin() for _ in range(2 if target == "/stream" else 1)]
        client.send(reset(1))
        assert server.left.get(timeout=PATIENCE_SECONDS) == target.encode()
        assert server.left.empty()
        producers[0].write(b"nobody reads this, or the other does")
        producers[0].end()
        producers[-1].end()
        client.answer(3)


def test_a_lost_connection_gives_all_its_requests_up(server: StreamServer) -> None:
    with connected(server) as client:
        client.send(get(1, "/stream") + get(3, "/wait") + head(5, "/echo", ended=False))
        server.begin()
        client.ping()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        client.socket.close()
        left = {server.left.get(timeout=PATIENCE_SECONDS) for _ in range(2)}
        assert left == {b"/stream", b"/wait"}


@pytest.mark.parametrize("how", ["fault", "abort"])
def test_a_stream_that_breaks_off_does_not_look_complete(server: StreamServer, how: str) -> None:
    with connected(server) as client:
        client.send(get(1, "/faulty" if how == "fault" else "/stream"))
        if how == "abort":
            producer = server.begin()
            producer.write(b"half")
            server.call(lambda: producer.stream.abort())
        frames = []
        for item in client.frames():
            frames.append(item)
            if item.kind == RST_STREAM:
                break
        assert not any(item.flags & END_STREAM for item in frames if item.kind in (DATA, HEADERS))
        assert int.from_bytes(frames[-1].payload) == ErrorCode.INTERNAL_ERROR


def test_head_of_a_stream_has_no_body(server: StreamServer) -> None:
    with connected(server) as client:
        client.send(get(1, "/stream", __method="HEAD"))
        producer = server.begin()
        producer.write(b"one")
        producer.end()
        assert client.answer(1)[1] == b""


def test_who_is_asked_to_go_hears_it_when_nothing_is_open() -> None:
    """GOAWAY in between would end an open stream for Python's h2."""
    with StreamServer() as server, connected(server) as busy, connected(server) as idle:
        busy.send(get(1, "/stream"))
        producer = server.begin()
        idle.send(get(1, "/plain"))
        idle.answer(1)
        server.call(server.server.start_closing)
        assert idle.goaway() == (1, ErrorCode.NO_ERROR)
        producer.write(b"one")
        assert client_kinds(busy, DATA) == [HEADERS, DATA]
        producer.end()
        assert busy.goaway() == (1, ErrorCode.NO_ERROR)
        idle.socket.close()
        busy.socket.close()


def client_kinds(client: RawClient, last: int) -> list[int]:
    """What came on streams and of the end, up to a frame of a kind."""
    kinds = []
    for item in client.frames():
        if item.kind in (DATA, HEADERS, GOAWAY):
            kinds.append(item.kind)
        if item.kind == last:
            break
    return kinds


def test_a_server_that_leaves_waits_for_open_streams_and_takes_no_more() -> None:
    with StreamServer() as server, connected(server) as client:
        client.send(get(1, "/stream"))
        producer = server.begin()
        draining = server.drain(PATIENCE_SECONDS)
        assert int.from_bytes(client.next(GOAWAY).payload[:4]) == 1
        client.send(get(3, "/plain"))
        producer.write(b"one")
        producer.end()
        assert client.answer(1)[1] == b"one"
        assert not [item for item in client.frames() if item.stream_id == 3]
        client.socket.close()
        assert draining.result(PATIENCE_SECONDS) is True


def test_who_is_cut_off_at_the_end_of_the_grace_hears_it() -> None:
    with StreamServer() as server, connected(server) as client:
        client.send(get(1, "/stream") + get(3, "/wait"))
        producer = server.begin()
        producer.last_words = b"sorry"
        client.ping()
        draining = server.drain(0.05)
        answers = {1: b"", 3: b""}
        for item in client.frames():
            if item.kind == DATA:
                answers[item.stream_id] += item.payload
        assert answers == {1: b"sorry", 3: b'"leaving"'}
        assert draining.result(PATIENCE_SECONDS) is False
