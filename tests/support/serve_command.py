"""`modelservice serve` as a process of its own, for tests that ask it from outside."""

import http.client
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.operator_process import wait_until
from tests.support.ports import free_port

COMMAND = Path(sys.executable).with_name("modelservice")
START_TIMEOUT_SECONDS = 120.0


@contextmanager
def serving(
    *arguments: str | Path, grpc_port: int | str = "off", command: Path = COMMAND, tls: bool = False
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command, ready to answer; the process and its port."""
    port = free_port()
    ports = ("--http-port", str(port), "--metrics-port", str(free_port()), "--grpc-port", str(grpc_port))
    with subprocess.Popen(
        [command, "serve", *arguments, *ports], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_until(lambda: is_ready(process, port, tls=tls), "the server is ready", START_TIMEOUT_SECONDS)
            yield process, port
        finally:
            process.kill()


def is_ready(process: subprocess.Popen[str], port: int, *, tls: bool = False) -> bool:
    """Ask as the kubelet does, which checks no certificate."""
    assert process.poll() is None, process.stderr and process.stderr.read()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    if tls:
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
