"""Every datatype through every protocol and format, there and back, with a real session in between.

What matters is who makes the arrays: ONNX Runtime's are of other C types than numpy's own (`longlong`), and
what works for the one need not work for the other.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from tests.unit.runtime import onnx_models
from tests.unit.runtime.onnx_models import ONNX_TYPES
from tests.unit.runtime.protocols.oip import oip_messages

from modelservice_runtime.errors import InferenceFailedError, InvalidRequestError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.onnx.model import OnnxModel, load_onnx_model
from modelservice_runtime.protocols.oip.grpc.contents import encode_contents
from modelservice_runtime.protocols.oip.grpc.request import (
    bind_head,
    decode_inputs,
    parse_head,
    split_request,
)
from modelservice_runtime.protocols.oip.grpc.response import encode_response, encode_typed_response
from modelservice_runtime.protocols.oip.rest.infer_codec import decode_infer, encode_infer
from modelservice_runtime.protocols.tensors.binary_codec import encode_buffer
from modelservice_runtime.protocols.tfs.grpc.predict import (
    cut_predict_request,
    decode_predict_request,
    encode_predict_response,
)
from modelservice_runtime.protocols.tfs.grpc.tensors import encode_tensor_proto
from modelservice_runtime.protocols.tfs.rest.example_codec import prepare_classify, prepare_regress
from modelservice_runtime.protocols.tfs.rest.predict_codec import prepare_predict
from modelservice_runtime.protos import inference_pb2, tensorflow_pb2, tensorflow_serving_pb2
from modelservice_runtime.settings.sessions import SessionSettings
from modelservice_runtime.tensors import Array, InferRequest, TensorSpec, bf16_from_fp32, fp32_from_bf16
from modelservice_runtime.transport.http import HttpResponse

FLOATS = [np.nan, np.inf, -np.inf, -0.0, 1.5, -2.0, 0.1, 65504.0]
TEXTS = ["", "a", "é日本🎉", "a\0b", "null", "NaN", '"\\', "\n"]


def special_values(datatype: str) -> Array:
    """Eight values at the edges of a datatype, BF16 as its bits."""
    if datatype == "BYTES":
        return np.array(TEXTS, object)
    if datatype == "BOOL":
        return np.array([True, False] * 4)
    if datatype == "BF16":
        return bf16_from_fp32(np.array(FLOATS, np.float32))
    kind = onnx_models.helper.tensor_dtype_to_np_dtype(ONNX_TYPES[datatype])
    if kind.kind == "f":
        largest = np.finfo(kind)
        return np.array([*FLOATS[:-2], largest.max, largest.smallest_subnormal], kind)
    limits = np.iinfo(kind)
    return np.array([limits.min, limits.max, limits.max - 1, 0, 1, 2, 3, limits.min + 1], kind)


SHAPES: dict[str, list[tuple[int, ...]]] = {
    "none": [()],
    "one": [(8,), (0,), (1,)],
    "two": [(4, 2), (0, 2), (1, 8), (3, 0)],
}
RANKS: dict[str, list[Any]] = {"none": [], "one": ["n"], "two": ["n", "m"]}


def arrays(datatype: str, rank: str) -> list[Array]:
    values = special_values(datatype)
    if rank == "none":
        return [
            values[index].reshape(()) if datatype != "BYTES" else scalar(values[index]) for index in range(8)
        ]
    return [values[: int(np.prod(shape))].reshape(shape) for shape in SHAPES[rank]]


def scalar(text: str) -> Array:
    array: Array = np.empty((), object)
    array[()] = text
    return array


@pytest.fixture(scope="session")
def session_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], OnnxModel]:
    """A model of a datatype and a rank: y = x, count = how many elements x has (INT64, as a vector)."""
    directory = tmp_path_factory.mktemp("datatypes")

    @cache
    def load(datatype: str, rank: str) -> OnnxModel:
        path = save_model(directory / f"{datatype}{rank}.onnx", datatype, RANKS[rank])
        return load_onnx_model(path, "m", "1", SessionSettings(("CPU",), 1))

    return load


def save_model(path: Path, datatype: str, shape: list[Any]) -> Path:
    nodes = [
        helper.make_node("Identity", ["x"], ["y"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ReduceProd", ["shape"], ["size"], keepdims=0),
        # As many numbers as y has rows, so that the two can be rows together.
        helper.make_node("Slice", ["shape", "zero", "one"], ["rows"]),
        helper.make_node("Expand", ["size", "rows"], ["count"]),
    ]
    count = onnx_models.value("count", "INT64", ["n"] if shape else [])
    if not shape:
        nodes[3:] = [helper.make_node("Identity", ["size"], ["count"])]
    values = [onnx_models.value(name, datatype, shape) for name in ("x", "y")]
    weights = {"zero": np.array([0]), "one": np.array([1])} if shape else {}
    return onnx_models.save(path, nodes, values[:1], [values[1], count], weights)


# What each protocol and format makes of an array: the model's request, and of outputs: their values by name.
Way = Callable[[ModelSpec, Array, Callable[[InferRequest], list[Array]]], dict[str, Any]]


def plain(tensor: TensorSpec, array: Array) -> Array:
    return fp32_from_bf16(array) if tensor.datatype.name == "BF16" else array


def json_data(tensor: TensorSpec, array: Array) -> str:
    return json.dumps(plain(tensor, array).tolist())


def whole(body: Any) -> bytes:
    return body if isinstance(body, bytes) else b"".join(map(bytes, body))


def read_v2(spec: ModelSpec, response: HttpResponse) -> dict[str, Any]:
    body, found, end = whole(response.body), {}, None
    length = dict(response.headers).get(b"Inference-Header-Content-Length")
    if length is not None:
        end = int(length)
    position = end or 0
    for output in json.loads(body[:end])["outputs"]:
        tensor = spec.output_by_name[output["name"]]
        if "data" in output:
            values = output["data"]
        else:
            size = output["parameters"]["binary_data_size"]
            values = from_buffer(tensor, body[position : position + size])
            position += size
        found[tensor.name] = as_array(tensor, values, output["shape"])
    assert position in (0, len(body))
    return found


def from_buffer(tensor: TensorSpec, buffer: bytes) -> Any:
    if tensor.datatype.name != "BYTES":
        return plain(tensor, np.frombuffer(buffer, tensor.datatype.numpy))
    texts = []
    while buffer:
        end = 4 + int.from_bytes(buffer[:4], "little")
        texts.append(buffer[4:end].decode())
        buffer = buffer[end:]
    return texts


def as_array(tensor: TensorSpec, values: Any, shape: Any) -> Array:
    datatype = np.float32 if tensor.datatype.name == "BF16" else tensor.datatype.numpy
    flat: Array = np.empty(int(np.prod(shape, dtype=int)), datatype)
    flat[:] = values
    return flat.reshape(shape)


def by_v2(binary: bool, spec: ModelSpec, array: Array, run: Any) -> dict[str, Any]:
    tensor = spec.inputs[0]
    entry = {"name": "x", "datatype": tensor.datatype.name, "shape": array.shape}
    if binary:
        buffer = bytes(encode_buffer(tensor, array))
        entry["parameters"] = {"binary_data_size": len(buffer)}
        head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
        decoded = decode_infer(spec, head + buffer, b"%d" % len(head))
    else:
        body = json.dumps({"inputs": [entry | {"data": "DATA"}]}).replace('"DATA"', json_data(tensor, array))
        decoded = decode_infer(spec, body.encode(), None)
    return read_v2(spec, encode_infer(spec, decoded, run(decoded.request)))


def by_grpc(typed: bool, spec: ModelSpec, array: Array, run: Any) -> dict[str, Any]:
    tensor = spec.inputs[0]
    message = oip_messages.make_request(shape=array.shape, datatype=tensor.datatype.name)
    if typed and tensor.datatype.name not in ("FP16", "BF16"):
        contents = whole(encode_contents(tensor, array))
        message.inputs[0].contents.CopyFrom(inference_pb2.InferTensorContents.FromString(contents))
        message.parameters["binary_data_output"].bool_param = False
    else:
        message.raw_input_contents.append(bytes(encode_buffer(tensor, array)))
    split = split_request(message.SerializeToString())
    head = parse_head(split.head)
    bound = bind_head(head, spec)
    outputs = run(decode_inputs(head, bound, split))
    encode = encode_typed_response if head.typed_outputs else encode_response
    answer = inference_pb2.ModelInferResponse.FromString(whole(encode(bound, b"", outputs)))
    found = {}
    for index, output in enumerate(answer.outputs):
        described = spec.output_by_name[output.name]
        if head.typed_outputs:
            fields = [list(values) for _, values in output.contents.ListFields()]
            values = fields[0] if fields else []
            values = [each.decode() if isinstance(each, bytes) else each for each in values]
        else:
            values = from_buffer(described, answer.raw_output_contents[index])
        found[output.name] = as_array(described, values, output.shape)
    return found


def by_predict(format_: str, spec: ModelSpec, array: Array, run: Any) -> dict[str, Any]:
    body = f'{{"{format_}":{json_data(spec.inputs[0], array)}}}'.encode()
    prepared = prepare_predict(spec, body)
    answer = json.loads(whole(prepared.encode(run(prepared.request))))
    values = answer["outputs" if format_ == "inputs" else "predictions"]
    if len(spec.outputs) == 1:
        columns = {spec.outputs[0].name: values}
    elif format_ == "inputs":
        columns = values
    else:
        columns = {tensor.name: [row[tensor.name] for row in values] for tensor in spec.outputs}
    shapes = {"y": array.shape, "count": array.shape[:1]}
    return {name: as_array(spec.output_by_name[name], flat(v), shapes[name]) for name, v in columns.items()}


def flat(values: Any) -> list[Any]:
    if not isinstance(values, list):
        return [values]
    return [each for value in values for each in flat(value)]


def by_tfs_grpc(spec: ModelSpec, array: Array, run: Any) -> dict[str, Any]:
    message = tensorflow_serving_pb2.PredictRequest(model_spec={"name": "m"})
    message.inputs["x"].CopyFrom(
        tensorflow_pb2.TensorProto.FromString(whole(encode_tensor_proto(spec.inputs[0], array)))
    )
    request = decode_predict_request(spec, cut_predict_request(message.SerializeToString()))
    encoded = whole(encode_predict_response(spec, request.output_names, run(request)))
    answer = tensorflow_serving_pb2.PredictResponse.FromString(encoded)
    found = {}
    for name, tensor in answer.outputs.items():
        described = spec.output_by_name[name]
        shape = [dimension.size for dimension in tensor.tensor_shape.dim]
        fields = [list(v) for field, v in tensor.ListFields() if field.name.endswith("_val")]
        values: Any = fields[0] if fields else []
        if described.datatype.name in ("FP16", "BF16"):
            values = plain(described, np.array(values, np.uint16).view(described.datatype.numpy))
        values = [each.decode() if isinstance(each, bytes) else each for each in values]
        found[name] = as_array(described, values, shape)
    return found


WAYS: dict[str, Way] = {
    "V2 JSON": lambda *given: by_v2(False, *given),
    "V2 binary": lambda *given: by_v2(True, *given),
    "gRPC raw": lambda *given: by_grpc(False, *given),
    "gRPC contents": lambda *given: by_grpc(True, *given),
    "rows": lambda *given: by_predict("instances", *given),
    "columns": lambda *given: by_predict("inputs", *given),
    "TensorFlow gRPC": by_tfs_grpc,
}


@pytest.mark.parametrize("outputs", [("y",), ("y", "count")])
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("datatype", ONNX_TYPES)
@pytest.mark.parametrize("way", WAYS)
def test_every_value_comes_back_as_it_went(
    session_of: Callable[[str, str], OnnxModel], way: str, datatype: str, rank: str, outputs: tuple[str, ...]
) -> None:
    model = session_of(datatype, rank)
    spec = ModelSpec("m", "1", model.spec.inputs, tuple(model.spec.output_by_name[name] for name in outputs))
    for array in arrays(datatype, rank):
        if way in ("rows", "columns") and is_beyond_json(array):
            continue
        if way == "rows" and (rank == "none" or not len(array)):
            with pytest.raises(InvalidRequestError):
                WAYS[way](spec, array, lambda request: model.run(request.inputs, request.output_names))
            continue
        found = WAYS[way](spec, array, lambda request: model.run(request.inputs, request.output_names))
        assert set(found) == set(outputs)
        assert_same(found["y"], plain(spec.inputs[0], array))
        if "count" in outputs:
            assert found["count"].ravel().tolist() == [array.size] * found["count"].size


def is_beyond_json(array: Array) -> bool:
    """Nested lists do not tell how many dimensions an array without values has behind the empty one."""
    return array.ndim > 1 and 0 in array.shape


def assert_same(found: Array, given: Array) -> None:
    assert (found.shape, found.dtype) == (given.shape, given.dtype)
    if found.dtype.kind == "f":
        assert np.array_equal(np.signbit(found[~np.isnan(found)]), np.signbit(given[~np.isnan(given)]))
        assert np.array_equal(found, given, equal_nan=True)
    else:
        assert found.tolist() == given.tolist()


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_examples_are_classified_and_regressed_with_every_float(
    session_of: Callable[[str, str], OnnxModel], datatype: str
) -> None:
    model = session_of(datatype, "two")
    spec = ModelSpec("m", "1", model.spec.inputs, (model.spec.output_by_name["y"],))
    values = special_values(datatype)
    texts = json_data(spec.inputs[0], values)
    body = f'{{"examples":[{{"x":{texts}}}]}}'.encode()
    classified = prepare_classify(spec, body)
    answer = json.loads(whole(classified.encode(model.run(classified.request.inputs, ("y",)))))
    assert_same(
        as_array(spec.outputs[0], [s for _, s in answer["results"][0]], [8]), plain(spec.inputs[0], values)
    )
    body = f'{{"examples":[{",".join(f"""{{"x":[{one}]}}""" for one in texts[1:-1].split(","))}]}}'.encode()
    regressed = prepare_regress(spec, body)
    answer = json.loads(whole(regressed.encode(model.run(regressed.request.inputs, ("y",)))))
    assert_same(as_array(spec.outputs[0], answer["results"], [8]), plain(spec.inputs[0], values))


def test_output_that_is_no_text_is_an_error_of_the_model(tmp_path: Path) -> None:
    table = onnx_models.onnx.TensorProto(
        name="table", data_type=ONNX_TYPES["BYTES"], dims=[2], string_data=[b"\xff\xfe", "é".encode()]
    )
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        [onnx_models.value("x", "INT64", ["n"])],
        [onnx_models.value("y", "BYTES", ["n"])],
    )
    document = onnx_models.onnx.load(path)
    document.graph.initializer.append(table)
    onnx_models.onnx.save(document, path)
    model = load_onnx_model(path, "m", "1", SessionSettings(("CPU",), 1))
    assert model.run({"x": np.array([1])}, ("y",))[0].tolist() == ["é"]
    with pytest.raises(InferenceFailedError, match="not UTF-8"):
        model.run({"x": np.array([0])}, ("y",))
