"""Connections that have sent a large binary request, and then send something else; over raw sockets."""

import json
import random
import socket
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runtime.server_thread import ServerThread, read_answer

from modelservice_runtime.transport.http import RequestHead
from modelservice_runtime.transport.http1.bodies.body import MIN_DIRECT_BYTES
from modelservice_runtime.transport.http1.bodies.large_reads import LargeReads

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = b"GET /v2/models/identity_FP32 HTTP/1.1\r\nHost: a\r\n\r\n"


def large(value: int, rows: int = 50_000) -> bytes:
    """A request of 16 bytes a row, whose answer is as large."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [4 * rows]}
    head = json.dumps(
        {
            "inputs": [tensor | {"parameters": {"binary_data_size": rows * 16}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    body = head + bytes([value, 0, 0, 0]) * (4 * rows)
    return (
        b"POST /v2/models/identity_FP32/infer HTTP/1.1\r\nHost: a\r\n"
        b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n%b" % (len(head), len(body), body)
    )


def check(connection: socket.socket, value: int, rows: int = 50_000) -> None:
    status, body = read_answer(connection)
    assert status == 200
    assert body.endswith(bytes([value, 0, 0, 0]) * (4 * rows))


@pytest.mark.parametrize(
    "sizes", [[50_000], [50_000, 50_000], [60_000, 50_000], [4_000], [5_000, 50_000], [50_000, 0, 0]]
)
def test_whatever_follows_large_requests_is_answered_in_order(server: ServerThread, sizes: list[int]) -> None:
    """A size of 0 stands for thousands of small requests."""
    with server.connect() as connection:
        for value in range(3):
            connection.sendall(large(value))
            check(connection, value)
        connection.sendall(b"".join([large(7, rows) if rows else SMALL * 3000 for rows in sizes]))
        for rows in sizes:
            if rows:
                check(connection, 7, rows)
            else:
                assert {read_answer(connection)[0] for _ in range(3000)} == {200}
        connection.sendall(SMALL)
        assert read_answer(connection)[0] == 200


class Recorder:
    """The owner of reads; `later` is what waits for others to have their turn."""

    waits_for_request = True

    def __init__(self) -> None:
        self.reads = LargeReads(self)
        self.pieces: list[bytes] = []
        self.later: list[Callable[[], None]] = []

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)

    def read_on(self) -> None:
        if self.reads.has_rest:
            self.reads.go_on_soon(self.later.append)

    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def eof_received(self) -> bool:
        return False

    def body_complete(self, head: RequestHead) -> None: ...
    def body_refused(self) -> None: ...
    def repeated(self, head: RequestHead, content: memoryview, size_bytes: int) -> None: ...


def expecting() -> Recorder:
    owner = Recorder()
    headers = {b"inference-header-content-length": b"10"}
    head = RequestHead(b"POST", b"/", headers, True, False, 500_000)
    owner.reads.expect(b"POST / HTTP/1.1\r\n\r\n", head)
    return owner


def test_memory_for_a_read_that_brought_nothing_is_given_up() -> None:
    owner = expecting()
    array: Any = owner.reads.get_buffer(-1).obj
    memory = weakref.ref(array)
    del array
    owner.reads.forget_unused()
    assert memory() is None


def test_what_was_read_for_a_large_request_and_is_none_is_passed_on_little_by_little() -> None:
    owner = expecting()
    sent = random.Random(0).randbytes(300_000)
    buffer: Any = owner.reads.get_buffer(-1)
    buffer[: len(sent)] = sent
    memory = weakref.ref(buffer.obj)
    del buffer
    owner.reads.buffer_updated(len(sent))
    turns = 1
    while owner.later:
        assert len(owner.pieces) == turns
        owner.later.pop()()
        turns += 1
    assert b"".join(owner.pieces) == sent
    assert max(map(len, owner.pieces)) <= MIN_DIRECT_BYTES
    assert memory() is None
