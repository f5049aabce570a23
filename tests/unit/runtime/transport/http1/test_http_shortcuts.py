"""The ways around the parser: heads seen before, and large bodies read straight into their memory."""

import gzip
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.server_thread import ServerThread, read_answer, read_until_closed
from tests.unit.runtime.transport.http2.grpc_server_thread import wait_until

from modelservice_runtime.transport.http import HttpLimits

LIMITS = HttpLimits(max_body_bytes=8_000_000, max_buffered_bytes=8_000_000)
IMPATIENT = replace(LIMITS, body_grace_seconds=1.0, min_body_bytes_per_second=1e9)
PATH = b"/v2/models/any/infer"


@pytest.fixture(scope="module")
def serving(model_files: dict[str, Path]) -> Iterator[ServerThread]:
    with ServerThread({"any": model_files["any"], "mlp": model_files["mlp"]}, LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(model_files: dict[str, Path]) -> Iterator[ServerThread]:
    with ServerThread({"any": model_files["any"]}, IMPATIENT) as running:
        yield running


@pytest.fixture
def connect(serving: ServerThread) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(serving.connect())
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


Connect = Callable[[], socket.socket]


def json_request(values: list[float], headers: bytes = b"") -> bytes:
    tensor = {"name": "x", "shape": [1, len(values)], "datatype": "FP32", "data": values}
    body = json.dumps({"inputs": [tensor]}).encode()
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b" % (PATH, len(body), headers, body)


def binary_request(array: np.ndarray, spaces: int = 0) -> bytes:
    tensor = {"name": "x", "shape": list(array.shape), "datatype": "FP32"}
    document = {
        "inputs": [tensor | {"parameters": {"binary_data_size": array.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(document).encode() + b" " * spaces
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b%b" % (
        PATH,
        len(head) + array.nbytes,
        b"Inference-Header-Content-Length: %d\r\n" % len(head),
        head,
        array.tobytes(),
    )


def echoed(connection: socket.socket) -> list[float]:
    status, body = read_answer(connection)
    assert status == 200, body
    values: list[float] = json.loads(body)["outputs"][0]["data"]
    return values


def echoed_binary(connection: socket.socket, count: int) -> np.ndarray:
    status, body = read_answer(connection)
    assert status == 200, body[:200]
    return np.frombuffer(body[-4 * count :], np.float32)


def test_known_head_with_another_body_gets_its_own_answer(connect: Connect, serving: ServerThread) -> None:
    connection = connect()
    for values in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]):
        connection.sendall(json_request(values))
        assert echoed(connection) == values
    request = json_request([1.0, 2.0])
    assert request[: request.index(b"\r\n\r\n") + 4] in serving.server.known_heads


def test_known_head_in_pieces_or_pipelined_gets_every_answer(connect: Connect) -> None:
    connection = connect()
    first, second = json_request([1.0, 2.0]), json_request([3.0, 4.0])
    connection.sendall(first)
    assert echoed(connection) == [1.0, 2.0]
    connection.sendall(first + second)
    assert [echoed(connection), echoed(connection)] == [[1.0, 2.0], [3.0, 4.0]]
    for cut in (5, second.index(b"\r\n\r\n") + 2, len(second) - 1):
        connection.sendall(second[:cut])
        time.sleep(0.01)
        connection.sendall(second[cut:])
        assert echoed(connection) == [3.0, 4.0]


def test_known_head_followed_by_bytes_beyond_its_body_is_not_taken_for_one_request(connect: Connect) -> None:
    connection = connect()
    request = json_request([1.0, 2.0])
    connection.sendall(request)
    assert echoed(connection) == [1.0, 2.0]
    connection.sendall(request + b"nonsense\r\n\r\n")
    assert echoed(connection) == [1.0, 2.0]
    assert read_until_closed(connection).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("header", [b"Connection: close\r\n", b"Expect: 100-continue\r\n"])
def test_head_that_says_something_of_the_connection_is_parsed_every_time(
    connect: Connect, serving: ServerThread, header: bytes
) -> None:
    connection = connect()
    request = json_request([1.0, 2.0], header)
    connection.sendall(request)
    assert b"200 OK" in connection.recv(65536).replace(b"100 Continue", b"") or b"200 OK" in connection.recv(
        65536
    )
    assert request[: request.index(b"\r\n\r\n") + 4] not in serving.server.known_heads


def test_known_heads_are_bounded(connect: Connect, serving: ServerThread) -> None:
    connection = connect()
    for number in range(600):
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number)
        assert read_answer(connection)[0] == 200
    assert len(serving.server.known_heads) <= 512
    large = b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 3000)
    connection.sendall(large)
    assert read_answer(connection)[0] == 200
    assert large not in serving.server.known_heads


def test_large_body_in_pieces_arrives_whole_and_so_does_what_follows(connect: Connect) -> None:
    connection = connect()
    array = np.arange(500_000, dtype=np.float32).reshape(1, -1)
    data = binary_request(array) + json_request([7.0])
    for start in range(0, len(data), 300_001):
        connection.sendall(data[start : start + 300_001])
        time.sleep(0.002)
    np.testing.assert_array_equal(echoed_binary(connection, array.size), array.ravel())
    assert echoed(connection) == [7.0]
    connection.sendall(binary_request(array))
    np.testing.assert_array_equal(echoed_binary(connection, array.size), array.ravel())


# In how many pieces, the first of so many bytes, a repeated request comes; None: in one go.
@pytest.mark.parametrize("first_bytes", [None, 1, 120, 20_000, 700_000])
def test_large_requests_with_the_same_head_get_an_answer_to_their_own_numbers(
    connect: Connect, serving: ServerThread, first_bytes: int | None
) -> None:
    connection = connect()
    array = np.arange(200_000, dtype=np.float32).reshape(1, -1)
    for turn in range(6):
        request = binary_request(array + turn)
        if first_bytes is not None:
            connection.sendall(request[:first_bytes])
            time.sleep(0.02)
        connection.sendall(request[first_bytes or 0 :])
        np.testing.assert_array_equal(echoed_binary(connection, array.size), array.ravel() + turn)
    wait_until(lambda: serving.server.buffered_bytes == 0)


def test_other_requests_between_large_ones_with_the_same_head_are_answered(connect: Connect) -> None:
    connection = connect()
    array = np.arange(200_000, dtype=np.float32).reshape(1, -1)
    others = (json_request([7.0]), binary_request(array[:, :150_000]), json_request([1.0] * 90_000))
    for other in others:
        for request in (binary_request(array), binary_request(array + 1), binary_request(array + 2), other):
            connection.sendall(request)
            status, body = read_answer(connection)
            assert status == 200, body[:200]
        connection.sendall(binary_request(array + 3) + other)  # two at once
        np.testing.assert_array_equal(echoed_binary(connection, array.size), array.ravel() + 3)
        assert read_answer(connection)[0] == 200


def test_repeated_large_request_without_room_is_refused(connect: Connect, serving: ServerThread) -> None:
    request = binary_request(np.zeros((1, 1_500_000), np.float32))
    filling, crowding = connect(), connect()
    for _ in range(3):
        for connection in (filling, crowding):
            connection.sendall(request)
            assert read_answer(connection)[0] == 200
    filling.sendall(request[:4_000_000])
    wait_until(lambda: serving.server.buffered_bytes > 3_900_000)  # it needs no more for what it has sent
    crowding.sendall(request[:5_000_000])
    assert read_until_closed(crowding).startswith(b"HTTP/1.1 503")
    filling.close()
    wait_until(lambda: serving.server.buffered_bytes == 0)


@pytest.mark.parametrize("repeats", [0, 3])
def test_large_body_that_stops_is_answered_408(impatient: ServerThread, repeats: int) -> None:
    request = binary_request(np.zeros((1, 400_000), np.float32))
    with impatient.connect() as connection:
        for _ in range(repeats):
            connection.sendall(request)
            assert read_answer(connection)[0] == 200
        connection.sendall(request[:1_000_000])
        assert read_until_closed(connection).startswith(b"HTTP/1.1 408")
    wait_until(lambda: impatient.server.buffered_bytes == 0)


def test_large_bodies_without_room_are_answered_503(connect: Connect, serving: ServerThread) -> None:
    data = binary_request(np.zeros((1, 1_900_000), np.float32))
    uploads = [connect(), connect()]
    for connection in uploads:
        connection.sendall(data[:6_000_000])
    refused, _, _ = select.select(uploads, [], [], 120)
    assert [read_until_closed(connection)[:12] for connection in refused] == [b"HTTP/1.1 503"]
    for connection in uploads:
        connection.close()
    wait_until(lambda: serving.server.buffered_bytes == 0)


def test_client_that_leaves_within_a_large_body_leaves_nothing_behind(
    connect: Connect, serving: ServerThread
) -> None:
    connection = connect()
    connection.sendall(binary_request(np.zeros((1, 500_000), np.float32))[:1_000_000])
    connection.close()
    wait_until(lambda: not serving.server.connections and serving.server.buffered_bytes == 0)


@pytest.mark.parametrize("spaces", range(5))
def test_tensors_of_a_large_body_are_aligned_whatever_the_length_of_the_json_before(
    connect: Connect, serving: ServerThread, monkeypatch: pytest.MonkeyPatch, spaces: int
) -> None:
    addresses: list[int] = []
    lane = serving.table.find("any", None).lane
    run = lane._model.run

    def spy(inputs: Any, *arguments: Any) -> Any:
        addresses.append(inputs["x"].ctypes.data)
        assert not inputs["x"].flags.owndata  # the body itself, not a copy
        return run(inputs, *arguments)

    monkeypatch.setattr(lane._model, "run", spy)
    array = np.arange(300_000, dtype=np.float32).reshape(1, -1)
    connection = connect()
    request = binary_request(array, spaces)
    connection.sendall(request[:100_000])
    time.sleep(0.02)
    connection.sendall(request[100_000:])
    np.testing.assert_array_equal(echoed_binary(connection, array.size), array.ravel())
    connection.sendall(request)  # behind a head that is known now
    np.testing.assert_array_equal(echoed_binary(connection, array.size), array.ravel())
    assert [address % 4 for address in addresses] == [0, 0]
    assert request[: request.index(b"\r\n\r\n") + 4] in serving.server.known_heads


def test_large_json_and_compressed_bodies_are_answered_in_order_with_others(connect: Connect) -> None:
    array = np.random.default_rng(0).random(60_000, dtype=np.float32).astype(float).tolist()
    plain = json_request(array)
    head, _, body = plain.partition(b"\r\n\r\n")
    packed = gzip.compress(body, 1)
    compressed = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(packed))
    compressed += b"\r\nContent-Encoding: gzip\r\nAccept-Encoding: gzip\r\n\r\n" + packed
    connection = connect()
    connection.sendall(plain + compressed + json_request([1.0]))
    assert echoed(connection) == pytest.approx(array)
    status, answer = read_answer(connection)
    assert status == 200
    assert json.loads(gzip.decompress(answer))["outputs"][0]["data"] == pytest.approx(array)
    assert echoed(connection) == [1.0]


def test_large_json_body_that_is_wrong_is_told_so(connect: Connect, serving: ServerThread) -> None:
    failures = sum(serving.table.find("any", None).statistics.failures.values())
    connection = connect()
    connection.sendall(json_request([1.0] * 60_000).replace(b"[1, 60000]", b"[1, 59999]"))
    status, body = read_answer(connection)
    assert (status, b"60000 values" in body) == (400, True)
    assert sum(serving.table.find("any", None).statistics.failures.values()) == failures + 1


def test_client_that_leaves_while_its_large_body_is_decoded_is_counted(
    connect: Connect, serving: ServerThread
) -> None:
    statistics = serving.table.find("any", None).statistics
    cancelled = statistics.failures["CANCELED"]
    handled = cancelled + statistics.success_count
    connection = connect()
    connection.sendall(json_request([1.0] * 60_000))
    connection.close()
    deadline = time.monotonic() + 120
    while statistics.failures["CANCELED"] + statistics.success_count == handled:
        assert time.monotonic() < deadline
        time.sleep(0.01)
