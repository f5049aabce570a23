"""Pipelined requests in turns with those of other clients; without a network."""

from collections.abc import Callable

import pytest
from tests.unit.runtime.transport.http2.offline_connection import FakeLoop, FakeTransport

from modelservice_runtime.transport.http import HttpLimits, HttpRequest, HttpResponse
from modelservice_runtime.transport.http1 import exchange
from modelservice_runtime.transport.http1.connection import Connection
from modelservice_runtime.transport.http1.server import HttpServer

REQUEST = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


def connect(
    application: Callable[[HttpRequest], None],
) -> tuple[Connection, FakeLoop, FakeTransport]:
    loop, transport = FakeLoop(), FakeTransport()
    client = Connection(HttpServer(application, HttpLimits(), loop))  # type: ignore[arg-type]
    client.connection_made(transport)  # type: ignore[arg-type]
    return client, loop, transport


@pytest.mark.parametrize(("turn_seconds", "at_once"), [(0.0, 1), (60.0, 5)])
def test_pipelined_requests_are_handed_over_until_the_turn_is_over(
    monkeypatch: pytest.MonkeyPatch, turn_seconds: float, at_once: int
) -> None:
    monkeypatch.setattr(exchange, "_TURN_SECONDS", turn_seconds)
    targets: list[bytes] = []

    def answer(request: HttpRequest) -> None:
        targets.append(request.target)
        request.reply(HttpResponse(200))

    client, loop, transport = connect(answer)
    client.data_received(b"".join([REQUEST % number for number in range(5)]))
    assert len(targets) == at_once
    loop.run()
    assert targets == [b"/%d" % number for number in range(5)]
    assert transport.written.count(b"HTTP/1.1 200") == 5
    assert transport.reading


def test_pipelined_requests_in_large_packets_that_end_within_a_head_are_all_answered() -> None:
    client, loop, transport = connect(lambda request: request.reply(HttpResponse(200)))
    text = REQUEST % 1 * 9000
    for start in range(0, len(text), 100_001):
        client.data_received(text[start : start + 100_001])
        loop.run()
    assert transport.written.count(b"HTTP/1.1 200") == 9000
