"""`--host ::` of a real server, alone and with workers: all ports, both families, or IPv4 without IPv6."""

import socket
from pathlib import Path

import pytest
from tests.support.ipv6 import call_in_thread, needs_ipv6, refuse_ipv6_sockets
from tests.unit.runtime.server_process import server_process

IPV4, IPV6 = "127.0.0.1", "::1"
_NO_IPV6 = "no IPv6 here: listening on IPv4 only"


def serve_and_connect(model: Path, workers: int, *addresses: str) -> tuple[str, int]:
    """Connect to every port and every address; returns the host listened on and the number of warnings."""
    arguments = ("--model", f"mlp={model}", "--host", "::", "--workers", str(workers))
    with server_process(*arguments, "--drain-delay-seconds", "0") as server:
        server.wait_for("ready")
        for port in (server.http_port, server.grpc_port, server.metrics_port):
            for address in addresses * 4:  # the kernel chooses the worker
                socket.create_connection((address, port), 120).close()
        assert server.end() == 0
        (listening,) = (record for record in server.records if record["message"] == "listening")
        return listening["host"], sum(record["message"] == _NO_IPV6 for record in server.records)


@needs_ipv6
@pytest.mark.parametrize("workers", [1, 2])
def test_every_address_is_both_families(model_files: dict[str, Path], workers: int) -> None:
    assert serve_and_connect(model_files["mlp"], workers, IPV4, IPV6) == ("::", 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_address_without_ipv6_is_those_of_ipv4(model_files: dict[str, Path], workers: int) -> None:
    found = call_in_thread(refuse_ipv6_sockets, lambda: serve_and_connect(model_files["mlp"], workers, IPV4))
    assert found == ("0.0.0.0", 1)
