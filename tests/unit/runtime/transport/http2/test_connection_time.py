"""What happens when nothing happens; in a time that the tests set."""

from dataclasses import replace

import pytest
from tests.unit.runtime.transport.http2 import raw_client as raw
from tests.unit.runtime.transport.http2.grpc_server_thread import SERVICES, Never
from tests.unit.runtime.transport.http2.offline_connection import FakeLoop, FakeTransport, Play

from modelservice_runtime.transport.grpc.server import GrpcServer
from modelservice_runtime.transport.http2 import connection
from modelservice_runtime.transport.http2.connection import Connection
from modelservice_runtime.transport.http2.limits import Http2Limits

LIMITS = replace(Http2Limits(), max_connection_age_seconds=None)


def test_call_without_messages_ends_after_a_while() -> None:
    play = Play(LIMITS)
    play.step("head", "/test.Test/Chat", False)
    for _ in range(int(LIMITS.stream_idle_seconds / 50)):
        assert not play.client.ended
        play.step("sweep", 50.0)
        play.step("ping")
    play.step("sweep", 50.0)
    assert play.client.ended == {1}


def test_call_with_messages_now_and_then_is_not_idle() -> None:
    play = Play(LIMITS)
    play.step("head", "/test.Test/Chat", False)
    for _ in range(int(2 * LIMITS.stream_idle_seconds / 50)):
        play.step("sweep", 50.0)
        play.step("data", 0, raw.prefixed(b"a"), False)
    assert not play.client.ended
    assert not play.transport.aborted


def test_slow_message_gets_the_time_that_its_size_allows() -> None:
    play = Play(LIMITS)
    play.step("head", "/test.Test/Echo", False)
    play.step("data", 0, raw.prefixed(bytes(1_000_000))[:400_000], False)
    play.step("sweep", LIMITS.body_grace_seconds + 20)
    assert not play.client.ended
    play.step("sweep", 10.0)
    assert play.client.ended == {1}


def test_idle_connection_is_told_to_leave_and_closed() -> None:
    play = Play(LIMITS)
    play.step("head", "/no/such", True)
    play.step("sweep", LIMITS.idle_timeout_seconds)
    assert raw.GOAWAY not in play.client.kinds
    play.step("sweep", 1.0)
    assert play.client.kinds[-2:] == [raw.GOAWAY, raw.PING]
    play.step("sweep", LIMITS.leave_seconds + 1)
    assert play.client.kinds[-1] == raw.GOAWAY
    assert play.transport.closing
    play.step("sweep", LIMITS.leave_seconds - 1)
    play.step("head", "/test.Test/Echo", False)
    assert not play.transport.aborted, "who does not run for a while has not read yet that it has to go"
    play.step("sweep", 2.0)
    assert play.transport.aborted


@pytest.mark.parametrize("max_age_seconds", [None, 1800.0])
def test_connection_made_while_closing_serves_many_calls_for_a_while_before_it_asks_to_leave(
    max_age_seconds: float | None,
) -> None:
    play = Play(replace(LIMITS, max_connection_age_seconds=max_age_seconds), closing=True)
    for number in range(8):
        play.step("head", "/test.Test/Echo", False)
        play.step("data", 0, raw.prefixed(b"hi"), True)
        assert play.client.ended == set(range(1, 2 * number + 2, 2))
        play.step("sweep", 0.1)
    assert raw.GOAWAY not in play.client.kinds
    play.step("sweep", 0.5)
    assert play.client.kinds[-2:] == [raw.GOAWAY, raw.PING]


def test_client_that_vanished_is_cut_off_after_a_ping() -> None:
    play = Play(LIMITS)
    play.step("head", "/test.Test/Never", True)
    play.step("sweep", LIMITS.ping_after_seconds + 1)
    assert play.client.kinds[-1] == raw.PING
    assert not play.transport.aborted
    play.step("sweep", LIMITS.ping_timeout_seconds)
    assert play.transport.aborted
    cancelled = Never.cancelled
    play.connection.connection_lost(None)
    assert Never.cancelled == cancelled + 1


def test_client_that_answers_the_ping_keeps_its_calls() -> None:
    play = Play(LIMITS)
    play.step("head", "/test.Test/Never", True)
    for _ in range(5):
        play.step("sweep", LIMITS.ping_after_seconds + 1)
        play.receive(raw.frame(raw.PING, raw.ACK, payload=bytes(8)))
        play.step("sweep", 1.0)
    assert not play.transport.aborted
    assert play.client.kinds.count(raw.PING) == 5
    play.connection.connection_lost(None)


def test_connection_whose_turn_took_long_is_read_again_when_others_had_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = Play(LIMITS)
    play.step("ping")
    assert play.transport.reading
    monkeypatch.setattr(connection, "_TURN_SECONDS", 0.0)
    play.ping()
    assert not play.transport.reading
    monkeypatch.setattr(connection, "_TURN_SECONDS", 60.0)
    play.loop.run()
    assert play.transport.reading


def test_silent_client_beyond_all_places_is_turned_away() -> None:
    limits = replace(LIMITS, max_connections=2, probe_places=3)
    server = GrpcServer(SERVICES, limits, FakeLoop())  # type: ignore[arg-type]
    transports = [FakeTransport() for _ in range(6)]
    for transport in transports:
        client = Connection(server)
        client.connection_made(transport)  # type: ignore[arg-type]
        client.data_received(raw.PREFACE + raw.settings())
    assert [b"too many connections" in transport.written for transport in transports] == [False] * 5 + [True]
