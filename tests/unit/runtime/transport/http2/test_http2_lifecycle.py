"""Draining, admission, TLS: the server's life and who may enter."""

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest
from tests.unit.runtime.certificates import Authority, client_context, write_server
from tests.unit.runtime.server_thread import read_until_closed
from tests.unit.runtime.transport.http2.conftest import Connect
from tests.unit.runtime.transport.http2.grpc_server_thread import (
    SERVICES,
    GrpcServerThread,
    Never,
    wait_until,
)
from tests.unit.runtime.transport.http2.raw_client import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    PING,
    RawClient,
    call,
    frame,
    prefixed,
)

from modelservice_runtime.errors import AddressUnavailableError
from modelservice_runtime.transport.client import Client
from modelservice_runtime.transport.grpc.server import GrpcServer
from modelservice_runtime.transport.http2.framing.errors import ErrorCode
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.status import GrpcError, GrpcStatus
from modelservice_runtime.transport.tls import HTTP_2, TlsContext


def goaway_of(client: RawClient) -> tuple[int, int]:
    payload = client.next(GOAWAY).payload
    return int.from_bytes(payload[:4]), int.from_bytes(payload[4:8])


def test_drain_without_calls_closes_at_once() -> None:
    with GrpcServerThread() as server:
        client = RawClient(server.connect())
        client.ping()
        drained = threading.Thread(target=lambda: results.append(server.drain(100)))
        results: list[bool] = []
        drained.start()
        assert goaway_of(client) == (0, ErrorCode.NO_ERROR)
        assert list(client.frames()) == []
        client.socket.close()
        drained.join(120)
        assert results == [True]


def test_drain_finishes_calls_in_flight_and_accepts_those_on_their_way() -> None:
    with GrpcServerThread() as server:
        client = RawClient(server.connect())
        client.send(call(1, None))  # in flight until its message comes
        client.ping()
        results: list[bool] = []
        drained = threading.Thread(target=lambda: results.append(server.drain(100)))
        drained.start()
        assert goaway_of(client) == (2**31 - 1, ErrorCode.NO_ERROR)
        # gRPC's C-core opens a stream, hears that it should go, and writes the answer to the ping first.
        client.send(frame(PING, ACK, payload=client.next(PING).payload) + call(3, None))
        client.send(frame(PING, ACK, payload=client.next(PING).payload))
        assert goaway_of(client) == (3, ErrorCode.NO_ERROR)
        client.send(call(5, b"third"))
        for stream_id, message in ((1, b"first"), (3, b"second")):
            client.send(frame(DATA, END_STREAM, stream_id, prefixed(message)))
            assert client.answer(stream_id)[1] == prefixed(message)
        assert list(client.frames()) == []
        client.socket.close()
        drained.join(120)
        assert results == [True]


def test_drain_that_takes_too_long_cuts_calls_off() -> None:
    with GrpcServerThread() as server:
        cancelled = Never.cancelled
        client = RawClient(server.connect())
        client.send(call(1, b"", "/test.Test/Never"))
        client.ping()
        assert server.drain(0.05) is False
        wait_until(lambda: Never.cancelled == cancelled + 1)
        client.socket.close()


def test_start_closing_fails_no_call_of_a_busy_client() -> None:
    with GrpcServerThread() as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        later = channel.unary_unary("/test.Test/Later")
        futures = [later.future(b"%d" % number) for number in range(50)]
        server.loop.call_soon_threadsafe(server.server.start_closing)
        futures += [later.future(b"%d" % number) for number in range(50, 100)]
        assert [future.result(timeout=120) for future in futures] == [b"%d" % number for number in range(100)]


def test_client_that_says_goaway_gets_its_answers(connect: Connect) -> None:
    client = connect()
    client.send(call(1, b"slow", "/test.Test/Later") + frame(GOAWAY, payload=bytes(8)))
    assert client.answer(1)[1] == prefixed(b"slow")


def test_admission_is_asked_before_every_call() -> None:
    seen: list[str] = []

    def admit(path: str, metadata: Mapping[bytes, bytes], client: Client) -> None:
        seen.append(path)
        if b"authorization" not in metadata:
            raise GrpcError(GrpcStatus.UNAUTHENTICATED, "send a key")

    with GrpcServerThread(admit=admit) as server:
        client = RawClient(server.connect())
        client.send(call(1) + call(3, authorization="Bearer x") + call(5))
        statuses = [client.answer(stream_id)[0]["grpc-status"] for stream_id in (1, 3, 5)]
        client.socket.close()
    assert statuses == ["16", "0", "16"]
    assert seen == ["/test.Test/Echo"] * 3


def test_calls_over_tls_are_answered_and_drained(tmp_path: Path) -> None:
    authority = Authority()
    tls = TlsContext(write_server(tmp_path, authority.issue("server")), HTTP_2)
    with GrpcServerThread(tls=tls) as server:
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        with grpc.secure_channel(f"127.0.0.1:{server.port}", credentials) as channel:
            echo = channel.unary_unary("/test.Test/Echo")
            for size in (1, 1_000_000):
                assert echo(bytes(size), timeout=120) == bytes(size)
            later = channel.unary_unary("/test.Test/Later").future(b"last")
            wait_until(lambda: server.server.open_streams == 1 or later.done())
            assert server.drain(100)
            assert later.result(timeout=120) == b"last"


def test_tls_client_that_means_another_protocol_is_turned_away(tmp_path: Path) -> None:
    authority = Authority()
    tls = TlsContext(write_server(tmp_path, authority.issue("server")), HTTP_2)
    context = client_context(authority)
    with GrpcServerThread(tls=tls) as server:
        with context.wrap_socket(server.connect(), server_hostname="127.0.0.1") as connection:
            assert read_until_closed(connection) in (b"", b"<reset>")
        wait_until(lambda: not server.server.connections)


async def test_listen_on_a_used_port_is_address_unavailable() -> None:
    loop = asyncio.get_running_loop()
    first = GrpcServer(SERVICES, Http2Limits(), loop)
    second = GrpcServer(SERVICES, Http2Limits(), loop)
    port = await first.listen("127.0.0.1", 0)
    with pytest.raises(AddressUnavailableError, match=f"{port} .the port is in use"):
        await second.listen("127.0.0.1", port)
    assert await first.drain(1)


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1"])
async def test_listen_on_an_address_that_is_not_ours_names_the_flag(host: str) -> None:
    server = GrpcServer(SERVICES, Http2Limits(), asyncio.get_running_loop())
    with pytest.raises(AddressUnavailableError, match="check --host"):
        await server.listen(host, 0)
