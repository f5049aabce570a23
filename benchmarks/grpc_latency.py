"""Throughput and latency of the gRPC transport beside grpcio's synchronous server, in the same run.

    python benchmarks/grpc_latency.py [--seconds 5] [--connections 1] [--streams 16]

Both servers answer a tiny unary call with the bytes of its request. Each runs in a process of its own and the
client in this one, so two free cores are wanted. The client writes prepared frames and counts the ends of
streams in what comes back, so that it is not the limit. "CPU us" is the server's own CPU time for one call:
on a machine that others use too it says more than the rate. "best" is the rate of the best half second.
"""

import argparse
import asyncio
import itertools
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import uvloop

from modelservice_runtime.server.grpc.server import GrpcServer
from modelservice_runtime.server.grpc.stream import GrpcCall
from modelservice_runtime.server.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    PREFACE,
    FrameType,
    Setting,
    build_frame,
    build_settings,
    build_window_update,
)
from modelservice_runtime.server.http2.limits import Http2Limits

_PATH = "/benchmark.Benchmark/Echo"
_SERVER_THREADS = 10  # grpcio's own examples use ten
_WARM_UP_SECONDS = 0.5
_LARGE_WINDOW = 2**30


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    per_second: float
    best_per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float


# servers


class Echo:
    """The service on our transport."""

    def __init__(self, call: GrpcCall) -> None:
        self.call = call

    def on_message(self, message: bytes) -> None:
        self.call.send(message)
        self.call.finish()

    def on_end(self) -> None:
        self.call.finish()

    def on_cancel(self) -> None:
        return


async def serve_own() -> None:
    server = GrpcServer({_PATH: Echo}, Http2Limits(), asyncio.get_running_loop())
    print(await server.listen("127.0.0.1", 0), flush=True)
    await asyncio.Event().wait()


def serve_grpcio() -> None:
    import grpc

    server = grpc.server(ThreadPoolExecutor(_SERVER_THREADS))
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    service, _, method = _PATH[1:].partition("/")
    server.add_registered_method_handlers(service, {method: handler})
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


# client


class Client(asyncio.Protocol):
    """Keeps ``streams`` calls in flight on one connection.

    The first request's header block fills the server's table; all others are the same few indices, as those
    of real clients are, and with ``deadlines`` a ``grpc-timeout`` that differs from call to call.
    """

    def __init__(self, load: "Load", streams: int, ends: list[float], latencies: list[float]) -> None:
        self.data = b"\0" + len(load.message).to_bytes(4) + load.message
        self.blocks = itertools.cycle(_blocks_with_deadlines() if load.deadlines else [_INDEXED_BLOCK])
        self.streams = streams
        self.ends = ends
        self.latencies = latencies
        self.stream_ids = itertools.count(1, 2)
        self.sent_at: dict[int, float] = {}
        self.rest = b""
        self.running = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        settings = build_settings([(Setting.INITIAL_WINDOW_SIZE, _LARGE_WINDOW)])
        first = self.request(_first_block())
        self.transport.write(PREFACE + settings + build_window_update(0, _LARGE_WINDOW) + first)
        self.transport.write(b"".join([self.request(next(self.blocks)) for _ in range(self.streams - 1)]))

    def request(self, block: bytes) -> bytes:
        stream_id = next(self.stream_ids)
        self.sent_at[stream_id] = time.perf_counter()
        return b"".join(
            (
                FRAME_HEADER.pack(len(block) << 8 | FrameType.HEADERS, END_HEADERS, stream_id),
                block,
                FRAME_HEADER.pack(len(self.data) << 8, END_STREAM, stream_id),
                self.data,
            )
        )

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        position = 0
        answers: list[bytes] = []
        while len(data) - position >= 9:
            length_and_type, flags, stream_id = FRAME_HEADER.unpack_from(data, position)
            stop = position + 9 + (length_and_type >> 8)
            if stop > len(data):
                break
            kind = length_and_type & 0xFF
            if kind == FrameType.HEADERS:
                if flags & END_STREAM:
                    self.completed(stream_id)
                    if self.running:
                        answers.append(self.request(next(self.blocks)))
            elif kind != FrameType.DATA:
                answers += self.control(kind, flags, data[position + 9 : stop])
            position = stop
        self.rest = data[position:]
        if answers:
            self.transport.write(b"".join(answers))

    def completed(self, stream_id: int) -> None:
        now = time.perf_counter()
        self.ends.append(now)
        self.latencies.append(now - self.sent_at.pop(stream_id))

    def control(self, kind: int, flags: int, payload: bytes) -> list[bytes]:
        assert kind not in (FrameType.GOAWAY, FrameType.RST_STREAM), payload
        if kind in (FrameType.PING, FrameType.SETTINGS) and not flags & ACK:
            return [build_frame(FrameType(kind), ACK, 0, payload if kind == FrameType.PING else b"")]
        return []


def _first_block() -> bytes:
    headers = [
        (b":path", _PATH.encode()),
        (b":authority", b"127.0.0.1"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"user-agent", b"benchmark/1.0"),
    ]
    # Literals that enter the table, behind :method POST and :scheme http of the static one.
    literals = [b"\x40%c%b%c%b" % (len(name), name, len(value), value) for name, value in headers]
    return b"\x83\x86" + b"".join(literals)


# Five dynamic entries, the oldest first: pseudo headers come before the others.
_INDEXED_BLOCK = b"\x83\x86" + bytes([0x80 | index for index in range(66, 61, -1)])


def _blocks_with_deadlines() -> list[bytes]:
    timeouts = [b"%dm" % milliseconds for milliseconds in range(29_000, 30_000)]
    return [_INDEXED_BLOCK + b"\0%cgrpc-timeout%c%b" % (12, len(value), value) for value in timeouts]


# measuring


@dataclass(frozen=True)
class Load:
    """What the client sends."""

    message: bytes
    streams: int
    connections: int
    seconds: float
    deadlines: bool = False


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(load: Load, port: int, pid: int) -> tuple[list[float], list[float], float]:
    """Times of the answers, latencies, and the server's CPU time, of one measured stretch; in seconds."""
    loop = asyncio.get_running_loop()
    ends: list[float] = []
    latencies: list[float] = []
    clients = []
    streams = max(1, load.streams // load.connections)
    for _ in range(load.connections):
        _, client = await loop.create_connection(
            lambda: Client(load, streams, ends, latencies), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.sleep(_WARM_UP_SECONDS)
    ends.clear()
    latencies.clear()
    cpu_before = cpu_seconds(pid)
    await asyncio.sleep(load.seconds)
    cpu = cpu_seconds(pid) - cpu_before
    measured = list(ends), list(latencies)
    for client in clients:
        client.running = False
        client.transport.close()
    return *measured, cpu


def measure(name: str, server: str, load: Load) -> Row:
    command = [sys.executable, __file__, "--serve", server]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                ends, latencies, cpu = runner.run(run(load, port, process.pid))
        finally:
            process.kill()
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e6
    rate = len(latencies) / load.seconds
    return Row(name, rate, best_rate(ends), float(p50), float(p99), cpu / len(latencies) * 1e6)


def best_rate(ends: list[float]) -> float:
    """Events per second in the half second that held the most."""
    times = np.array(ends)
    behind = np.searchsorted(times, times + 0.5)
    return float(np.max(behind - np.arange(len(times))) / 0.5)


def print_table(rows: list[Row]) -> None:
    print(f"{'case':<28} {'calls/s':>10} {'best':>10} {'p50 us':>10} {'p99 us':>10} {'CPU us':>10}")
    for row in rows:
        print(
            f"{row.name:<28} {row.per_second:>10,.0f} {row.best_per_second:>10,.0f} "
            f"{row.p50_us:>10,.1f} {row.p99_us:>10,.1f} {row.cpu_us:>10,.1f}"
        )
    grpcio = rows[-1]
    for row in rows[:-1]:
        rate, best = row.per_second / grpcio.per_second, row.best_per_second / grpcio.best_per_second
        print(f"{row.name} / grpcio: rate {rate:.1f}, best {best:.1f}, CPU {row.cpu_us / grpcio.cpu_us:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--streams", type=int, default=16, help="calls in flight, over all connections")
    parser.add_argument("--message-bytes", type=int, default=64)
    parser.add_argument("--serve", choices=("own", "grpcio"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve == "own":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_own())
    elif arguments.serve == "grpcio":
        serve_grpcio()
    else:
        message = bytes(arguments.message_bytes)
        load = Load(message, arguments.streams, arguments.connections, arguments.seconds)
        rows = [measure("own HTTP/2", "own", load)]
        rows.append(measure("own HTTP/2, with deadlines", "own", replace(load, deadlines=True)))
        rows.append(measure("grpcio, synchronous server", "grpcio", load))
        print_table(rows)


if __name__ == "__main__":
    main()
