"""gRPC connections that are too old: clients go elsewhere, and lose nothing."""

import socket
from dataclasses import replace

import grpc
import pytest
from tests.unit.runtime.transport.http2.conftest import SMALL
from tests.unit.runtime.transport.http2.grpc_server_thread import (
    SERVICES,
    Chat,
    GrpcServerThread,
    Never,
    wait_until,
)
from tests.unit.runtime.transport.http2.raw_client import ACK, GOAWAY, PING, RawClient, call, frame, prefixed

from modelservice_runtime.transport.http2.framing.errors import ErrorCode
from modelservice_runtime.transport.status import GrpcStatus

YOUNG = replace(SMALL, max_connection_age_seconds=0.2, linger_seconds=0.2)


class Patient(Chat):
    """A call without a natural end, as the health service's Watch."""

    def on_end(self) -> None:
        return

    def end_when_idle(self, status: GrpcStatus, message: str) -> None:
        self.call.send(b"bye")
        self.call.finish(status, message)


@pytest.fixture(autouse=True)
def patient_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVICES, "/test.Test/Patient", Patient)


def test_old_connection_is_asked_to_leave_and_serves_what_is_on_its_way() -> None:
    with GrpcServerThread(YOUNG) as server:
        client = RawClient(server.connect())
        client.send(call(1))
        assert client.answer(1)[1] == prefixed(b"hi")
        goaway = client.next(GOAWAY).payload
        assert int.from_bytes(goaway[:4]) == 2**31 - 1
        assert int.from_bytes(goaway[4:8]) == ErrorCode.NO_ERROR
        ping = client.next(PING)
        client.send(call(3, b"on its way", "/test.Test/Later") + frame(PING, ACK, payload=ping.payload))
        client.send(frame(PING, ACK, payload=client.next(PING).payload))
        assert client.answer(3)[1] == prefixed(b"on its way")
        client.socket.shutdown(socket.SHUT_WR)
        list(client.frames())
        assert client.goaway() == (3, ErrorCode.NO_ERROR)
        client.socket.close()


def test_busy_client_of_a_server_that_wants_new_connections_loses_no_call() -> None:
    limits = replace(YOUNG, max_connection_age_seconds=0.03)
    with GrpcServerThread(limits) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        echo = channel.unary_unary("/test.Test/Echo")
        seen = set()
        for number in range(3_000):
            assert echo(b"%d" % number, timeout=120) == b"%d" % number
            seen |= {id(connection) for connection in list(server.server.connections)}
        assert len(seen) > 1


def test_call_that_lasts_beyond_the_grace_ends_with_its_last_answers() -> None:
    limits = replace(YOUNG, max_connection_age_grace_seconds=0.1)
    with GrpcServerThread(limits) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        answers = channel.unary_stream("/test.Test/Patient")(b"hi", timeout=120)
        assert next(answers) == b"hi"
        assert next(answers) == b"bye"
        with pytest.raises(grpc.RpcError) as error:
            next(answers)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "connect again" in error.value.details()


def test_call_that_does_not_end_by_itself_is_ended_after_the_grace() -> None:
    limits = replace(YOUNG, max_connection_age_grace_seconds=0.1)
    with GrpcServerThread(limits) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        cancelled = Never.cancelled
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary("/test.Test/Never")(b"", timeout=120)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        wait_until(lambda: Never.cancelled == cancelled + 1)


def test_call_within_the_grace_goes_on() -> None:
    limits = replace(YOUNG, max_connection_age_seconds=0.01, max_connection_age_grace_seconds=60.0)
    with GrpcServerThread(limits) as server:
        client = RawClient(server.connect())
        client.send(call(1, b"", "/test.Test/Never"))
        client.next(GOAWAY)
        for _ in range(2):
            client.send(frame(PING, ACK, payload=client.next(PING).payload))
        client.next(GOAWAY)
        client.ping()
        assert server.server.open_streams == 1
        client.socket.close()
