"""Versions come and go under load: no request fails, and every answer is one version's."""

import gc
import http.client
import json
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.onnx_models import save_mlp
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.settings.lanes import LaneSettings

ROW = [1.0, 2.0, 3.0, 4.0]
INFER = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROW}]}
PREDICT = {"instances": [ROW]}


@dataclass
class Client:
    """Asks without a pause until told to stop; keeps (status, answer)."""

    port: int
    path: str
    body: object
    stop: threading.Event
    answers: list[tuple[int, Any]] = field(default_factory=list)

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while not self.stop.is_set():
            connection.request("POST", self.path, json.dumps(self.body))
            response = connection.getresponse()
            self.answers.append((response.status, json.loads(response.read())))
        connection.close()


def on_loop(server: ServerThread, action: Callable[[], None]) -> None:
    done = threading.Event()
    server.loop.call_soon_threadsafe(lambda: (action(), done.set()))
    assert done.wait(120)


def scores_of(server: ServerThread, version: str) -> list[float]:
    answer = server.request("POST", f"/v2/models/m/versions/{version}/infer", INFER)
    return list(answer.json()["outputs"][0]["data"])


def swap_versions(server: ServerThread, files: dict[str, Path], clients: list[Client]) -> None:
    """Bring each version back before the other goes, some answers apart."""
    for leaving, coming in [("1", "2"), ("2", "1")] * 4:
        handle = server.load("m", files[coming], coming)
        on_loop(server, lambda handle=handle: server.table.publish(handle))  # type: ignore[misc]
        seen = [len(client.answers) for client in clients]
        while any(len(client.answers) < count + 5 for client, count in zip(clients, seen, strict=True)):
            assert not any(client.stop.wait(0.001) for client in clients)
        on_loop(server, lambda leaving=leaving: server.table.retire("m", leaving))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("inline_below_seconds", "max_batch_size"),
    [(0.0, 4), (1.0, 4), (1.0, 1)],
    ids=["threads", "inline", "at once"],
)
def test_versions_swapped_under_load_fail_no_request_and_mix_no_answer(
    tmp_path: Path, inline_below_seconds: float, max_batch_size: int
) -> None:
    files = {"1": save_mlp(tmp_path / "1.onnx", width=8), "2": save_mlp(tmp_path / "2.onnx", width=16)}
    lane = LaneSettings(max_batch_size, inline_below_seconds=inline_below_seconds)
    stop = threading.Event()
    with ServerThread({"m": files["1"]}, lane=lane) as server:
        second = server.load("m", files["2"], "2")
        expected = {"1": scores_of(server, "1")}
        on_loop(server, lambda: server.table.publish(second))
        expected["2"] = scores_of(server, "2")
        assert expected["1"] != pytest.approx(expected["2"], rel=1e-2)
        on_loop(server, lambda: server.table.retire("m", "2"))
        infer = [Client(server.port, "/v2/models/m/infer", INFER, stop) for _ in range(2)]
        predict = Client(server.port, "/v1/models/m:predict", PREDICT, stop)
        threads = [threading.Thread(target=client.run) for client in (*infer, predict)]
        for thread in threads:
            thread.start()
        try:
            swap_versions(server, files, [*infer, predict])
        finally:
            stop.set()
            for thread in threads:
                thread.join(120)
    assert {status for client in (*infer, predict) for status, _ in client.answers} == {200}
    versions = set()
    for client in infer:
        for _, answer in client.answers:
            versions.add(answer["model_version"])
            expected_scores = expected[answer["model_version"]]
            assert answer["outputs"][0]["data"] == pytest.approx(expected_scores, rel=1e-5)
    assert versions == {"1", "2"}
    for _, answer in predict.answers:
        assert any(
            answer["predictions"][0] == pytest.approx(scores, rel=1e-5) for scores in expected.values()
        )


def test_retired_version_leaves_no_model_behind(tmp_path: Path) -> None:
    file = save_mlp(tmp_path / "m.onnx")

    def publish_second() -> "weakref.ref[object]":
        second = server.load("m", file, "2")
        on_loop(server, lambda: server.table.publish(second))
        return weakref.ref(second.lane._model)

    with ServerThread({"m": file}, lane=LaneSettings(inline_below_seconds=1.0)) as server:
        model = publish_second()
        for _ in range(5):  # until it is answered from prepared memory
            scores_of(server, "2")
        on_loop(server, lambda: server.table.retire("m", "2"))
        scores_of(server, "1")
        gc.collect()
        assert model() is None
