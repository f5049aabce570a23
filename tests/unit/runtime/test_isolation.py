"""A request's answer never depends on who else asks: callers with nothing in common, at the same time.

Every kind of model, with its owner's word that rows are independent, over every protocol.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tests.unit.runtime.row_kinds import INDEPENDENT, MIXING, Kind
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.settings.lanes import LaneSettings

KINDS: dict[str, Kind] = {
    name: make()
    for name, make in {**MIXING, **INDEPENDENT}.items()
    if name != "random"  # which differs from itself
}
CALLERS = 4
REQUESTS = 3

Answer = list[tuple[tuple[int, ...], list[Any]]]
Ask = Callable[[ServerThread, str, Kind, np.ndarray], Answer]


@pytest.fixture(scope="module", params=[0.0, 0.02], ids=["no delay", "delay"])
def batching_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    folder = tmp_path_factory.mktemp("kinds")
    files = {name: kind.save(folder / f"{name}.onnx") for name, kind in KINDS.items()}
    lane = LaneSettings(max_batch_size=8, max_delay_seconds=request.param, inline_below_seconds=0.0)
    with ServerThread(files, lane=lane) as running:
        yield running


def ask_json(server: ServerThread, name: str, kind: Kind, x: np.ndarray) -> Answer:
    data = {"name": "x", "datatype": kind.datatype, "shape": x.shape, "data": x.ravel().tolist()}
    return _read(server.infer(name, [data]).json())


def ask_binary(server: ServerThread, name: str, kind: Kind, x: np.ndarray) -> Answer:
    tensor = triton_http.InferInput("x", x.shape, kind.datatype)
    tensor.set_data_from_numpy(x)
    with triton_http.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        result = client.infer(name, [tensor])
    return [_plain(result.as_numpy(output)) for output in kind.outputs]


def ask_grpc(server: ServerThread, name: str, kind: Kind, x: np.ndarray) -> Answer:
    tensor = triton_grpc.InferInput("x", x.shape, kind.datatype)
    tensor.set_data_from_numpy(x)
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        result = client.infer(name, [tensor])
    return [_plain(result.as_numpy(output)) for output in kind.outputs]


def ask_predict(server: ServerThread, name: str, kind: Kind, x: np.ndarray) -> Answer:
    answer = server.request("POST", f"/v1/models/{name}:predict", {"inputs": x.tolist()}).json()
    return [_plain(np.array(answer["outputs"]))]


def _read(document: Any) -> Answer:
    return [(tuple(output["shape"]), output["data"]) for output in document["outputs"]]


def _plain(array: np.ndarray | None) -> tuple[tuple[int, ...], list[Any]]:
    assert array is not None
    return array.shape, array.ravel().tolist()


@pytest.mark.parametrize("ask", [ask_json, ask_binary, ask_grpc, ask_predict])
def test_answer_is_the_same_with_others_as_alone(batching_server: ServerThread, ask: Ask) -> None:
    for name, kind in KINDS.items():
        handle = batching_server.table.find(name, None)
        asked = [kind.small, kind.large] * (CALLERS // 2)
        alone = [ask(batching_server, name, kind, x) for x in asked[:2]] * (CALLERS // 2)
        shares = bool(batching_server.delay_seconds) and name in INDEPENDENT
        deadline = time.monotonic() + 120
        while True:
            for answers in _ask_together(lambda x, n=name, k=kind: ask(batching_server, n, k, x), asked):
                for answer, expected in zip(answers, alone, strict=True):
                    _assert_same(name, answer, expected)
            if not shares or max([*handle.statistics.batches]) > 1:
                break
            # A busy machine may keep them further apart than a run waits.
            assert time.monotonic() < deadline, f"{name}: no requests have shared a run"
    for name in KINDS:
        handle = batching_server.table.find(name, None)
        assert (handle.lane.max_batch_size > 1) == (name in INDEPENDENT), name
        if name not in INDEPENDENT:
            assert max([*handle.statistics.batches]) == 1, name


@pytest.mark.parametrize(
    ("name", "bad", "many"),
    [
        ("texts", np.array(["1", "no number"], object), np.array(["7"] * 20, object)),
        ("embedding", np.array([[0, 1, 9]]), np.zeros((20, 3), np.int64)),
    ],
)
def test_requests_that_fail_are_empty_or_large_leave_the_others_alone(
    batching_server: ServerThread, name: str, bad: np.ndarray, many: np.ndarray
) -> None:
    kind = KINDS[name]

    def ask(x: np.ndarray) -> Answer | int:
        data = {"name": "x", "datatype": kind.datatype, "shape": x.shape, "data": x.ravel().tolist()}
        answer = batching_server.infer(name, [data])
        return answer.status if answer.status != 200 else _read(answer.json())

    asked = [kind.small, bad, many[:0], many, kind.large, bad]
    alone = [ask(x) for x in asked]
    assert [isinstance(answer, int) for answer in alone] == [False, True, False, False, False, True]
    for answers in _ask_together(ask, asked):
        assert answers == alone


def test_both_protocols_tell_why_requests_do_not_share_runs(batching_server: ServerThread) -> None:
    obstacle = batching_server.table.find("cumulative_sum", None).batching.obstacle
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{batching_server.grpc_port}") as client:
        config = client.get_model_config("cumulative_sum").config
    assert config.parameters["batching_obstacle"].string_value == obstacle
    assert config.max_batch_size == 0
    document = batching_server.request("GET", "/v2/models/cumulative_sum/config").json()
    assert document["parameters"] == {"batching_obstacle": {"string_value": obstacle}}


def _ask_together(ask: Callable[[np.ndarray], Any], asked: list[np.ndarray]) -> Iterator[list[Any]]:
    barrier = threading.Barrier(len(asked))

    def call(x: np.ndarray) -> list[Any]:
        answers = []
        for _ in range(REQUESTS):
            barrier.wait(60)
            answers.append(ask(x))
        return answers

    with ThreadPoolExecutor(len(asked)) as callers:
        yield from map(list, zip(*callers.map(call, asked), strict=True))


def _assert_same(name: str, answer: Answer, expected: Answer) -> None:
    assert [shape for shape, _ in answer] == [shape for shape, _ in expected], name
    for (_, values), (_, others) in zip(answer, expected, strict=True):
        np.testing.assert_allclose(np.array(values, float), np.array(others, float), rtol=1e-5, err_msg=name)
