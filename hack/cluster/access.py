"""Lets the host reach addresses inside a cluster's network namespace; nothing is routed.

One small process opens listening sockets on the host's 127.0.0.1 and connects from inside the namespace:
a socket keeps the namespace it was made in. `python -m hack.cluster.access` is that process; `forward` asks
it for a port.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import socket
import struct
import sys
from pathlib import Path

from hack.cluster.errors import ClusterError

CLONE_NEWNET = 0x40000000  # sched.h
CHUNK_BYTES = 1 << 17
REQUEST_TIMEOUT_SECONDS = 10.0


def forward(control: Path, host: str, port: int) -> int:
    """Return the port on 127.0.0.1 that leads to `host:port` inside the namespace; asking again is free.

    `control` is the process's unix socket. Raises ClusterError when the process does not answer.
    """
    request = json.dumps({"host": host, "port": port}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(REQUEST_TIMEOUT_SECONDS)
            connection.connect(str(control))
            connection.sendall(request)
            answer = connection.makefile().readline()
    except OSError as error:
        raise ClusterError(
            f"the host access process does not answer at {control}: {error}; run `up` again"
        ) from error
    return int(json.loads(answer)["port"])


class HostAccess:
    """The forwards of one namespace: one listening socket for each target, made on demand."""

    def __init__(self, namespace: Path) -> None:
        self._host = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._inside = os.open(namespace, os.O_RDONLY)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._ports: dict[tuple[str, int], int] = {}
        self._servers: list[asyncio.Server] = []
        self._enter(self._inside)

    async def serve(self, control: socket.socket) -> None:
        """Answer requests on the listening unix socket `control` until cancelled."""
        async with await asyncio.start_unix_server(self._answer, sock=control) as server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            request = json.loads(await reader.readline())
            port = await self._listen(request["host"], request["port"])
            writer.write(json.dumps({"port": port}).encode() + b"\n")
            await writer.drain()

    async def _listen(self, host: str, port: int) -> int:
        if known := self._ports.get((host, port)):
            return known
        listener = self._open_host_socket()
        local = int(listener.getsockname()[1])
        self._ports[host, port] = local

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _relay(host, port, reader, writer)

        self._servers.append(await asyncio.start_server(connect, sock=listener, limit=CHUNK_BYTES))
        return local

    def _open_host_socket(self) -> socket.socket:
        """Go out to the host's namespace to make the socket; no other task runs meanwhile."""
        self._enter(self._host)
        try:
            return socket.create_server(("127.0.0.1", 0), backlog=256)
        finally:
            self._enter(self._inside)

    def _enter(self, descriptor: int) -> None:
        # os.setns exists since Python 3.12 only.
        if self._libc.setns(descriptor, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"setns: {os.strerror(code)}")


async def _relay(host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one connection in both directions until both ended."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection(host, port, limit=CHUNK_BYTES)
    except OSError as error:
        print(f"{host}:{port}: {error}", file=sys.stderr, flush=True)
        _reset(writer)
        return
    with contextlib.closing(writer), contextlib.closing(inner_writer):
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy until the source ends, then end the sink's direction only: the other may still talk."""
    try:
        while data := await source.read(CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except OSError:
        # One end is broken: the other must see that too, and not a proper end of the data.
        _reset(sink)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that its peer sees a reset."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        # Lingering for zero seconds sends RST (socket(7)).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def main() -> None:
    """Run as `python -m hack.cluster.access NAMESPACE_FILE CONTROL_SOCKET`."""
    namespace, control = (Path(argument) for argument in sys.argv[1:3])
    listener = socket.socket(socket.AF_UNIX)
    # Bound under another name first: whoever sees the file can connect to it.
    temporary = control.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    listener.bind(str(temporary))
    listener.listen()
    temporary.rename(control)
    asyncio.run(HostAccess(namespace).serve(listener))


if __name__ == "__main__":
    main()
