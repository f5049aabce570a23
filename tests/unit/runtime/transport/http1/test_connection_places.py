"""Who gets a connection where there are too many, and how long it lasts."""

import http.client
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.server_thread import ServerThread, read_answer, read_until_closed
from tests.unit.runtime.transport.http2.grpc_server_thread import wait_until

from modelservice_runtime.machine.descriptors import allow_files
from modelservice_runtime.transport.http import HttpLimits
from modelservice_runtime.transport.port_server import Places, places_within

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
METADATA = b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"
# A request whose body is still on its way: such a client is not idle.
BUSY = b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture
def full(model_files: dict[str, Path]) -> Iterator[ServerThread]:
    """A server all of whose connections are busy."""
    with ServerThread({"mlp": model_files["mlp"]}, HttpLimits(max_connections=4)) as server:
        busy = [server.connect() for _ in range(4)]
        for connection in busy:
            connection.sendall(BUSY)
        wait_until(lambda: len(server.server.connections) == 4)
        wait_until(lambda: all(one.idle_until is None for one in list(server.server.connections)))
        yield server
        for connection in busy:
            connection.close()


def answer_and_end(server: ServerThread, request: bytes) -> bytes:
    with server.connect() as connection:
        connection.sendall(request)
        return read_until_closed(connection)


def test_probe_is_answered_although_all_connections_are_busy(full: ServerThread) -> None:
    for _ in range(40):  # each leaves its place again
        answer = answer_and_end(full, LIVE)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close\r\n" in answer


def test_other_requests_are_told_that_there_are_too_many_connections(full: ServerThread) -> None:
    answer = answer_and_end(full, METADATA)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in answer


def test_silent_clients_beyond_the_limit_keep_no_probe_out(full: ServerThread) -> None:
    silent = [full.connect() for _ in range(200)]
    assert answer_and_end(full, LIVE).startswith(b"HTTP/1.1 200 ")
    for connection in silent:
        connection.close()


def test_clients_that_do_not_leave_when_they_are_told_keep_no_probe_out(full: ServerThread) -> None:
    with ExitStack() as opened:
        for _ in range(200):
            connection = opened.enter_context(full.connect())
            connection.sendall(METADATA)
            assert read_answer(connection)[0] == 503
        assert answer_and_end(full, LIVE).startswith(b"HTTP/1.1 200 ")
        assert len(full.server.connections) < 4 + 16 + 48


@pytest.mark.parametrize("target", [b"/v2/models/mlp/infer", b"/v2/health/live"])
def test_slow_bodies_beyond_the_limit_keep_no_probe_out(full: ServerThread, target: bytes) -> None:
    for _ in range(40):  # their clients are told at once
        with full.connect() as connection:
            connection.sendall(BUSY.replace(b"/v2/models/mlp/infer", target))
            assert read_answer(connection)[0] == 503
    assert answer_and_end(full, LIVE).startswith(b"HTTP/1.1 200 ")


def test_idle_clients_make_room_and_one_line_says_so(
    model_files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    limits = HttpLimits(max_connections=4)
    with ServerThread({"mlp": model_files["mlp"]}, limits) as server, ExitStack() as kept:
        for _ in range(10):
            connection = kept.enter_context(server.connect())
            connection.sendall(METADATA)
            assert read_answer(connection)[0] == 200
            assert len(server.server.connections) <= 5
            time.sleep(0.12)  # two of the server's looks at the clock, which is when a client counts as idle
    assert [record.message for record in caplog.records].count(
        "all connections are taken; new ones take the place of idle ones"
    ) == 1


def test_busy_clients_keep_their_places(model_files: dict[str, Path]) -> None:
    server = ServerThread({"mlp": model_files["mlp"]}, HttpLimits(max_connections=4))
    server.limits = replace(server.limits, sweep_seconds=30.0)  # nobody is idle for two looks at the clock
    with server, ExitStack() as opened:
        kept = [opened.enter_context(server.connect()) for _ in range(4)]
        for _ in range(100):
            for connection in kept:
                connection.sendall(METADATA)
                assert read_answer(connection)[0] == 200
            assert answer_and_end(server, METADATA).startswith(b"HTTP/1.1 503 ")


def test_old_connection_ends_with_its_next_answer(model_files: dict[str, Path]) -> None:
    limits = HttpLimits(max_connection_age_seconds=1.0)
    with ServerThread({"mlp": model_files["mlp"]}, limits) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        client.connect()
        first, requests = client.sock, 0
        while client.sock is first:
            client.request("GET", "/v2")
            response = client.getresponse()
            assert response.status == 200
            response.read()
            requests += 1
        assert requests > 1
        assert response.headers["Connection"] == "close"
        client.close()


def test_connection_without_an_age_limit_stays(model_files: dict[str, Path]) -> None:
    unlimited = replace(HttpLimits(), max_connection_age_seconds=None)
    with ServerThread({"mlp": model_files["mlp"]}, unlimited) as server:
        assert server.server.age_limit() == float("inf")
    limited = replace(HttpLimits(), max_connection_age_seconds=100.0)
    with ServerThread({"mlp": model_files["mlp"]}, limited) as server:
        ages = {server.server.age_limit() - server.loop.time() for _ in range(50)}
        assert len(ages) > 10
        assert all(89 < age < 111 for age in ages)


@given(st.integers(120, 100_000), st.integers(0, 1000))
def test_places_within_the_files_they_need_are_all_of_them(connections: int, more: int) -> None:
    wanted = Places(connections)
    assert places_within(wanted.files + more, wanted) == wanted


@given(st.integers(1, 100_000), st.integers(0, 200_000))
def test_places_within_few_files_need_no_more_of_them(connections: int, files: int) -> None:
    places = places_within(files, Places(connections))
    assert places.files <= max(files, 9)
    assert places.max_connections >= min(connections, 4, files)
    assert places.probe_places >= min(files // 4, 16)
    if files >= 9 and places.max_connections < connections:
        assert places.files >= files - 1  # none is left over


def test_few_files_leave_half_of_what_a_process_may_open_to_connections(limits_of_files: int) -> None:
    program = """
import resource
from modelservice_runtime.machine.descriptors import allow_files
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
print(allow_files(10_000))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 40 <= int(ended.stdout) < 60


@pytest.fixture
def limits_of_files() -> Iterator[int]:
    """The soft limit, lowered; both limits are as before at the end."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_allow_files_raises_the_soft_limit_as_far_as_it_takes(limits_of_files: int) -> None:
    assert limits_of_files > 4096
    assert allow_files(10) == 10
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1024
    assert allow_files(2000) == 2000
    assert 2000 < resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 4096
    assert allow_files(10**9) < limits_of_files
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limits_of_files
