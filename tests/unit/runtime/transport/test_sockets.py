"""The addresses behind `--host`, with real sockets: `::` is both families on every port."""

import asyncio
import contextlib
import http.client
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support.ipv6 import call_in_thread, needs_ipv6, refuse_ipv6_sockets, switch_ipv6_off
from tests.support.ports import free_port
from tests.unit.runtime.certificates import Authority, client_context, write_server
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.errors import AddressUnavailableError
from modelservice_runtime.settings.security import SecuritySettings
from modelservice_runtime.transport.listener import open_listener
from modelservice_runtime.transport.sockets import available_host, open_sockets
from modelservice_runtime.workers.shared_port import SharedPort

AUTHORITY = Authority()
IPV4, IPV6 = "127.0.0.1", "::1"


@pytest.fixture(scope="module", params=["plain", "tls"])
def server(
    request: pytest.FixtureRequest, model_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    security = SecuritySettings()
    if request.param == "tls":
        directory = tmp_path_factory.mktemp("tls")
        security = SecuritySettings(tls=write_server(directory, AUTHORITY.issue("server")))
    with ServerThread({"mlp": model_files["mlp"]}, security=security, host="::") as running:
        yield running


@needs_ipv6
@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_every_port_answers_on_both_families(server: ServerThread, address: str) -> None:
    is_tls = server.tls.http is not None
    assert get_status(address, server.port, client_context(AUTHORITY) if is_tls else None) == 200
    assert get_status(address, server.metrics_port, None, "/metrics") == 200
    target = f"[{address}]:{server.grpc_port}" if ":" in address else f"{address}:{server.grpc_port}"
    with open_channel(target, is_tls=is_tls) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=120)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def get_status(address: str, port: int, tls: ssl.SSLContext | None, path: str = "/v2/health/live") -> int:
    """The Host header has the address as a client writes it, in brackets where it is one of IPv6."""
    connection = http.client.HTTPConnection(address, port, timeout=120)
    connection.connect()
    if tls is not None:
        connection.sock = tls.wrap_socket(connection.sock, server_hostname=IPV4)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def open_channel(target: str, *, is_tls: bool) -> grpc.Channel:
    if not is_tls:
        return grpc.insecure_channel(target)
    options = [("grpc.ssl_target_name_override", IPV4)]
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(AUTHORITY.certificate), options)


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "answers", "silent"), [("0.0.0.0", IPV4, IPV6), ("::1", IPV6, IPV4), (IPV4, IPV4, IPV6)]
)
async def test_any_other_host_is_one_family(host: str, answers: str, silent: str) -> None:
    listener = await open_listener(asyncio.get_running_loop(), asyncio.Protocol, host, 0, None)
    socket.create_connection((answers, listener.port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((silent, listener.port))
    listener.close()


@needs_ipv6
def test_no_host_is_a_socket_for_each_family() -> None:
    port = free_port()
    sockets = open_sockets("", port, backlog=1)
    for opened in sockets:
        opened.close()
    assert {opened.family for opened in sockets} == {socket.AF_INET, socket.AF_INET6}


@needs_ipv6
async def test_workers_share_a_port_of_both_families() -> None:
    loop = asyncio.get_running_loop()
    with SharedPort("::", 0) as held:
        listeners = [
            await open_listener(loop, asyncio.Protocol, "::", held.number, None, shared=True)
            for _ in range(2)
        ]
        for address in (IPV4, IPV6) * 4:  # the kernel chooses the worker
            socket.create_connection((address, held.number)).close()
        for listener in listeners:
            listener.close()


@needs_ipv6
@pytest.mark.parametrize("user", ["0.0.0.0", "::1"])
def test_port_used_in_one_family_is_refused_for_both(user: str) -> None:
    (taken,) = open_sockets(user, 0, shared=True, backlog=1)
    with taken:
        port = taken.getsockname()[1]
        refused = pytest.raises(AddressUnavailableError, match=rf"\[::\]:{port} .*stop its user")
        with refused, SharedPort("::", port):
            pass


def listen_in_thread(host: str) -> tuple[str, list[str]]:
    """The host that is listened on, and the addresses of this machine that answer there."""

    async def listen() -> tuple[str, list[str]]:
        chosen = available_host(host)
        listener = await open_listener(asyncio.get_running_loop(), asyncio.Protocol, chosen, 0, None)
        reached = []
        for address in (IPV4, IPV6):
            with contextlib.suppress(OSError):
                socket.create_connection((address, listener.port)).close()
                reached.append(address)
        listener.close()
        return chosen, reached

    return uvloop.run(listen())


@pytest.mark.parametrize(
    ("restrict", "host", "chosen", "warnings"),
    [
        (refuse_ipv6_sockets, "::", "0.0.0.0", 1),
        (refuse_ipv6_sockets, "", "", 0),
        (switch_ipv6_off, "::", "::", 0),
    ],
)
def test_listens_on_ipv4_where_there_is_no_ipv6(
    restrict: Callable[[], None], host: str, chosen: str, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "modelservice_runtime"):
        assert call_in_thread(restrict, lambda: listen_in_thread(host)) == (chosen, [IPV4])
    said = [record.message for record in caplog.records]
    assert said == ["no IPv6 here: listening on IPv4 only"] * warnings
