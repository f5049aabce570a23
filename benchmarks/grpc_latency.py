"""gRPC throughput and latency of the runtime beside grpcio's synchronous server, in the same run.

    python -m benchmarks.grpc_latency [--seconds 5] [--connections 1] [--streams 16]

"echo" is the transport alone: a tiny unary call answered with the bytes of its request. "infer" is a
ModelInfer of a tiny model, by `serve` and by a grpcio server written by hand (protobuf, NumPy, ONNX Runtime).
Each server runs in a process of its own and the client in this one, so two free cores are wanted. The client
writes prepared frames and counts the ends of streams in what comes back, so that it is not the limit.
"CPU us" is the server's own CPU time for one call: on a machine that others use too it says more than the
rate. "best" is the rate of the best half second.
"""

import argparse
import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import grpc
import numpy as np
import onnxruntime as ort
import uvloop

from benchmarks.measuring import Row, best_rate, cpu_seconds, print_table, running_server, save_mlp
from modelservice_runtime.protos import inference_pb2 as pb
from modelservice_runtime.transport.grpc.server import GrpcServer
from modelservice_runtime.transport.grpc.stream import GrpcCall
from modelservice_runtime.transport.http2.framing.frames import (
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
from modelservice_runtime.transport.http2.limits import Http2Limits

_ECHO = "/benchmark.Benchmark/Echo"
INFER_PATH = "/inference.GRPCInferenceService/ModelInfer"
_GRPCIO_THREADS = 10  # as in grpcio's own examples
_WARM_UP_SECONDS = 0.5
_LARGE_WINDOW = 2**30
_MAX_MESSAGE_BYTES = 16_000  # one frame, within every server's first window
_TINY = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)


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
    server = GrpcServer({_ECHO: Echo}, Http2Limits(), asyncio.get_running_loop())
    print(await server.listen("127.0.0.1", 0), flush=True)
    await asyncio.Event().wait()


def serve_grpcio(model: Path) -> None:
    """Both methods as one would write them with grpcio."""
    handlers = {
        _ECHO: grpc.unary_unary_rpc_method_handler(lambda request, _context: request),
        INFER_PATH: grpc.unary_unary_rpc_method_handler(
            infer_by_hand(model), pb.ModelInferRequest.FromString, pb.ModelInferResponse.SerializeToString
        ),
    }
    server = grpc.server(ThreadPoolExecutor(_GRPCIO_THREADS))
    for path, handler in handlers.items():
        service, _, method = path[1:].partition("/")
        server.add_registered_method_handlers(service, {method: handler})
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def infer_by_hand(model: Path) -> Callable[[pb.ModelInferRequest, object], pb.ModelInferResponse]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def infer(request: pb.ModelInferRequest, _context: object) -> pb.ModelInferResponse:
        tensor = request.inputs[0]
        array = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(tensor.shape)
        (output,) = session.run(["y"], {tensor.name: array})
        response = pb.ModelInferResponse(model_name=request.model_name, model_version="1")
        response.outputs.add(name="y", datatype="FP32", shape=output.shape)
        response.raw_output_contents.append(output.tobytes())
        return response

    return infer


@contextmanager
def running_benchmark_server(kind: str, model: Path) -> Iterator[tuple[int, int]]:
    """Port and process id."""
    command = [sys.executable, "-m", "benchmarks.grpc_latency", "--serve", kind, "--model", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


# client


@dataclass(frozen=True)
class Load:
    """What the client sends."""

    path: str
    message: bytes
    streams: int
    connections: int
    seconds: float
    deadlines: bool = False


class Client(asyncio.Protocol):
    """Keeps `streams` calls in flight on one connection.

    The first request's header block fills the server's table; all others are the same few indices, as those
    of real clients are, and with `deadlines` a `grpc-timeout` that differs from call to call.
    """

    def __init__(self, load: Load, streams: int, ends: list[float], latencies: list[float]) -> None:
        self.first_block = build_first_block(load.path)
        self.blocks = itertools.cycle(build_blocks_with_deadlines() if load.deadlines else [_INDEXED_BLOCK])
        self.data = b"\0" + len(load.message).to_bytes(4) + load.message
        self.streams = streams
        self.ends = ends
        self.latencies = latencies
        self.stream_ids = itertools.count(1, 2)
        self.sent_at: dict[int, float] = {}
        self.rest = b""
        self.unacknowledged_bytes = 0
        self.running = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        settings = build_settings([(Setting.INITIAL_WINDOW_SIZE, _LARGE_WINDOW)])
        self.transport.write(PREFACE + settings + build_window_update(0, _LARGE_WINDOW))
        self.transport.write(self.request(self.first_block))
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
        self.unacknowledged_bytes += len(data)
        data = self.rest + data
        position = 0
        answers: list[bytes] = []
        if self.unacknowledged_bytes > _LARGE_WINDOW // 2:
            answers.append(build_window_update(0, self.unacknowledged_bytes))
            self.unacknowledged_bytes = 0
        while len(data) - position >= 9:
            length_and_type, flags, stream_id = FRAME_HEADER.unpack_from(data, position)
            stop = position + 9 + (length_and_type >> 8)
            if stop > len(data):
                break
            kind = length_and_type & 0xFF
            if kind == FrameType.HEADERS:
                if flags & END_STREAM:
                    self.completed(stream_id, data[position:stop])
                    if self.running:
                        answers.append(self.request(next(self.blocks)))
            elif kind != FrameType.DATA:
                answers += self.control(kind, flags, data[position + 9 : stop])
            position = stop
        self.rest = data[position:]
        if answers:
            self.transport.write(b"".join(answers))

    def completed(self, stream_id: int, trailers: bytes) -> None:
        assert b"grpc-status" not in trailers or b"grpc-status\x010" in trailers, trailers
        now = time.perf_counter()
        self.ends.append(now)
        self.latencies.append(now - self.sent_at.pop(stream_id))

    def control(self, kind: int, flags: int, payload: bytes) -> list[bytes]:
        assert kind not in (FrameType.GOAWAY, FrameType.RST_STREAM), payload
        if kind in (FrameType.PING, FrameType.SETTINGS) and not flags & ACK:
            return [build_frame(FrameType(kind), ACK, 0, payload if kind == FrameType.PING else b"")]
        return []


def build_first_block(path: str) -> bytes:
    headers = [
        (b":path", path.encode()),
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


def build_blocks_with_deadlines() -> list[bytes]:
    timeouts = [b"%dm" % milliseconds for milliseconds in range(29_000, 30_000)]
    return [_INDEXED_BLOCK + b"\0%cgrpc-timeout%c%b" % (12, len(value), value) for value in timeouts]


def build_infer_message() -> bytes:
    request = pb.ModelInferRequest(model_name="tiny", raw_input_contents=[_TINY.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=_TINY.shape)
    return request.SerializeToString()


# measuring


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


def measure(name: str, load: Load, port: int, pid: int) -> Row:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ends, latencies, cpu = runner.run(run(load, port, pid))
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e6
    rate = len(latencies) / load.seconds
    return Row(name, rate, best_rate(ends), float(p50), float(p99), cpu / len(latencies) * 1e6)


def measure_all(directory: Path, arguments: argparse.Namespace) -> dict[str, list[Row]]:
    """Rows of each case; the last is grpcio's."""
    model = directory / "tiny.onnx"
    save_mlp(model, 4, 8, 3)
    message = bytes(arguments.message_bytes)
    echo = Load(_ECHO, message, arguments.streams, arguments.connections, arguments.seconds)
    infer = replace(echo, path=INFER_PATH, message=build_infer_message())
    with running_benchmark_server("own", model) as server:
        deadlines = replace(echo, deadlines=True)
        echoes = [measure("echo: own HTTP/2", echo, *server)]
        echoes.append(measure("echo: own, with deadlines", deadlines, *server))
    with running_server({"tiny": model}) as serve:
        infers = [measure("infer: serve", infer, serve.grpc_port, serve.pid)]
    with running_benchmark_server("grpcio", model) as server:
        echoes.append(measure("echo: grpcio", echo, *server))
        infers.append(measure("infer: grpcio by hand", infer, *server))
    return {"echo": echoes, "infer": infers}


def print_ratios(cases: dict[str, list[Row]]) -> None:
    for case, (own, *_, grpcio) in cases.items():
        rate, best = own.per_second / grpcio.per_second, own.best_per_second / grpcio.best_per_second
        cpu = own.cpu_us / grpcio.cpu_us
        print(f"{case}: {rate:.1f} times grpcio's rate, best {best:.1f}, {cpu:.3f} times its CPU")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--streams", type=int, default=16, help="calls in flight, over all connections")
    parser.add_argument("--message-bytes", type=int, default=64, help="of an echo")
    parser.add_argument("--serve", choices=("own", "grpcio"), help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.message_bytes > _MAX_MESSAGE_BYTES:
        parser.error(f"--message-bytes: at most {_MAX_MESSAGE_BYTES}")
    if arguments.serve == "own":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_own())
    elif arguments.serve == "grpcio":
        serve_grpcio(arguments.model)
    else:
        with tempfile.TemporaryDirectory() as directory:
            cases = measure_all(Path(directory), arguments)
        print_table([row for rows in cases.values() for row in rows])
        print_ratios(cases)


if __name__ == "__main__":
    main()
