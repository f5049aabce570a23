"""Which version of HTTP a connection speaks, by its first bytes, and where there are too many."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.unit.runtime.server_thread import read_answer, read_until_closed
from tests.unit.runtime.transport.http1.stream_server import StreamServer
from tests.unit.runtime.transport.http2.grpc_server_thread import wait_until
from tests.unit.runtime.transport.http2.raw_client import RawClient
from tests.unit.runtime.transport.rest.requests import HELLO, connected, get

from modelservice_runtime.transport.http import HttpLimits

PLAIN = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[StreamServer]:
    with StreamServer() as running:
        yield running


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 23, 24, 33, 34])
def test_preface_may_be_cut_anywhere(server: StreamServer, size: int) -> None:
    with connected(server, b"") as client:
        for start in range(0, len(HELLO), size):
            client.send(HELLO[start : start + size])
            wait_until(lambda: bool(server.server.connections))
        client.send(get(1, "/plain"))
        assert client.answer(1)[1] == b'"plain"'


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"GET", b"PROPFIND"])
def test_http_1_may_be_cut_anywhere(server: StreamServer, method: bytes) -> None:
    request = PLAIN.replace(b"GET", method).replace(b"a\r\n", b"a\r\nContent-Length: 0\r\n")
    with closing(server.connect()) as connection:
        for byte in request:
            connection.sendall(bytes([byte]))
        assert read_answer(connection) == (200, b'"plain"')
        connection.sendall(request)
        assert read_answer(connection) == (200, b'"plain"')


def test_preface_behind_a_request_of_http_1_is_none(server: StreamServer) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(PLAIN)
        assert read_answer(connection) == (200, b'"plain"')
        connection.sendall(HELLO + get(1, "/plain"))
        assert read_until_closed(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("first", [b"PR", b""])
def test_who_leaves_before_it_is_known_leaves_nothing_behind(server: StreamServer, first: bytes) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(first)
        wait_until(lambda: len(server.server.connections) == 1)
    wait_until(lambda: not server.server.connections)


def test_both_versions_share_the_places() -> None:
    limits = HttpLimits(max_connections=4, probe_places=1, refusal_places=1)
    with StreamServer(limits) as server:
        server.server.is_probe = lambda target: target == b"/plain"
        clients = [RawClient(server.connect(), HELLO) for _ in range(4)]
        for client in clients:
            client.send(get(1, "/wait"))
            client.ping()
        with closing(server.connect()) as probe:
            probe.sendall(PLAIN)
            assert read_answer(probe) == (200, b'"plain"')
        with closing(RawClient(server.connect(), HELLO).socket) as last:
            probing = RawClient(last, get(1, "/plain") + get(3, "/echo"))
            assert probing.answer(1)[1] == b'"plain"'
            assert probing.answer(3)[0][":status"] == "503"
        for client in clients:
            client.socket.close()
