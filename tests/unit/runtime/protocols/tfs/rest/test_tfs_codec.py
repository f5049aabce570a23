"""PredictRequest to arrays and arrays to PredictResponse, as TensorFlow writes and reads them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.unit.runtime.protocols.oip.oip_messages import model_of

from modelservice_runtime.errors import InvalidRequestError, ServingError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.tensors.protobuf_wire import encode_field
from modelservice_runtime.protocols.tfs.documents import TF_DTYPES
from modelservice_runtime.protocols.tfs.grpc.predict import (
    cut_predict_request,
    decode_predict_request,
    encode_predict_response,
)
from modelservice_runtime.protos import tensorflow_pb2 as tf
from modelservice_runtime.protos import tensorflow_serving_pb2 as pb
from modelservice_runtime.tensors import BYTES, DATATYPES, FP32, Array, InferRequest, TensorSpec

VALUE_FIELDS = {
    "FP32": "float_val", "FP64": "double_val", "INT32": "int_val", "INT16": "int_val", "INT8": "int_val",
    "UINT16": "int_val", "UINT8": "int_val", "INT64": "int64_val", "BOOL": "bool_val", "FP16": "half_val",
    "BF16": "half_val", "UINT32": "uint32_val", "UINT64": "uint64_val", "BYTES": "string_val",
}  # fmt: skip
TWO = ModelSpec(
    "m",
    "7",
    (TensorSpec("x", FP32, (-1, 2)), TensorSpec("t", BYTES, (-1,))),
    (TensorSpec("y", FP32, (-1, 2)), TensorSpec("z", BYTES, (-1,))),
)


def values_of(datatype: str, array: Array) -> list[Any]:
    if datatype == "BYTES":
        return [text.encode() for text in array.ravel().tolist()]
    bits = array.view(np.uint16) if datatype in ("FP16", "BF16") else array
    return bits.ravel().tolist()


def make_tensor(datatype: str, shape: Any, **values: Any) -> tf.TensorProto:
    tensor = tf.TensorProto(dtype=TF_DTYPES[datatype], **values)
    tensor.tensor_shape.SetInParent()
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def make_request(*tensors: tf.TensorProto, names: str = "xt", **fields: Any) -> pb.PredictRequest:
    request = pb.PredictRequest(model_spec={"name": "m"}, **fields)
    for name, tensor in zip(names, tensors, strict=False):
        request.inputs[name].CopyFrom(tensor)
    return request


def decode(spec: ModelSpec, request: pb.PredictRequest | bytes) -> InferRequest:
    message = request if isinstance(request, bytes) else request.SerializeToString()
    return decode_predict_request(spec, cut_predict_request(message))


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Array]:
    name = draw(st.sampled_from(sorted(DATATYPES)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    if name == "BYTES":
        texts = st.text(st.characters(codec="utf-8"), max_size=4)
        return name, draw(hnp.arrays(object, shape, elements=texts))
    return name, draw(hnp.arrays(DATATYPES[name].numpy, shape))


@given(case=arrays(), as_content=st.booleans())
def test_tensor_round_trip(case: tuple[str, Array], as_content: bool) -> None:
    datatype, array = case
    spec = model_of(datatype)
    values = values_of(datatype, array)
    if as_content and datatype != "BYTES":
        tensor = make_tensor(datatype, array.shape, tensor_content=array.tobytes())
    else:
        tensor = make_tensor(datatype, array.shape, **{VALUE_FIELDS[datatype]: values})

    decoded = decode(spec, make_request(tensor)).inputs["x"]
    response = pb.PredictResponse.FromString(b"".join(encode_predict_response(spec, ("y",), [array])))

    assert (decoded.dtype, decoded.shape) == (array.dtype, array.shape)
    assert repr(values_of(datatype, decoded)) == repr(values)
    answer = response.outputs["y"]
    assert tf.DataType.Name(answer.dtype) == TF_DTYPES[datatype]
    assert tuple(dimension.size for dimension in answer.tensor_shape.dim) == array.shape
    assert repr(list(getattr(answer, VALUE_FIELDS[datatype]))) == repr(values)
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 1)
    assert response.model_spec.signature_name == "serving_default"


@pytest.mark.parametrize(
    ("values", "expected"), [([], [0, 0, 0]), ([5], [5, 5, 5]), ([5, 6], [5, 6, 6]), ([5, 6, 7], [5, 6, 7])]
)
def test_fewer_values_stand_for_the_rest(values: list[int], expected: list[int]) -> None:
    tensor = make_tensor("INT32", [3], int_val=values)
    assert decode(model_of("INT32"), make_request(tensor)).inputs["x"].tolist() == expected


def test_large_tensors_are_not_copied() -> None:
    array = np.zeros(8192, np.float32)
    message = make_request(make_tensor("FP32", [8192], tensor_content=array.tobytes())).SerializeToString()
    assert cut_predict_request(message).inputs[0].obj is message
    buffers = encode_predict_response(model_of("FP32"), ("y",), [array])
    assert any(isinstance(part, memoryview) and np.shares_memory(part, array) for part in buffers)


def test_output_filter_keeps_its_order() -> None:
    inputs = make_tensor("FP32", [1, 2]), make_tensor("BYTES", [0])
    assert decode(TWO, make_request(*inputs)).output_names == ("y", "z")
    assert decode(TWO, make_request(*inputs, output_filter=["z", "y"])).output_names == ("z", "y")


def one(datatype: str, shape: Any, **values: Any) -> Callable[[], pb.PredictRequest]:
    return lambda: make_request(make_tensor(datatype, shape, **values))


WRONG: dict[str, tuple[str, Callable[[], pb.PredictRequest | bytes], str]] = {
    "datatype": ("FP32", one("FP64", [1]), "has datatype 'FP64', but the model expects FP32"),
    "no datatype": ("FP32", lambda: make_request(tf.TensorProto()), "the model expects FP32"),
    "negative": ("FP32", one("FP32", [-1]), "every dimension"),
    "too many": ("FP32", one("FP32", [1], float_val=[1, 2]), r"has 2 values, but \[1\] needs 1"),
    "grows": ("FP32", one("FP32", [1 << 19], float_val=[1]), "repeated to 524288; that is done up to"),
    "overflow": ("FP32", one("FP32", [2**50], float_val=[1]), "too large"),
    "content": ("FP32", one("FP32", [1], tensor_content=b"abc"), "has 3 bytes"),
    "text content": ("BYTES", one("BYTES", [1], tensor_content=b"abc"), "send it in string_val"),
    "few texts": ("BYTES", one("BYTES", [2], string_val=[b"a"]), "has 1 elements"),
    "no UTF-8": ("BYTES", one("BYTES", [1], string_val=[b"\xff"]), "not UTF-8"),
    "other field": ("FP32", one("FP32", [1], double_val=[1]), "double_val, which is not for DT_FLOAT"),
    "out of range": ("UINT8", one("UINT8", [1], int_val=[256]), "out of range for UINT8"),
    "twice": ("FP32", lambda: one("FP32", [1])().SerializeToString() * 2, "'x' appears twice"),
    "two values": ("FP32", lambda: encode_field(2, b"\x12\x00\x12\x00"), "two keys or values"),
    "both": ("FP32", one("FP32", [1], tensor_content=bytes(4), float_val=[1]), "not beside tensor_content"),
    "name": ("FP32", lambda: make_request(make_tensor("FP32", [1]), names="w"), "'w' is unknown"),
    "missing": ("FP32", make_request, "missing input: 'x'"),
    "output": (
        "FP32",
        lambda: make_request(make_tensor("FP32", [1], float_val=[1]), output_filter=["w"]),
        "output 'w' is unknown",
    ),
    "signature": (
        "FP32",
        lambda: pb.PredictRequest(model_spec={"name": "m", "signature_name": "other"}),
        "signature 'other' is unknown",
    ),
    "truncated": ("FP32", lambda: one("FP32", [1])().SerializeToString()[:-1], "ends within a field"),
    "crumbs": ("FP32", lambda: b"\x1a\x00" * 20_000, "too many fields"),
    "rank": (
        "FP32",
        lambda: tensor_by_hand(b"\x08\x01" + encode_field(2, b"\x12\x00" * 40)),
        "40 dimensions",
    ),
    "dimensions": (
        "FP32",
        lambda: tensor_by_hand(encode_field(2, b"\x12\x00" * 10_000)),
        "beside its values",
    ),
    "many strings": ("FP32", lambda: tensor_by_hand(b"\x42\x00" * 300_000), "too many fields"),
    "key": ("FP32", lambda: encode_field(2, b"\x0a\x01\xff"), "not UTF-8"),
    "shape as a number": ("FP32", lambda: tensor_by_hand(b"\x10\x01"), "the model expects FP32"),
    "name as a number": ("FP32", lambda: b"\x0a\x02\x08\x01", "missing input"),
    "name in Latin-1": ("FP32", lambda: b"\x0a\x03\x0a\x01\xff", "not UTF-8"),
}


def tensor_by_hand(fields: bytes) -> bytes:
    return encode_field(2, encode_field(1, b"x") + encode_field(2, fields))


@pytest.mark.parametrize("case", WRONG)
def test_wrong_request_is_refused_with_a_sentence(case: str) -> None:
    datatype, build, sentence = WRONG[case]
    with pytest.raises(InvalidRequestError, match=sentence):
        decode(model_of(datatype), build())


VALID = make_request(make_tensor("FP32", [2], float_val=[1, 2])).SerializeToString()


@given(
    message=st.binary(max_size=80)
    | st.tuples(st.integers(0, 40), st.binary(max_size=3)).map(
        lambda edit: VALID[: edit[0]] + edit[1] + VALID[edit[0] + len(edit[1]) :]
    )
)
def test_any_bytes_end_in_a_request_or_a_typed_error(message: bytes) -> None:
    try:
        decoded = decode(model_of("FP32"), message)
    except ServingError:
        return
    assert list(decoded.inputs) == ["x"]
