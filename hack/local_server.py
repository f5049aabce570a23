"""Runs a command against a server of this checkout: `python -m hack.local_server COMMAND...`.

In the command `{url}` stands for the server's address. It has one model, `classifier`, with the label
`stable`. The command's exit code is this program's.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[1]
_WEIGHTS = np.array([[1, -1], [2, 0.5], [-1, 1]], np.float32)


def main(*command: str) -> int:
    """Run `command` while the server runs; returns its exit code."""
    with tempfile.TemporaryDirectory() as directory:
        path = save_classifier(Path(directory) / "model.onnx")
        with serve(path) as url:
            filled = [part.replace("{url}", url) for part in command]
            return subprocess.run(filled, cwd=directory, check=False).returncode


def save_classifier(path: Path) -> Path:
    """Scores are the softmax of a linear function of three numbers, for two classes."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])]
    graph = helper.make_graph(nodes, "classifier", inputs, outputs, [numpy_helper.from_array(_WEIGHTS, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@contextmanager
def serve(model: Path) -> Iterator[str]:
    """A server of the model; gives its address. Its log is kept beside the model."""
    arguments = [
        "--host",
        "127.0.0.1",
        "--http-port",
        "0",
        "--grpc-port",
        "off",
        "--metrics-port",
        "0",
        "--drain-delay-seconds",
        "0",
    ]
    arguments += ["--model", f"classifier={model}", "--version-label", "classifier:stable=1"]
    command = [sys.executable, "-m", "modelservice_runtime", "serve", *arguments]
    log = model.with_suffix(".log")
    with log.open("w") as stream, subprocess.Popen(command, stderr=stream, cwd=ROOT) as process:
        try:
            yield f"http://127.0.0.1:{_wait_until_ready(process, log)}"
        finally:
            process.terminate()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port of the server, once its log says that it is ready."""
    while process.poll() is None:
        records = [
            json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")
        ]
        if any(record["message"] == "ready" for record in records):
            return int(next(record["http_port"] for record in records if "http_port" in record))
        time.sleep(0.1)
    raise SystemExit(f"the server ended before it was ready: {log.read_text()[-1000:]}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
