"""What hostile, slow and merely unusual clients meet; over raw sockets."""

import gzip
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.runtime.server_thread import ServerThread, read_answer, read_until_closed

from modelservice_runtime.transport.http import HttpLimits

# Small enough to be reached in a moment; times as they are, which no test comes near.
SMALL = HttpLimits(max_body_bytes=200_000, max_buffered_bytes=600_000, max_connections=12)
IMPATIENT = replace(
    SMALL,
    head_timeout_seconds=0.4,
    body_grace_seconds=0.4,
    min_body_bytes_per_second=1e9,
    idle_timeout_seconds=0.8,
    write_stall_seconds=0.5,
    linger_seconds=0.5,
)
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
).encode()


def post(body: bytes = BODY, path: bytes = b"/v2/models/mlp/infer", headers: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b" % (path, len(body), headers, body)


def chunked(chunks: list[bytes]) -> bytes:
    head = b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@pytest.fixture(scope="module")
def small(model_files: dict[str, Path]) -> Iterator[ServerThread]:
    """A server with small limits."""
    models = {name: model_files[name] for name in ("mlp", "any", "loop", "text")}
    with ServerThread(models, SMALL) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(model_files: dict[str, Path]) -> Iterator[ServerThread]:
    """A server with small limits and short timeouts."""
    with ServerThread({name: model_files[name] for name in ("mlp", "any")}, IMPATIENT) as running:
        yield running


@pytest.fixture
def connect(small: ServerThread) -> Iterator[Callable[[], socket.socket]]:
    yield from connector(small)


@pytest.fixture
def connect_impatient(impatient: ServerThread) -> Iterator[Callable[[], socket.socket]]:
    yield from connector(impatient)


def connector(server: ServerThread) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(server.connect())
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()
    wait_until(lambda: not server.server.connections)


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


Connect = Callable[[], socket.socket]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/3.7\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: a-miracle\r\n\r\n", 417),
    ],
)
def test_malformed_request_is_refused_and_the_connection_closed(
    connect: Connect, request_bytes: bytes, status: int
) -> None:
    connection = connect()
    connection.sendall(request_bytes)
    assert read_answer(connection)[0] == status
    assert read_until_closed(connection) == b""


def test_requests_before_a_malformed_one_are_answered_first(connect: Connect) -> None:
    connection = connect()
    connection.sendall(LIVE + post() + b"nonsense\r\n\r\n")
    assert [read_answer(connection)[0] for _ in range(3)] == [200, 200, 400]
    assert read_until_closed(connection) == b""


def test_endless_header_is_refused_with_bounded_memory(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    answer = b""
    for _ in range(64):
        try:
            connection.sendall(b"y" * 16_384)
        except (BrokenPipeError, ConnectionResetError):
            break
    answer = read_until_closed(connection)
    assert b" 431 " in answer or answer == b"<reset>"


@pytest.mark.parametrize("beginning", [b"1;", b'1;a="', b"0", b"0\r\nX: ", b"0\r\nX"])
def test_chunked_body_of_endless_framing_is_refused(connect: Connect, beginning: bytes) -> None:
    connection = connect()
    connection.sendall(chunked([])[: -len(b"0\r\n\r\n")] + beginning)
    for _ in range(64):
        try:
            connection.sendall(b"0" * 16_384)
        except (BrokenPipeError, ConnectionResetError):
            break
    answer = read_until_closed(connection)
    assert b" 400 " in answer or answer == b"<reset>"


def test_body_larger_than_announced_limit_is_413_while_it_is_sent(connect: Connect) -> None:
    connection = connect()
    connection.sendall(
        b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + bytes(100_000)
    )
    status, body = read_answer(connection)
    assert status == 413
    assert b"limit of 200000 bytes" in body


def test_chunked_body_over_the_limit_is_413(connect: Connect, small: ServerThread) -> None:
    connection = connect()
    connection.sendall(chunked([b" " * 50_000] * 5))
    assert read_answer(connection)[0] == 413
    wait_until(lambda: small.server.buffered_bytes == 0)


def test_body_of_crumbs_is_refused(connect: Connect) -> None:
    connection = connect()
    connection.sendall(chunked([b" "] * 20_000))
    status, body = read_answer(connection)
    assert (status, b"too small chunks" in body) == (400, True)


def test_chunked_body_with_trailer_and_extension_is_answered(connect: Connect) -> None:
    connection = connect()
    head = b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
    connection.sendall(head + b"%x;ext=1\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(BODY), BODY) + LIVE)
    assert [read_answer(connection)[0] for _ in range(2)] == [200, 200]


def test_gzip_bomb_is_413(connect: Connect) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    connection = connect()
    connection.sendall(post(bomb, headers=b"Content-Encoding: gzip\r\n"))
    status, body = read_answer(connection)
    assert (status, b"decompressed" in body) == (413, True)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(BODY, mtime=0)[:-9],
        b"not gzip",
        gzip.compress(BODY, mtime=0) + b"x",
        gzip.compress(BODY, mtime=0) * 2,
    ],
    ids=["truncated", "no gzip", "trailing bytes", "two members"],
)
def test_damaged_gzip_is_400(connect: Connect, data: bytes) -> None:
    connection = connect()
    connection.sendall(post(data, headers=b"Content-Encoding: gzip\r\n"))
    assert read_answer(connection)[0] == 400


def test_pipelined_requests_are_answered_in_order(connect: Connect) -> None:
    connection = connect()
    slow = json.dumps(
        {"id": "0", "inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [3000]}]}
    ).encode()
    bodies = [json.dumps({"id": str(number), **json.loads(BODY)}).encode() for number in range(1, 50)]
    connection.sendall(post(slow, b"/v2/models/loop/infer") + b"".join(post(body) for body in bodies))
    answers = [read_answer(connection) for _ in range(50)]
    assert [json.loads(body)["id"] for _, body in answers] == [str(number) for number in range(50)]


def test_request_in_single_bytes_is_answered(connect: Connect) -> None:
    connection = connect()
    for byte in post():
        connection.send(bytes([byte]))
    assert read_answer(connection)[0] == 200


def test_keep_alive_of_http_1_0_is_announced(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head = connection.recv(4096)
    assert b"Connection: keep-alive\r\n" in head
    connection.sendall(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
    assert b"Connection: close\r\n" in read_until_closed(connection)


def test_connection_close_is_honoured(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert read_until_closed(connection).count(b"HTTP/1.1 200") == 1


def test_half_closed_client_gets_the_answers_that_are_ready(connect: Connect) -> None:
    connection = connect()
    connection.sendall(LIVE * 2)
    connection.shutdown(socket.SHUT_WR)
    assert read_until_closed(connection).count(b"HTTP/1.1 200") == 2


def test_slow_head_is_408(connect_impatient: Connect) -> None:
    connection = connect_impatient()
    connection.sendall(b"GET /v2/health/live HTTP/1.1\r\n")
    assert read_answer(connection)[0] == 408
    assert read_until_closed(connection) == b""


def test_slow_drip_of_headers_is_408(connect_impatient: Connect) -> None:
    connection = connect_impatient()
    connection.settimeout(0.02)
    answer = b""
    for _ in range(5000):
        try:
            connection.sendall(b"G" if not answer else b"")
            answer += connection.recv(4096)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
        if answer:
            break
    assert answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 400"))


def test_slow_body_is_408_while_others_are_served(connect_impatient: Connect) -> None:
    slow = connect_impatient()
    slow.sendall(post()[:-1])
    other = connect_impatient()
    other.sendall(post())
    assert read_answer(other)[0] == 200
    assert read_answer(slow)[0] == 408


def test_idle_connection_is_closed_silently(connect_impatient: Connect) -> None:
    connection = connect_impatient()
    connection.sendall(LIVE)
    read_answer(connection)
    assert read_until_closed(connection) == b""


def test_client_that_does_not_read_is_cut_off(connect_impatient: Connect, impatient: ServerThread) -> None:
    connection = connect_impatient()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    data = b'{"inputs":[{"name":"x","shape":[1,20000],"datatype":"FP32","data":[%b]}]}' % b",".join(
        [b"0.1234567"] * 20_000
    )
    request = post(data, b"/v2/models/any/infer")

    def send() -> None:
        try:
            for _ in range(200):
                connection.sendall(request)
        except OSError:
            return

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: not impatient.server.connections)
    sender.join(120)
    assert not sender.is_alive()


def test_slow_reader_gets_everything(connect: Connect) -> None:
    connection = connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    data = b'{"inputs":[{"name":"x","shape":[1,15000],"datatype":"FP32","data":[%b]}]}' % b",".join(
        [b"0.1234567"] * 15_000
    )
    connection.sendall(post(data, b"/v2/models/any/infer") * 3)
    time.sleep(0.2)
    for _ in range(3):
        status, body = read_answer(connection)
        assert status == 200
        assert len(json.loads(body)["outputs"][0]["data"]) == 15_000


def test_too_many_connections_are_turned_away_with_503(connect: Connect) -> None:
    for _ in range(12):
        connect().sendall(post()[:-1])
    extra = connect()
    extra.sendall(post())
    assert b"HTTP/1.1 503" in read_until_closed(extra)


def wait_for_looks(server: ServerThread) -> None:
    """From two looks at the clock on a client counts as idle; what is heard between two happens at once."""
    looked = server.server.now
    wait_until(lambda: server.server.now > looked + 3 * server.limits.sweep_seconds)


def test_client_beyond_the_maximum_takes_the_place_of_the_one_that_is_idle_for_longest(
    connect: Connect, small: ServerThread
) -> None:
    silent, used = connect(), connect()
    wait_until(lambda: len(small.server.connections) == 2)
    wait_for_looks(small)
    for connection in [used, *(connect() for _ in range(10))]:
        connection.sendall(LIVE)
        assert read_answer(connection)[0] == 200
    wait_for_looks(small)
    extra = connect()
    extra.sendall(LIVE)
    assert read_answer(extra)[0] == 200
    assert read_until_closed(silent) in (b"", b"<reset>")
    used.sendall(LIVE)
    assert read_answer(used)[0] == 200


def test_buffered_bodies_are_bounded_over_all_connections(connect: Connect, small: ServerThread) -> None:
    uploads = [connect() for _ in range(4)]
    for connection in uploads:
        connection.sendall(post(b" " * 199_000)[:-1])
    answered, _, _ = select.select(uploads, [], [], 120)
    assert [read_answer(connection)[0] for connection in answered] == [503]
    for connection in uploads:
        connection.close()
    wait_until(lambda: small.server.buffered_bytes == 0)


def test_unread_answers_are_bounded_over_all_connections(model_files: dict[str, Path]) -> None:
    limits = HttpLimits(max_buffered_bytes=1_000_000)
    tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [5_000_000]}
    asked = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    with ServerThread({"expand": model_files["expand"]}, limits) as server:
        with server.connect() as first, server.connect() as second:
            first.sendall(post(asked, b"/v2/models/expand/infer"))
            wait_until(lambda: server.server.buffered_bytes > 1_000_000)
            second.sendall(post(asked, b"/v2/models/expand/infer"))
            assert read_answer(second)[0] == 503
            assert server.request("GET", "/v2/models/expand").status == 200
        wait_until(lambda: server.server.buffered_bytes == 0)


def test_client_that_leaves_takes_its_request_along(connect: Connect, small: ServerThread) -> None:
    lane = small.table.find("loop", None).lane
    body = json.dumps(
        {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [10_000_000]}]}
    ).encode()
    connection = connect()
    connection.sendall(post(body, b"/v2/models/loop/infer"))
    wait_until(lambda: lane.pending == 1)
    connection.close()
    wait_until(lambda: lane.pending == 0)
    # The run was stopped as well: another request does not wait for ten million turns.
    quick = body.replace(b"10000000", b"1")
    other = connect()
    other.sendall(post(quick, b"/v2/models/loop/infer"))
    assert read_answer(other)[0] == 200


def test_many_clients_that_leave_at_once_leave_nothing_behind(small: ServerThread) -> None:
    lane = small.table.find("loop", None).lane
    body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [5000]}]}).encode()
    for _ in range(300):
        connection = small.connect()
        connection.sendall(post(body, b"/v2/models/loop/infer"))
        connection.close()
    wait_until(lambda: lane.pending == 0 and not small.server.connections)
    wait_until(lambda: small.server.buffered_bytes == 0)


def test_timeout_parameter_stops_a_running_model(connect: Connect) -> None:
    connection = connect()
    document = {
        "inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [10_000_000]}],
        "parameters": {"timeout": 50_000},
    }
    connection.sendall(post(json.dumps(document).encode(), b"/v2/models/loop/infer"))
    status, body = read_answer(connection)
    assert (status, b"timeout" in body) == (504, True)


def test_timeout_header_stops_a_running_model(connect: Connect) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "INT64", "data": [10_000_000]}
    body = json.dumps({"inputs": [tensor], "parameters": {"timeout": 3_600_000_000}}).encode()
    connection = connect()
    for _ in range(3):  # a time limit of one request is not kept for the next that looks like it
        connection.sendall(post(body, b"/v2/models/loop/infer", b"X-Request-Timeout: 0.05\r\n"))
        assert read_answer(connection)[0] == 504
        quick = body.replace(b"10000000", b"1")
        connection.sendall(post(quick, b"/v2/models/loop/infer"))
        assert read_answer(connection)[0] == 200
    connection.sendall(post(body, b"/v2/models/loop/infer", b"X-Request-Timeout: soon\r\n"))
    assert read_answer(connection)[0] == 400


def test_draining_server_is_not_ready_and_closes_after_answers(model_files: dict[str, Path]) -> None:
    with ServerThread({"mlp": model_files["mlp"]}, SMALL) as leaving:
        kept = leaving.connect()
        kept.sendall(LIVE)
        read_answer(kept)
        leaving.loop.call_soon_threadsafe(leaving.health.start_draining)
        leaving.loop.call_soon_threadsafe(leaving.server.start_closing)
        wait_until(lambda: leaving.request("GET", "/v2/health/ready").status == 503)
        assert leaving.request("GET", "/v2/models/mlp/ready").status == 503
        assert leaving.request("GET", "/v2/health/live").status == 200
        kept.sendall(post())
        answer = read_until_closed(kept)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"Connection: close\r\n" in answer
        kept.close()


def test_thousands_of_pipelined_requests_are_all_answered(connect: Connect) -> None:
    connection = connect()
    sender = threading.Thread(
        target=connection.sendall,
        args=(LIVE * 3000 + LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),),
    )
    sender.start()
    assert read_until_closed(connection).count(b"HTTP/1.1 200 OK") == 3001
    sender.join()
