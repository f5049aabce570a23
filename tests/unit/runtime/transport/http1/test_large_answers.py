"""Answers of many values: written in pieces, on a thread, and the same as small ones are written."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.unit.runtime import onnx_models
from tests.unit.runtime.busy_threads import Busy, answer_while_busy
from tests.unit.runtime.gated_model import FAST, SLOW, GatedModel, make_lane, make_request
from tests.unit.runtime.protocols.oip.oip_messages import make_request as make_message
from tests.unit.runtime.server_thread import Answer, ServerThread

from modelservice_runtime.errors import InvalidRequestError, ServingError
from modelservice_runtime.execution.offload import LateAnswer
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.model import ModelSpec, WarmUp
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.inference import InferCall, infer_inline
from modelservice_runtime.protocols.oip.grpc import contents as oip_contents
from modelservice_runtime.protocols.oip.grpc.request import bind_head, parse_head
from modelservice_runtime.protocols.oip.grpc.response import encode_typed_response
from modelservice_runtime.protocols.oip.rest import infer_codec
from modelservice_runtime.protocols.oip.rest.infer_codec import DecodedInfer, encode_infer
from modelservice_runtime.protocols.tensors import pieces
from modelservice_runtime.protocols.tfs.grpc import tensors as tfs_tensors
from modelservice_runtime.protocols.tfs.grpc.predict import encode_predict_response
from modelservice_runtime.protocols.tfs.rest import example_codec, json_values
from modelservice_runtime.protocols.tfs.rest.example_codec import prepare_classify, prepare_regress
from modelservice_runtime.protocols.tfs.rest.predict_codec import prepare_predict
from modelservice_runtime.protos import inference_pb2, tensorflow_pb2, tensorflow_serving_pb2
from modelservice_runtime.tensors import DATATYPES, Array, InferRequest, TensorSpec
from modelservice_runtime.transport.http import HttpResponse

ROWS = 6


def words(*shape: int) -> Array:
    array = np.empty(shape, object)
    array.ravel()[:] = [f'"{number},ü' for number in range(array.size)]
    return array


def floats(*shape: int) -> Array:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 3
    array.ravel()[[0, -1]] = [np.nan, -np.inf]
    return array


OUTPUTS: dict[str, tuple[str, Array]] = {
    "flat": ("FP32", floats(ROWS)),
    "nested": ("FP32", floats(ROWS, 4, 5)),
    "strided": ("FP64", np.arange(ROWS * 8, dtype=np.float64).reshape(8, ROWS).T),
    "half": ("FP16", np.ones((ROWS, 3), np.float16)),
    "brain": ("BF16", np.full((ROWS, 3), 0x3F80, np.uint16)),
    "flags": ("BOOL", np.arange(ROWS * 2).reshape(ROWS, 2) % 2 == 0),
    "ids": ("INT64", np.arange(ROWS * 3).reshape(ROWS, 3) - 2**62),
    "texts": ("BYTES", words(ROWS, 3)),
    "images_bytes": ("BYTES", words(ROWS)),
    "none": ("FP32", np.empty((ROWS, 0), np.float32)),
}
SPECS = {name: TensorSpec(name, DATATYPES[datatype], None) for name, (datatype, _) in OUTPUTS.items()}
ALL_OUTPUTS = [array for _, array in OUTPUTS.values()]


def make_spec(*names: str) -> ModelSpec:
    return ModelSpec("m", "1", tuple(SPECS[name] for name in names), tuple(SPECS[name] for name in names))


@pytest.fixture(params=[1, 4, 7, 50])
def small_pieces(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Makes pieces small, and so every answer large, when it is called."""
    with pytest.MonkeyPatch.context() as patch:

        def start() -> None:
            for module in (pieces, json_values, example_codec, oip_contents, tfs_tensors):
                patch.setattr(module, "PIECE_VALUES", request.param)
            patch.setattr(infer_codec, "LARGE_VALUES", 0)

        yield start


def joined(body: bytes | Sequence[Any]) -> bytes:
    return body if isinstance(body, bytes) else b"".join(body)


@pytest.mark.parametrize("binary", [(), ("nested", "texts"), tuple(OUTPUTS)])
@pytest.mark.parametrize("request_id", [None, "7"])
def test_encode_infer_in_pieces_writes_the_same(
    small_pieces: Callable[[], None], binary: Sequence[str], request_id: str | None
) -> None:
    spec = make_spec(*OUTPUTS)
    request = InferRequest({}, spec.output_names, request_id)
    decoded = DecodedInfer(request, [name in binary for name in spec.output_names])
    expected = encode_infer(spec, decoded, ALL_OUTPUTS)
    small_pieces()
    written = encode_infer(spec, decoded, ALL_OUTPUTS)
    assert joined(written.body) == joined(expected.body)
    assert written.headers == expected.headers


@pytest.mark.parametrize("names", [*itertools.combinations(OUTPUTS, 2), *[(name,) for name in OUTPUTS]])
@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_encode_of_predict_in_pieces_writes_the_same(
    small_pieces: Callable[[], None], names: Sequence[str], key: str
) -> None:
    spec = ModelSpec("m", "1", (SPECS["flat"],), tuple(SPECS[name] for name in names))
    encode = prepare_predict(spec, json.dumps({key: [1]}).encode()).encode
    outputs = [OUTPUTS[name][1] for name in names]
    expected = encode(outputs)
    small_pieces()
    assert joined(encode(outputs)) == joined(expected)


def test_encode_of_columns_in_pieces_takes_scalars(small_pieces: Callable[[], None]) -> None:
    spec = make_spec("flat", "texts")
    body = b'{"inputs":{"flat":[1],"texts":["a"]}}'
    small_pieces()
    written = prepare_predict(spec, body).encode([np.array(1.5, np.float32), words(9)])
    assert json.loads(joined(written))["outputs"]["flat"] == 1.5


def test_encode_of_examples_in_pieces_writes_the_same(small_pieces: Callable[[], None]) -> None:
    scores, classes = (
        TensorSpec("scores", DATATYPES["FP32"], None),
        TensorSpec("classes", DATATYPES["BYTES"], None),
    )
    body = json.dumps({"examples": [{"flat": 1}] * ROWS}).encode()
    calls: list[tuple[Callable[[Sequence[Array]], Any], list[Array]]] = []
    for outputs, arrays in (
        ((scores, classes), [floats(ROWS, 3), words(ROWS, 3)]),
        ((scores,), [floats(ROWS, 3)]),
        ((classes,), [words(ROWS)]),
    ):
        calls.append((prepare_classify(ModelSpec("m", "1", (SPECS["flat"],), outputs), body).encode, arrays))
    calls.append((prepare_regress(make_spec("flat"), body).encode, [floats(ROWS)]))
    expected = [joined(encode(arrays)) for encode, arrays in calls]
    small_pieces()
    assert [joined(encode(arrays)) for encode, arrays in calls] == expected


TYPED = [name for name, (datatype, _) in OUTPUTS.items() if datatype not in ("FP16", "BF16")]


def test_encode_of_messages_in_pieces_says_the_same(small_pieces: Callable[[], None]) -> None:
    spec = make_spec(*TYPED)
    message = make_message()
    message.ClearField("inputs")
    for name in TYPED:
        message.inputs.add(name=name, datatype=OUTPUTS[name][0], shape=[0])
    arrays = [OUTPUTS[name][1] for name in TYPED]
    bound = bind_head(parse_head(message.SerializeToString()), spec)

    def encode() -> tuple[str, str]:
        typed = inference_pb2.ModelInferResponse.FromString(
            joined(encode_typed_response(bound, b"5", arrays))
        )
        predicted = tensorflow_serving_pb2.PredictResponse.FromString(
            joined(encode_predict_response(make_spec(*OUTPUTS), tuple(OUTPUTS), ALL_OUTPUTS))
        )
        return str(typed), str(predicted)

    expected = encode()
    small_pieces()
    assert encode() == expected


COUNT = 40_000
OIP, PREDICTION = "/inference.GRPCInferenceService", "/tensorflow.serving.PredictionService"


@pytest.fixture(scope="module")
def server(model_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    directory = tmp_path_factory.mktemp("answers")
    value = onnx_models.value
    wide = onnx_models.save(
        directory / "wide.onnx",
        [onnx_models.helper.make_node("Add", ["x", "table"], ["y"])],
        [value("x", "INT64", [1])],
        [value("y", "INT64", [COUNT])],
        {"table": np.arange(COUNT)},
    )
    chatty = onnx_models.save(
        directory / "chatty.onnx",
        [onnx_models.helper.make_node("Expand", ["word", "x"], ["y"])],
        [value("x", "INT64", [1])],
        [value("y", "BYTES", None)],
        {"word": np.array(["word"], dtype=object)},
    )
    models = {"wide": wide, "chatty": chatty, "expand": model_files["expand"]}
    with ServerThread(models) as running:
        yield running


def infer(server: ServerThread, model: str, **parameters: object) -> Answer:
    tensor = {"name": "x", "datatype": "INT64", "shape": [1], "data": [COUNT]}
    return server.infer(model, [tensor], parameters=parameters)


def predict(server: ServerThread, model: str, key: str) -> Answer:
    return server.request("POST", f"/v1/models/{model}:predict", {key: [COUNT]})


REST: dict[str, Callable[[ServerThread], Answer]] = {
    **{f"infer {model}": partial(infer, model=model) for model in ("wide", "chatty", "expand")},
    "infer binary texts": partial(infer, model="chatty", binary_data_output=True),
    **{
        f"predict {key} of {model}": partial(predict, model=model, key=key)
        for model in ("wide", "chatty")
        for key in ("instances", "inputs")
    },
}


@pytest.mark.parametrize("name", REST)
def test_large_rest_answer_is_written_on_a_thread(server: ServerThread, busy: Busy, name: str) -> None:
    answer = answer_while_busy(busy, server, lambda: REST[name](server))
    assert (answer.status, len(answer.body) > COUNT) == (200, True), answer.body[:500]


def infer_message(model: str, *, typed: bool) -> tuple[str, bytes]:
    message = make_message(model, [1], datatype="INT64")
    message.raw_input_contents.append(np.array([COUNT]).tobytes())
    if typed:
        message.parameters["binary_data_output"].bool_param = False
    return f"{OIP}/ModelInfer", message.SerializeToString()


def predict_message(model: str) -> tuple[str, bytes]:
    message = tensorflow_serving_pb2.PredictRequest(model_spec={"name": model})
    values = message.inputs["x"]
    values.dtype = tensorflow_pb2.DT_INT64
    values.tensor_shape.dim.add(size=1)
    values.int64_val.append(COUNT)
    return f"{PREDICTION}/Predict", message.SerializeToString()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        *[infer_message(model, typed=True) for model in ("wide", "chatty", "expand")],
        infer_message("chatty", typed=False),
        *[predict_message(model) for model in ("wide", "chatty")],
    ],
)
def test_large_grpc_answer_is_written_on_a_thread(
    server: ServerThread, busy: Busy, path: str, message: bytes
) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        ask = channel.unary_unary(path)
        assert len(answer_while_busy(busy, server, lambda: ask(message, timeout=120))) > COUNT


def test_binary_answer_needs_no_thread(server: ServerThread, busy: Busy) -> None:
    for model in ("wide", "expand"):
        assert infer(server, model, binary_data_output=True).status == 200


class OwnError(Exception):
    """An error of ours."""


def late(error: Exception | None, outputs: list[Array]) -> HttpResponse | LateAnswer[HttpResponse]:
    def write() -> HttpResponse:
        if error is not None:
            raise error
        return HttpResponse(200, outputs[0].tobytes())

    return LateAnswer(write)


@pytest.mark.parametrize("warm_up", [FAST, SLOW], ids=["inline", "on a thread"])
@pytest.mark.parametrize(
    ("error", "answer", "counts"),
    [
        (None, np.float32(2).tobytes().decode("latin-1"), (1, 0, 0)),
        (InvalidRequestError("it cannot be shown"), "it cannot be shown", (0, 1, 0)),
        (MemoryError(), "there is no memory for an answer", (0, 0, 1)),
        (OwnError(), "internal error", (0, 0, 1)),
    ],
)
async def test_late_answer_is_counted_by_what_comes_of_it(
    warm_up: WarmUp, error: Exception | None, answer: str, counts: tuple[int, int, int]
) -> None:
    model, statistics = GatedModel(), ModelStatistics()
    model.gate.set()
    handle = ModelHandle(model.spec, make_lane(model, warm_up), statistics)
    replies: asyncio.Queue[HttpResponse | ServingError] = asyncio.Queue()
    encode = partial(late, error)
    first = infer_inline(handle, make_request(1), 0, encode)
    assert isinstance(first, LateAnswer) is (warm_up is FAST)
    assert not isinstance(first, HttpResponse)
    call = InferCall(handle, 0, encode, replies.put_nowait)
    call.go_on(make_request(1), first)
    reply = await asyncio.wait_for(replies.get(), 120)
    assert answer in (reply.body.decode("latin-1") if isinstance(reply, HttpResponse) else str(reply))
    failures = statistics.failures
    assert (statistics.success_count, failures["OTHER"], failures["BACKEND"]) == counts
    assert statistics.execution_count == (warm_up is FAST)


async def test_late_answer_that_nobody_waits_for_is_not_given(busy: Busy) -> None:
    model, statistics = GatedModel(), ModelStatistics()
    handle = ModelHandle(model.spec, make_lane(model, FAST), statistics)
    replies: list[object] = []
    encode = partial(late, None)
    first = infer_inline(handle, make_request(1), 0, encode)
    assert isinstance(first, LateAnswer)
    call = InferCall(handle, 0, encode, replies.append)
    call.go_on(make_request(1), first)
    call.cancel()
    busy.gate.set()
    await asyncio.sleep(0.05)
    assert (replies, statistics.failures["CANCELED"], statistics.success_count) == ([], 1, 0)
