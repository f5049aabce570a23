"""Servers to measure, each a process of its own on the first CPU; the client has the second.

`python -m benchmarks.servers prototype MODEL` and `... echo BYTES` run the two that are written here: the
least that an HTTP server for a model could be, and a socket that sends back what it gets.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httptools
import numpy as np
import orjson
import uvloop

from benchmarks.load import Target
from benchmarks.models import open_session

_START_SECONDS = 90.0


_CPUS = sorted(os.sched_getaffinity(0))


def pin_client() -> None:
    """Leave the first CPU to the servers."""
    os.sched_setaffinity(0, set(_CPUS[1:2] or _CPUS))


@contextmanager
def server_cpu() -> Iterator[None]:
    """Run here what servers are compared with: on a shared machine one CPU may be slower than the other."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_CPUS[0]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


@contextmanager
def modelservice(models: dict[str, Path], *flags: str) -> Iterator[Target]:
    """Our server."""
    command = [sys.executable, "-m", "modelservice_runtime", "serve", "--host", "127.0.0.1"]
    command += ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--drain-delay-seconds", "0"]
    command += [part for name, path in models.items() for part in ("--model", f"{name}={path}")]
    command += ["--intra-op-threads", "1", *flags]
    with _process(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        port = 0
        for line in process.stderr:
            record = json.loads(line)
            port = record.get("http_port", port)
            if record["message"] == "ready":
                break
        # Whatever it says from now on must not fill the pipe.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Target(port, process.pid)


@contextmanager
def written_here(*arguments: str) -> Iterator[Target]:
    """One of this module's own."""
    with _process(
        [sys.executable, "-m", "benchmarks.servers", *arguments], stdout=subprocess.PIPE
    ) as process:
        yield Target(int(process.stdout.readline()), process.pid)


@contextmanager
def peer(command: Sequence[str], port: int, environment: dict[str, str], directory: Path) -> Iterator[Target]:
    """Somebody else's server; it is up when its port answers."""
    with _process(
        command,
        env=os.environ | environment,
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not serve") from None
                time.sleep(0.2)
        yield Target(port, process.pid)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def _process(command: Sequence[str], **options: Any) -> Iterator[Any]:
    with server_cpu():  # inherited
        process = subprocess.Popen(command, text=True, **options)
    with process:
        try:
            yield process
        finally:
            process.terminate()


class Prototype(asyncio.Protocol):
    """Parser, JSON, ONNX Runtime, and no check of anything."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_body(self, body: bytes) -> None:
        self.body = body

    def on_message_complete(self) -> None:
        inputs = {
            tensor["name"]: np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
            for tensor in orjson.loads(self.body)["inputs"]
        }
        (output,) = self.run(["y"], inputs, None)
        tensor = {"name": "y", "datatype": "FP32", "shape": output.shape, "data": output.ravel()}
        document = {"model_name": "tiny", "model_version": "1", "outputs": [tensor]}
        body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )


class Echo(asyncio.BufferedProtocol):
    """Sends back every `size` bytes, framed as an HTTP answer so that the client is the same."""

    def __init__(self, size: int) -> None:
        self.head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        self.buffer = bytearray(size)
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, _hint: int) -> memoryview:
        return memoryview(self.buffer)[self.received :]

    def buffer_updated(self, count: int) -> None:
        self.received += count
        if self.received == len(self.buffer):
            self.received = 0
            self.transport.writelines([self.head, bytes(self.buffer)])


async def _serve(make: Any) -> None:
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    kind, argument = sys.argv[1:]
    if kind == "prototype":
        session = open_session(Path(argument))
        run = session._sess.run
        make: Any = lambda: Prototype(run)  # noqa: E731
    else:
        size = int(argument)
        make = lambda: Echo(size)  # noqa: E731
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(make))


if __name__ == "__main__":
    main()
