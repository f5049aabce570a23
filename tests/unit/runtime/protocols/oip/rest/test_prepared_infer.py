"""Requests answered in one go get what the usual way answers, and what that cannot do is left to it."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from tests.unit.runtime import onnx_models
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.errors import ServingError
from modelservice_runtime.execution.lane import Lane
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.model import WarmUp
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.protocols.oip.rest.infer_codec import DecodedInfer, decode_infer, encode_infer
from modelservice_runtime.protocols.oip.rest.planned_codec import InferCodec
from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.settings.sessions import SessionSettings
from modelservice_runtime.tensors import DATATYPES
from modelservice_runtime.transport.http import Buffer, HttpResponse

FAST = WarmUp(1e-6, 1, time_varies=False)
NUMBERS = sorted(set(DATATYPES) - {"BYTES", "BF16", "BOOL"})


class Served:
    """A model, and a codec that learns from what is asked."""

    def __init__(self, path: Path, warm_up: WarmUp = FAST) -> None:
        model = load_onnx_model(path, "m", "1", SessionSettings(("CPU",), 1))
        statistics = ModelStatistics()
        # Nothing here takes its time from the loop but the one look a second of a slow model.
        lane = Lane(model, LaneSettings(), statistics, asyncio.new_event_loop(), warm_up)
        self.handle = ModelHandle(model.spec, lane, statistics)
        self.codec = InferCodec(model.spec, lane.prepare)

    def close(self) -> None:
        self.handle.lane._loop.close()

    def usual(self, body: Buffer, header_length: int | None = None) -> HttpResponse:
        """Decode, run and encode, one after the other."""
        length = None if header_length is None else b"%d" % header_length
        decoded = self.codec.decode(body, length)
        outputs = self.handle.lane._model.run(decoded.request.inputs, decoded.request.output_names)
        return self.codec.encode(decoded, outputs)

    def learn(self, body: bytes, header_length: int | None = None) -> None:
        for _ in range(3):
            self.usual(body, header_length)

    def at_once(self, body: Buffer, header_length: int | None = None) -> HttpResponse | None:
        answer = self.codec.answer(body, header_length or 0, self.handle, 0)
        return answer if isinstance(answer, HttpResponse) else None

    def planned(self, body: Buffer, header_length: int | None = None) -> DecodedInfer:
        """What is not answered at once, but decoded."""
        decoded = self.codec.answer(body, header_length or 0, self.handle, 0)
        assert isinstance(decoded, DecodedInfer)
        return decoded


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def serve(path: Path, warm_up: WarmUp = FAST) -> Served:
        made.append(Served(path, warm_up))
        return made[-1]

    yield serve
    for served in made:
        served.close()


Serve = Callable[..., Served]


def json_body(data: Any, datatype: str = "FP32", shape: list[int] | None = None, **fields: Any) -> bytes:
    shape = shape or list(np.shape(data))
    tensor = {"name": "x", "shape": shape, "datatype": datatype, "data": data}
    return json.dumps({"inputs": [tensor], **fields}).encode()


def binary_body(array: np.ndarray, datatype: str = "FP32") -> tuple[bytes, int]:
    tensor: dict[str, Any] = {"name": "x", "shape": array.shape, "datatype": datatype}
    tensor["parameters"] = {"binary_data_size": array.nbytes}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + array.tobytes(), len(head)


def flat(response: HttpResponse | None) -> tuple[int, bytes, bytes, object]:
    assert response is not None
    body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    return response.status, body, response.content_type, response.headers


@pytest.fixture
def two_outputs(tmp_path: Path) -> Path:
    """double = x + x (FP32 [n, 2]), total = the sum of all (a scalar)."""
    value = onnx_models.value
    return onnx_models.save(
        tmp_path / "outputs.onnx",
        [
            helper.make_node("Add", ["x", "x"], ["double"]),
            helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        ],
        [value("x", "FP32", ["n", 2])],
        [value("double", "FP32", ["n", 2]), value("total", "FP32", [])],
    )


@pytest.fixture
def nonzero(tmp_path: Path) -> Path:
    """Where x is not zero: the shape of y follows from the values in x."""
    value = onnx_models.value
    nodes = [helper.make_node("NonZero", ["x"], ["y"])]
    outputs = [value("y", "INT64", [1, "found"])]
    return onnx_models.save(tmp_path / "nonzero.onnx", nodes, [value("x", "FP32", ["n"])], outputs)


@pytest.mark.parametrize("datatype", NUMBERS)
def test_answers_of_every_datatype_are_the_usual_ones(
    datatype: str, model_files: dict[str, Path], serve: Serve
) -> None:
    served = serve(model_files[f"identity_{datatype}"])
    served.learn(json_body([1, 2, 3], datatype))
    body = json_body([7, 0, 5], datatype)
    assert flat(served.at_once(body)) == flat(served.usual(body))
    numpy = DATATYPES[datatype].numpy
    served.learn(*binary_body(np.array([1, 2, 3], numpy), datatype))
    binary = binary_body(np.array([7, 0, 5], numpy), datatype)
    assert flat(served.at_once(*binary)) == flat(served.usual(*binary))


@pytest.mark.parametrize("datatype", ["BYTES", "BF16", "BOOL"])
def test_datatypes_that_need_a_look_at_every_value_go_the_usual_way(
    datatype: str, model_files: dict[str, Path], serve: Serve
) -> None:
    served = serve(model_files[f"identity_{datatype}"])
    body = json_body(["1"] if datatype == "BYTES" else [1], datatype)
    served.learn(body)
    assert served.at_once(body) is None
    if datatype != "BYTES":
        binary = binary_body(np.array([1], DATATYPES[datatype].numpy), datatype)
        served.learn(*binary)
        assert served.at_once(*binary) is None


@pytest.mark.parametrize("names", [None, ["double"], ["total", "double"], ["total"]])
@pytest.mark.parametrize("binary", [False, True])
def test_outputs_come_as_asked_for(
    names: list[str] | None, binary: bool, two_outputs: Path, serve: Serve
) -> None:
    served = serve(two_outputs)
    wanted: dict[str, Any] = {"outputs": [{"name": name} for name in names]} if names else {}
    if binary:
        wanted["parameters"] = {"binary_data_output": True}
    served.learn(json_body([[1, 2]], **wanted))
    body = json_body([[3, 4]], **wanted)
    usual = flat(served.usual(body))
    if binary:  # JSON in and binary data out is rare
        assert served.at_once(body) is None or flat(served.at_once(body)) == usual
    else:
        assert flat(served.at_once(body)) == usual


def test_no_answer_keeps_anything_of_another(model_files: dict[str, Path], serve: Serve) -> None:
    served = serve(model_files["mlp"])
    served.learn(json_body([[1, 2, 3, 4]]))
    first = flat(served.at_once(json_body([[5, 6, 7, 8]])))
    second = flat(served.at_once(json_body([[8, 7, 6, 5]])))
    assert first != second
    assert first == flat(served.at_once(json_body([[5, 6, 7, 8]])))


IDS = st.one_of(st.text(max_size=5), st.text(st.characters(max_codepoint=127), max_size=5), st.just("null"))


@given(
    request_id=IDS,
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,", ":")]),
    later=st.sampled_from([{}, {"id": "later"}, {"parameters": {}}]),
    values=st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2),
)
def test_id_in_front_is_repeated_and_the_rest_is_the_usual_answer(
    request_id: str,
    separators: tuple[str, str],
    later: dict[str, Any],
    values: list[float],
    model_files: dict[str, Path],
) -> None:
    served = Served(model_files["log"])
    try:
        for number in range(4):
            front = f'{{"id"{separators[1]}{json.dumps(request_id + str(number), ensure_ascii=False)}'
            tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": values}
            rest = json.dumps({"inputs": [tensor], **later}, separators=separators)
            body = f"{front}{separators[0]}{rest[1:]}".encode()
            try:
                decoded = decode_infer(served.codec.spec, body, None)
            except ServingError:
                assert served.at_once(body) is None
                continue
            outputs = served.handle.lane._model.run(decoded.request.inputs, decoded.request.output_names)
            expected = flat(encode_infer(served.codec.spec, decoded, outputs))
            quick = served.at_once(body)
            assert quick is None or flat(quick) == expected
            assert flat(served.usual(body)) == expected
    finally:
        served.close()


@pytest.mark.parametrize("space", ["", " "])
def test_requests_with_ids_of_their_own_are_answered_at_once(
    space: str, model_files: dict[str, Path], serve: Serve
) -> None:
    def body(request_id: str, values: list[int]) -> bytes:
        rest = json_body(values)
        return f'{{"id":{space}"{request_id}",{space}'.encode() + rest[1:]

    served = serve(model_files["log"])
    for number in range(3):
        served.usual(body(f"{number}", [1, 2]))
    for request_id in ("a", "3f1c-0", "null", "'{}[]:,"):
        answer = served.at_once(body(request_id, [3, 4]))
        assert flat(answer) == flat(served.usual(body(request_id, [3, 4])))
        assert json.loads(flat(answer)[1])["id"] == request_id
    for request_id in ("\u00e9", r"\u00e9"):
        assert served.at_once(body(request_id, [3, 4])) is None
    assert flat(served.at_once(json_body([3, 4]))) == flat(served.usual(json_body([3, 4])))


@given(values=st.lists(st.floats(width=32), min_size=2, max_size=2))
def test_values_without_a_json_form_are_the_usual_tokens(
    values: list[float], model_files: dict[str, Path]
) -> None:
    served = Served(model_files["log"])
    served.learn(json_body([1, 2]))
    usual = flat(served.usual(json_body(values)))
    at_once = served.at_once(json_body(values))
    if all(math.isfinite(value) for value in values):
        assert flat(at_once) == usual
    else:  # the words for them are read the usual way
        assert at_once is None
    served.close()


def test_another_output_shape_goes_the_usual_way_from_then_on(nonzero: Path, serve: Serve) -> None:
    served = serve(nonzero)
    served.learn(json_body([1, 0, 2]))
    assert flat(served.at_once(json_body([0, 4, 4]))) == flat(served.usual(json_body([0, 4, 4])))
    for data in ([1, 1, 1], [0, 0, 1], [0, 0, 0]):
        assert served.at_once(json_body(data)) is None
    served.usual(json_body([1, 1, 1]))
    assert served.at_once(json_body([1, 0, 2])) is None


def test_run_that_fails_is_told_as_in_the_usual_way_and_the_next_is_answered(
    model_files: dict[str, Path], serve: Serve
) -> None:
    served = serve(model_files["gather"])
    served.learn(json_body([1, 2], "INT64"))
    with pytest.raises(ServingError) as usual:
        served.usual(json_body([1, 99], "INT64"))
    with pytest.raises(type(usual.value)) as told:
        served.at_once(json_body([1, 99], "INT64"))
    assert str(told.value) == str(usual.value)
    assert flat(served.at_once(json_body([3, 0], "INT64"))) == flat(served.usual(json_body([3, 0], "INT64")))
    assert served.handle.statistics.success_count == 1


@pytest.mark.parametrize(
    "data",
    [[1], [1, 2, 3], ["1", "2"], [True, False], [None, 1], [1e40, 1], [[1, 2], [3]], [], 5, {"b64": "AA=="}],
    ids=str,
)
def test_data_other_than_planned_goes_the_usual_way(
    data: Any, model_files: dict[str, Path], serve: Serve
) -> None:
    served = serve(model_files["log"])
    served.learn(json_body([1, 2]))
    assert served.at_once(json_body(data, shape=[2])) is None


def test_rows_in_brackets_of_their_own_are_answered_at_once(
    model_files: dict[str, Path], serve: Serve
) -> None:
    served = serve(model_files["mlp"])
    served.learn(json_body([[1, 2, 3, 4]]))
    nested, bare = json_body([[4, 3, 2, 1]]), json_body([4, 3, 2, 1], shape=[1, 4])
    assert flat(served.at_once(nested)) == flat(served.usual(bare)) == flat(served.at_once(bare))
    served.learn(json_body([[1, 2, 3, 4], [5, 6, 7, 8]]))
    rows, flat_rows = (
        json_body([[4, 3, 2, 1], [8, 7, 6, 5]]),
        json_body([4, 3, 2, 1, 8, 7, 6, 5], shape=[2, 4]),
    )
    assert flat(served.at_once(rows)) == flat(served.usual(flat_rows))


def test_large_tensors_and_slow_models_go_the_usual_way(model_files: dict[str, Path], serve: Serve) -> None:
    large = json_body([1.0] * 3000)
    served = serve(model_files["log"])
    served.learn(large)
    assert served.at_once(large) is None
    slow = serve(model_files["log"], WarmUp(1.0, 1, time_varies=False))
    slow.learn(json_body([1, 2]))
    assert slow.at_once(json_body([1, 2])) is None


def aligned(body: bytes, header_length: int, offset: int = 0) -> memoryview:
    """The body so that its tensors begin `offset` bytes behind an aligned address."""
    memory = np.zeros(len(body) + 64, np.uint8)
    start = (offset - header_length - memory.ctypes.data) % 16
    memory[start : start + len(body)] = np.frombuffer(body, np.uint8)
    return memory[start : start + len(body)].data


def learn_large(served: Served, array: np.ndarray, datatype: str = "FP32") -> None:
    body, header_length = binary_body(array, datatype)
    for _ in range(105):  # others than large ones are prepared for by then
        served.usual(body, header_length)
    assert served.at_once(body, header_length) is None


@pytest.mark.parametrize("datatype", NUMBERS)
def test_large_binary_tensors_are_run_where_they_are(
    datatype: str, model_files: dict[str, Path], serve: Serve
) -> None:
    served = serve(model_files[f"identity_{datatype}"])
    numpy = DATATYPES[datatype].numpy
    learn_large(served, np.arange(20_000).astype(numpy), datatype)
    body, header_length = binary_body(np.arange(20_000)[::-1].astype(numpy), datatype)
    usual = flat(served.usual(body, header_length))
    for offset in (0, 1):
        moved = aligned(body, header_length, offset)
        assert flat(served.usual(moved, header_length)) == usual
        decoded = served.planned(moved, header_length)
        array = decoded.request.inputs["x"]
        assert array.flags.aligned
        assert np.shares_memory(array, np.frombuffer(moved, np.uint8)) == (offset % numpy.itemsize == 0)
        outputs = served.handle.lane._model.run(decoded.request.inputs, decoded.request.output_names)
        assert flat(served.codec.encode(decoded, outputs)) == usual


def test_texts_are_not_decoded_at_once_for_there_may_be_many(
    model_files: dict[str, Path], serve: Serve
) -> None:
    served = serve(model_files["identity_BYTES"])
    text = b"\x01\x00\x00\x00a"
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(text)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    served.learn(head + text, len(head))
    assert served.codec.answer(head + text, len(head), served.handle, 0) is None
    assert json.loads(flat(served.usual(head + text, len(head)))[1])["outputs"][0]["data"] == ["a"]


def test_slow_model_gets_json_as_planned_with_the_id_of_each(
    model_files: dict[str, Path], serve: Serve
) -> None:
    def body(request_id: str, values: list[int]) -> bytes:
        return f'{{"id": "{request_id}", '.encode() + json_body(values)[1:]

    served = serve(model_files["log"], WarmUp(1.0, 1, time_varies=False))
    served.learn(body("first", [1, 2]))
    decoded = served.planned(body("second", [3, 4]))
    assert (decoded.request.id, decoded.request.inputs["x"].tolist()) == ("second", [3, 4])
    outputs = served.handle.lane._model.run(decoded.request.inputs, decoded.request.output_names)
    assert flat(served.codec.encode(decoded, outputs)) == flat(served.usual(body("second", [3, 4])))


@pytest.mark.parametrize(("model", "datatype"), [("nonzero", "FP32"), ("gather", "INT64")])
def test_large_answers_of_another_shape_are_written_in_full(
    model: str, datatype: str, nonzero: Path, model_files: dict[str, Path], serve: Serve
) -> None:
    served = serve(nonzero if model == "nonzero" else model_files[model])
    numpy = DATATYPES[datatype].numpy
    learn_large(served, np.ones(20_000, numpy), datatype)
    for array in (np.arange(20_000) % 2, np.zeros(20_000), np.ones(20_000)):
        body, header_length = binary_body(array.astype(numpy), datatype)
        decoded = decode_infer(served.handle.spec, body, b"%d" % header_length)
        outputs = served.handle.lane._model.run(decoded.request.inputs, decoded.request.output_names)
        full = encode_infer(served.handle.spec, decoded, outputs)
        assert flat(served.usual(body, header_length)) == flat(full)


def test_slow_model_has_a_short_way_too_and_answers_each_with_its_own(
    server: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = server.table.find("mlp", None).lane
    answers = []
    for turn in range(130):
        monkeypatch.setattr(lane._run_time, "run_ns", 1e9)
        body, header_length = binary_body(np.array([[turn, 1, 2, 3]], np.float32))
        headers = {"Inference-Header-Content-Length": str(header_length)}
        answers.append(server.request("POST", "/v2/models/mlp/infer", body, headers).body)
        if turn in (0, 125):
            usual = server.request("POST", "/v2/models/mlp/infer", json_body([[turn, 1, 2, 3]])).json()
            found = np.frombuffer(answers[-1][-12:], np.float32)
            np.testing.assert_allclose(found, usual["outputs"][0]["data"], rtol=1e-6)
    assert len(set(answers)) > 100


def test_model_that_became_slow_is_not_run_on_the_event_loop(
    model_files: dict[str, Path], serve: Serve
) -> None:
    served = serve(model_files["log"])
    served.learn(json_body([1, 2]))
    assert served.at_once(json_body([1, 2])) is not None
    served.handle.lane._run_time.run_ns = 1e9
    assert served.at_once(json_body([1, 2])) is None


def test_requests_of_a_client_are_counted_and_answered_each(server: ServerThread) -> None:
    def count() -> int:
        answer = server.request("GET", "/v2/models/mlp/versions/1/stats")
        return int(answer.json()["model_stats"][0]["inference_count"])

    before = count()
    answers = {}
    for turn in range(6):
        body = json_body([[turn, 1, 2, 3]])
        answers[turn] = server.request("POST", "/v2/models/mlp/infer", body).json()["outputs"][0]["data"]
        alone = json_body([[turn, 1, 2, 3]], id="alone")  # another beginning: the usual way
        answer = server.request("POST", "/v2/models/mlp/infer", alone)
        assert answers[turn] == answer.json()["outputs"][0]["data"]
    assert count() == before + 12
    assert len({tuple(answer) for answer in answers.values()}) > 1
