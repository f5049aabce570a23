"""A whole server whose requests may share runs: what it says of each model, and what callers get."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tests.unit.runtime import row_kinds
from tests.unit.runtime.row_kinds import INDEPENDENT, MIXING
from tests.unit.runtime.server_process import server_process


def ask(url: str, document: Any = None) -> Any:
    body = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=120) as answer:
        return json.load(answer)


def infer(models: str, name: str, x: np.ndarray) -> list[Any]:
    tensor = {"name": "x", "datatype": "FP32", "shape": x.shape, "data": x.ravel().tolist()}
    answer = ask(f"{models}/{name}/infer", {"inputs": [tensor]})
    return [output["data"] for output in answer["outputs"]]


def test_whole_server_joins_what_is_independent_and_nothing_else(tmp_path: Path) -> None:
    good = INDEPENDENT["dense"]().save(tmp_path / "good.onnx")
    bad = MIXING["dynamic_quantization"]().save(tmp_path / "bad.onnx")
    shy = row_kinds.over_batch(*INDEPENDENT["dense"]().nodes, w=np.ones((1001, 2), np.float32))
    shy.shape = ["n", "features"]
    shy.save(tmp_path / "shy.onnx")
    arguments = ["--max-batch-size", "8", "--max-batch-delay-milliseconds", "100", "--rows-are-independent"]
    arguments += ["--samples", "shy=x:1x1001", "--drain-delay-seconds", "0"]
    for name, path in (("good", good), ("bad", bad), ("shy", tmp_path / "shy.onnx")):
        arguments += ["--model", f"{name}={path}"]
    with server_process(*arguments) as server, ThreadPoolExecutor(8) as callers:
        server.wait_for("ready")
        models = f"http://127.0.0.1:{server.http_port}/v2/models"
        configs = {name: ask(f"{models}/{name}/config") for name in ("good", "bad", "shy")}
        assert {name: config["max_batch_size"] for name, config in configs.items()} == {
            "good": 8,
            "bad": 0,
            "shy": 8,
        }
        obstacle = configs["bad"]["parameters"]["batching_obstacle"]["string_value"]
        logged = [record for record in server.records if record["message"] == "batching is off"]
        assert [(record["model"], record["cause"]) for record in logged] == [("bad", obstacle)]
        for name in ("good", "bad"):
            rows = [np.array([[0.1, 0.2]]), np.array([[900.0, 5.0]])] * 4
            alone = [infer(models, name, row) for row in rows]
            together = list(callers.map(lambda row, n=name: infer(models, n, row), rows))
            np.testing.assert_allclose(together, alone, rtol=1e-5)
        batches = {
            name: max(
                batch["batch_size"]
                for batch in ask(f"{models}/{name}/stats")["model_stats"][0]["batch_stats"]
            )
            for name in ("good", "bad")
        }
    assert batches["good"] > 1
    assert batches["bad"] == 1
