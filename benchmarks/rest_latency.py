"""REST throughput and latency of the runtime, beside ONNX Runtime alone on the same model in the same run.

    python benchmarks/rest_latency.py [--seconds 5] [--connections 16]

The server runs in a process of its own and the client in this one, so two free cores are wanted. The client
writes one prepared request and counts the bytes of the answers, which are all alike; it is not the limit, as
the row "HTTP only" (a route that does nothing) shows. "CPU us" is the server's own CPU time for one request:
on a machine that others use too it says more than the rate. "best" is the rate of the best half second.
"""

import argparse
import asyncio
import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import uvloop
from measuring import Row, Server, best_rate, cpu_seconds, print_table, running_server, save_mlp


class Client(asyncio.Protocol):
    """Sends the same request again as soon as its answer is complete."""

    def __init__(self, request: bytes, ends: list[float], latencies: list[float]) -> None:
        self.request = request
        self.ends = ends
        self.latencies = latencies
        self.answer_bytes = 0
        self.received = 0
        self.sent_at = 0.0
        self.running = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.answer_bytes:
            assert data.startswith(b"HTTP/1.1 200"), data
            head, _, _ = data.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length is not None
            self.answer_bytes = len(head) + 4 + int(length[1])
        self.received += len(data)
        if self.received == self.answer_bytes:
            self.received = 0
            now = time.perf_counter()
            self.ends.append(now)
            self.latencies.append(now - self.sent_at)
            if self.running:
                self.send()


def build_request(port: int, path: str, body: bytes, headers: str = "", method: str = "POST") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body


def json_body(array: np.ndarray) -> bytes:
    tensor = {"name": "x", "shape": list(array.shape), "datatype": "FP32", "data": array.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def binary_body(array: np.ndarray) -> tuple[bytes, str]:
    tensor = {
        "name": "x",
        "shape": list(array.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": array.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + array.tobytes(), f"Inference-Header-Content-Length: {len(head)}\r\n"


async def load(
    port: int, pid: int, request: bytes, arguments: argparse.Namespace
) -> tuple[list[float], list[float], float]:
    """Times of the answers, latencies, and the server's CPU time, of one measured stretch; in seconds."""
    loop = asyncio.get_running_loop()
    ends: list[float] = []
    latencies: list[float] = []
    clients = []
    for _ in range(arguments.connections):
        _, client = await loop.create_connection(lambda: Client(request, ends, latencies), "127.0.0.1", port)
        clients.append(client)
    await asyncio.sleep(0.5)
    ends.clear()
    latencies.clear()
    cpu_before = cpu_seconds(pid)
    await asyncio.sleep(arguments.seconds)
    cpu = cpu_seconds(pid) - cpu_before
    measured = list(ends), list(latencies)
    for client in clients:
        client.running = False
        client.transport.close()
    return *measured, cpu


def measure_rest(name: str, server: Server, request: bytes, arguments: argparse.Namespace) -> Row:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ends, latencies, cpu = runner.run(load(server.http_port, server.pid, request, arguments))
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e6
    rate, cpu_us = len(latencies) / arguments.seconds, cpu / len(latencies) * 1e6
    return Row(name, rate, best_rate(ends), float(p50), float(p99), cpu_us)


def measure_call(name: str, call: Callable[[], object], seconds: float) -> Row:
    times, ends = [], []
    end = time.perf_counter() + seconds
    cpu_before = time.process_time()
    while (before := time.perf_counter()) < end:
        call()
        after = time.perf_counter()
        ends.append(after)
        times.append(after - before)
    p50, p99 = np.percentile(times, [50, 99]) * 1e6
    cpu_us = (time.process_time() - cpu_before) / len(times) * 1e6
    return Row(name, len(times) / seconds, best_rate(ends), float(p50), float(p99), cpu_us)


def raw_run(path: Path, array: np.ndarray) -> Callable[[], object]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(["y"], {"x": array})


def measure_all(directory: Path, arguments: argparse.Namespace) -> list[Row]:
    models = {"tiny": directory / "tiny.onnx", "mid": directory / "mid.onnx"}
    save_mlp(models["tiny"], 4, 8, 3)
    save_mlp(models["mid"], 512, 4096, 512)
    tiny = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)
    mid = np.ones((1, 512), np.float32)
    rows = [measure_call("tiny: raw session.run", raw_run(models["tiny"], tiny), arguments.seconds)]
    rows.append(measure_call("mid: raw session.run", raw_run(models["mid"], mid), arguments.seconds))
    with running_server(models) as server:
        port = server.http_port
        live = build_request(port, "/v2/health/live", b"", method="GET")
        rows.append(measure_rest("HTTP only: GET /v2/health/live", server, live, arguments))
        request = build_request(port, "/v2/models/tiny/infer", json_body(tiny))
        rows.append(measure_rest("tiny: REST, JSON", server, request, arguments))
        body, headers = binary_body(tiny)
        request = build_request(port, "/v2/models/tiny/infer", body, headers)
        rows.append(measure_rest("tiny: REST, binary", server, request, arguments))
        body, headers = binary_body(mid)
        request = build_request(port, "/v2/models/mid/infer", body, headers)
        rows.append(measure_rest("mid: REST, binary", server, request, arguments))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print_table(measure_all(Path(directory), arguments))


if __name__ == "__main__":
    main()
