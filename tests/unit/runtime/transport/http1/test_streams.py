"""Answers in pieces, over real sockets: their framing, their speed, and their end for whatever reason."""

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.unit.runtime.server_thread import read_answer, read_until_closed
from tests.unit.runtime.transport.http1.stream_server import PATIENCE_SECONDS, StreamServer
from tests.unit.runtime.transport.http2.grpc_server_thread import wait_until

from modelservice_runtime.transport.http import HttpLimits

LARGE = b"x" * 1_000_000


def get(target: str, version: str = "1.1", headers: str = "", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/{version}\r\nHost: a\r\n{headers}\r\n".encode()


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        assert part, f"closed after {head!r}"
        head += part
    return head


def read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, f"closed after {len(data)} bytes"
        data += part
    return data


@pytest.fixture(scope="module")
def server() -> Iterator[StreamServer]:
    with StreamServer() as running:
        yield running


def wait_until_left(server: StreamServer, target: bytes) -> None:
    """Others that were broken off before may be told late."""
    while server.left.get(timeout=PATIENCE_SECONDS) != target:
        continue


def test_pieces_arrive_one_by_one_and_the_connection_serves_on(server: StreamServer) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(get("/stream"))
        head = read_head(connection)
        producer = server.begin()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nTransfer-Encoding: chunked\r\n" in head
        assert b"\r\nContent-Type: text/event-stream\r\n" in head
        assert b"Content-Length" not in head
        assert b"Connection" not in head
        for piece in (b"data: 1\n\n", b"", b"y" * 17):  # an empty chunk would be the end
            producer.write(piece)
            if piece:
                framed = b"%x\r\n%b\r\n" % (len(piece), piece)
                assert read_exactly(connection, len(framed)) == framed
        producer.end()
        assert read_exactly(connection, 5) == b"0\r\n\r\n"
        connection.sendall(get("/plain"))
        assert read_answer(connection) == (200, b'"plain"')


def test_what_was_pipelined_behind_a_stream_waits_for_its_end(server: StreamServer) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(get("/stream") + get("/plain") + get("/stream"))
        first = server.begin()
        read_head(connection)
        first.write(b"one")
        first.end()
        assert read_exactly(connection, 8 + 5) == b"3\r\none\r\n0\r\n\r\n"
        assert read_answer(connection) == (200, b'"plain"')
        second = server.begin()
        read_head(connection)
        second.end()
        assert read_exactly(connection, 5) == b"0\r\n\r\n"


def test_a_stream_that_ends_at_once_lets_the_next_request_in(server: StreamServer) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(get("/at-once") + get("/plain"))
        read_head(connection)
        assert read_exactly(connection, 13) == b"3\r\nall\r\n0\r\n\r\n"
        assert read_answer(connection) == (200, b'"plain"')
    server.begin()


@pytest.mark.parametrize("headers", ["", "Connection: keep-alive\r\n"])
def test_http_1_0_gets_bare_bytes_up_to_the_end_of_the_connection(server: StreamServer, headers: str) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(get("/stream", "1.0", headers))
        head = read_head(connection)
        producer = server.begin()
        producer.write(b"data: 1\n\n")
        producer.write(b"data: 2\n\n")
        producer.end()
        assert b"chunked" not in head
        assert b"\r\nConnection: close\r\n" in head
        assert read_until_closed(connection) == b"data: 1\n\ndata: 2\n\n"


def test_connection_close_closes_behind_the_last_chunk(server: StreamServer) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(get("/stream", headers="Connection: close\r\n"))
        head = read_head(connection)
        producer = server.begin()
        producer.write(b"one")
        producer.end()
        assert b"\r\nConnection: close\r\n" in head
        assert read_until_closed(connection) == b"3\r\none\r\n0\r\n\r\n"


def test_head_gets_no_body(server: StreamServer) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(get("/stream", method="HEAD"))
        producer = server.begin()
        read_head(connection)
        producer.write(b"one")
        producer.end()
        connection.sendall(get("/plain"))
        assert read_answer(connection) == (200, b'"plain"')


@hypothesis_settings(max_examples=25, deadline=None)
@given(pieces=st.lists(st.binary(max_size=300), max_size=8))
def test_an_unmodified_client_reads_what_was_written(server: StreamServer, pieces: list[bytes]) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    with closing(client):
        client.request("GET", "/stream")
        answer = client.getresponse()
        producer = server.begin()
        for piece in pieces:
            producer.write(piece)
        producer.end()
        assert answer.read() == b"".join(pieces)
        client.request("GET", "/plain")
        assert json.load(client.getresponse()) == "plain"


@pytest.mark.parametrize("behind", [b"", get("/plain"), b"GET /pla"], ids=["nothing", "request", "half"])
@pytest.mark.parametrize("target", ["/stream", "/wait"])
def test_who_leaves_is_noticed(server: StreamServer, target: str, behind: bytes) -> None:
    connection = server.connect()
    connection.sendall(get(target) + behind)
    producer = None
    if target == "/stream":
        producer = server.begin()
        producer.write(b"one")
        read_head(connection)
    while server.seen.get(timeout=PATIENCE_SECONDS) != target.encode():
        continue
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
    connection.close()
    wait_until_left(server, target.encode())
    if producer is not None:
        producer.write(b"nobody reads this")
        producer.end()
        assert server.call(lambda: producer.stream.unsent_bytes) == 0


def test_who_half_closes_behind_an_unread_request_is_noticed(server: StreamServer) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(get("/stream") + get("/plain"))
        server.begin()
        connection.shutdown(socket.SHUT_WR)
        wait_until_left(server, b"/stream")


def test_a_slow_reader_pauses_its_producer_alone(server: StreamServer) -> None:
    with closing(server.connect(receive_bytes=4096)) as slow, closing(server.connect()) as other:
        slow.sendall(get("/stream"))
        producer = server.begin()
        written = 0
        while producer.heard.empty():
            producer.write(LARGE)
            written += 1
        assert producer.next() == "pause"
        assert server.call(lambda: producer.stream.unsent_bytes) > 0
        assert server.server.buffered_bytes > 0
        other.sendall(get("/plain"))
        assert read_answer(other) == (200, b'"plain"')
        read_head(slow)
        for _ in range(written):
            assert read_exactly(slow, 7) == b"f4240\r\n"
            assert read_exactly(slow, len(LARGE) + 2) == LARGE + b"\r\n"
        assert producer.next() == "resume"
        producer.end()
        assert read_exactly(slow, 5) == b"0\r\n\r\n"
    wait_until(lambda: server.server.buffered_bytes == 0)


def test_who_reads_nothing_at_all_is_cut_off() -> None:
    with StreamServer(HttpLimits(write_stall_seconds=0.2)) as server:
        with closing(server.connect(receive_bytes=4096)) as connection:
            connection.sendall(get("/stream"))
            producer = server.begin()
            while producer.heard.empty():
                producer.write(LARGE)
            assert server.left.get(timeout=PATIENCE_SECONDS) == b"/stream"
        wait_until(lambda: server.server.buffered_bytes == 0)


@pytest.mark.parametrize("how", ["fault", "abort"])
def test_a_stream_that_breaks_off_does_not_look_complete(server: StreamServer, how: str) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(get("/faulty" if how == "fault" else "/stream"))
        if how == "abort":
            producer = server.begin()
            producer.write(b"half")
            read_head(connection)
            server.call(lambda: producer.stream.abort())
        assert b"0\r\n\r\n" not in read_until_closed(connection)


def test_a_server_that_leaves_waits_for_streams_and_closes_behind_them() -> None:
    with StreamServer() as server, closing(server.connect()) as connection:
        connection.sendall(get("/stream"))
        producer = server.begin()
        read_head(connection)
        draining = server.drain(PATIENCE_SECONDS)
        producer.write(b"one")
        producer.end()
        assert read_until_closed(connection) == b"3\r\none\r\n0\r\n\r\n"
        connection.close()
        assert draining.result(PATIENCE_SECONDS) is True


def test_who_waits_at_the_end_of_the_grace_is_answered() -> None:
    with StreamServer() as server, closing(server.connect()) as connection:
        connection.sendall(get("/wait"))
        assert server.seen.get(timeout=PATIENCE_SECONDS) == b"/wait"
        assert server.drain(0.05).result(PATIENCE_SECONDS) is False
        assert read_answer(connection) == (503, b'"leaving"')


def test_who_is_cut_off_at_the_end_of_the_grace_hears_it_in_the_stream() -> None:
    with StreamServer() as server, closing(server.connect()) as connection:
        connection.sendall(get("/stream"))
        producer = server.begin()
        producer.last_words = b"sorry"
        read_head(connection)
        assert server.drain(0.05).result(PATIENCE_SECONDS) is False
        assert producer.next() == "cut off"
        assert read_until_closed(connection) == b"5\r\nsorry\r\n0\r\n\r\n"
