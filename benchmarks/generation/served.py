"""The whole server: streams of server-sent events, and a tensor model beside them."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.generation.own import CHUNK, PLACES
from benchmarks.generation.work import NEW_TOKENS, ROWS, make_prompts
from benchmarks.measuring import save_mlp

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Served:
    """CPU seconds of the server for all streams; the tensor model's p99 beside them over alone."""

    cpu_seconds: float
    tensor_p99_ratio: float


@contextmanager
def _server(folder: Path, mlp: Path) -> Iterator[tuple[int, int]]:
    """Its HTTP port and process."""
    models = ("--model", f"chat={folder}", "--model", f"mlp={mlp}")
    ports = ("--host", "127.0.0.1", "--http-port", "0", "--grpc-port", "off", "--metrics-port", "0")
    limits = ("--intra-op-threads", "1", "--max-context-tokens", str(PLACES), "--prefix-cache", "off")
    chunk = ("--prefill-chunk-tokens", str(CHUNK), "--drain-delay-seconds", "0")
    command = [sys.executable, "-m", "modelservice_runtime", "serve", *models, *ports, *limits, *chunk]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            port = 0
            for line in process.stderr:
                record = json.loads(line)
                port = record.get("http_port", port)
                if record["message"] == "ready":
                    break
            yield port, process.pid
        finally:
            process.terminate()


def measure_served(folder: Path) -> Served:
    """Serve both, and measure."""
    with tempfile.TemporaryDirectory() as temporary:
        mlp = Path(temporary) / "mlp.onnx"
        save_mlp(mlp, 64, 64, 8)
        with _server(folder, mlp) as (port, pid):
            _stream_all(port, make_prompts(1), 4)
            alone = _tensor_p99(port, threading.Event(), 300)
            before = _cpu_seconds(pid)
            _stream_all(port, make_prompts(ROWS), NEW_TOKENS)
            cpu_seconds = _cpu_seconds(pid) - before
            ended = threading.Event()
            streams = threading.Thread(target=_stream_until_told, args=(port, ended))
            streams.start()
            beside = _tensor_p99(port, ended, 100_000)
            streams.join()
    return Served(cpu_seconds, beside / alone)


def _stream_all(port: int, prompts: Sequence[Sequence[int]], new: int) -> None:
    threads = [threading.Thread(target=_stream, args=(port, prompt, new)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _stream(port: int, prompt: Sequence[int], new: int) -> None:
    body = {"model": "chat", "prompt": list(prompt), "max_tokens": new, "temperature": 0, "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    text = json.dumps(body | {"ignore_eos": True})
    connection.request("POST", "/v1/completions", text, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    assert content.endswith(b"data: [DONE]\n\n"), content[-200:]


def _stream_until_told(port: int, ended: threading.Event) -> None:
    _stream_all(port, make_prompts(ROWS), NEW_TOKENS)
    ended.set()


def _tensor_p99(port: int, ended: threading.Event, most: int) -> float:
    values = {"name": "x", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}
    body = json.dumps({"inputs": [values]})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    times: list[float] = []
    while not ended.is_set() and len(times) < most:
        started = time.perf_counter()
        connection.request("POST", "/v2/models/mlp/infer", body)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        times.append(time.perf_counter() - started)
    return float(np.quantile(times, 0.99))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
