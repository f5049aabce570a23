"""What the latency benchmarks share: the table's rows, a running server, a small model."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    per_second: float
    best_per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float


@dataclass(frozen=True)
class Server:
    """A running server's ports and process."""

    http_port: int
    grpc_port: int
    pid: int


def save_mlp(path: Path, inputs: int, width: int, outputs: int) -> None:
    random = np.random.default_rng(0)
    shapes = {"w1": (inputs, width), "b1": (width,), "w2": (width, outputs), "b2": (outputs,)}
    weights = [
        numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


@contextmanager
def running_server(models: dict[str, Path]) -> Iterator[Server]:
    """Start a server with one thread for each model."""
    flags = [flag for name, path in models.items() for flag in ("--model", f"{name}={path}")]
    for flag in ("http", "grpc", "metrics"):
        flags += [f"--{flag}-port", "0"]
    command = [sys.executable, "-m", "modelservice_runtime", "serve", *flags, "--host", "127.0.0.1"]
    command += ["--drain-delay-seconds", "0", "--intra-op-threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        ports = {"http_port": 0, "grpc_port": 0}
        for line in process.stderr:
            record = json.loads(line)
            ports |= {name: record[name] for name in ports if name in record}
            if record["message"] == "ready":
                break
        try:
            yield Server(**ports, pid=process.pid)
        finally:
            process.terminate()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def best_rate(ends: list[float]) -> float:
    """Events per second in the half second that held the most."""
    times = np.array(ends)
    behind = np.searchsorted(times, times + 0.5)
    return float(np.max(behind - np.arange(len(times))) / 0.5)


def print_table(rows: list[Row]) -> None:
    print(f"{'case':<32} {'requests/s':>12} {'best':>10} {'p50 us':>10} {'p99 us':>10} {'CPU us':>10}")
    for row in rows:
        print(
            f"{row.name:<32} {row.per_second:>12,.0f} {row.best_per_second:>10,.0f} "
            f"{row.p50_us:>10,.1f} {row.p99_us:>10,.1f} {row.cpu_us:>10,.1f}"
        )
