"""Clients that want to be asked for the body, or to speak another protocol."""

import json
import socket
import time

import pytest
from tests.unit.runtime.server_thread import ServerThread, read_answer, read_until_closed

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# What Java's HttpClient sends unless it is told to speak HTTP/1.1.
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
EXPECT = b"Expect: 100-continue\r\n"


def post(headers: bytes, version: bytes = b"1.1", length: int = len(BODY)) -> bytes:
    """A request's head."""
    start = b"POST /v2/models/identity_FP32/infer HTTP/%b\r\nHost: a\r\n" % version
    return start + b"Content-Length: %d\r\n%b\r\n" % (length, headers)


@pytest.mark.parametrize("headers", [EXPECT, UPGRADE + EXPECT, EXPECT + UPGRADE])
def test_expect_100_continue_is_answered_once_and_before_the_body(
    server: ServerThread, headers: bytes
) -> None:
    with server.connect() as connection:
        connection.sendall(post(headers))
        assert connection.recv(4096) == CONTINUE
        connection.sendall(BODY)
        assert read_answer(connection)[0] == 200


def test_expect_100_continue_of_http_1_0_is_ignored(server: ServerThread) -> None:
    with server.connect() as connection:
        connection.sendall(post(EXPECT, b"1.0") + BODY)
        assert read_until_closed(connection).startswith(b"HTTP/1.1 200")


def test_expect_100_continue_with_too_large_a_body_is_413_at_once(server: ServerThread) -> None:
    with server.connect() as connection:
        connection.sendall(post(EXPECT, length=1 << 30))
        assert read_answer(connection)[0] == 413


def test_upgrade_is_ignored_and_the_body_kept(server: ServerThread) -> None:
    with server.connect() as connection:
        connection.sendall((post(UPGRADE) + BODY) * 3 + post(b"") + BODY)
        assert [read_answer(connection)[0] for _ in range(4)] == [200] * 4


def test_upgrade_with_the_body_in_another_packet_is_answered(server: ServerThread) -> None:
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(post(b"Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        time.sleep(0.05)
        connection.sendall(BODY)
        assert read_answer(connection)[0] == 200


def test_many_pipelined_upgrades_are_refused(server: ServerThread) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" * 1000)
        assert b"HTTP/1.1 400" in read_until_closed(connection)
