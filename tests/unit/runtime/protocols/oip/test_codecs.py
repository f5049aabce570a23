"""JSON and binary tensors: round trips, and no input that ends in anything but an answer or a typed error."""

import json
import math
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelservice_runtime.errors import InvalidRequestError, PayloadTooLargeError, ServingError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.rest.infer_codec import decode_infer, encode_infer
from modelservice_runtime.protocols.tensors.binary_codec import decode_buffer, encode_buffer
from modelservice_runtime.protocols.tensors.json_codec import (
    decode_object,
    decode_tensor,
    encode_values,
)
from modelservice_runtime.tensors import BYTES, DATATYPES, FP32, TensorSpec

NUMERIC = [datatype for datatype in DATATYPES.values() if datatype.item_bytes and datatype.name != "BF16"]
MODEL = ModelSpec(
    "m",
    "1",
    (TensorSpec("x", FP32, (-1, 2)), TensorSpec("t", BYTES, (-1,))),
    (TensorSpec("y", FP32, (-1, 2)),),
)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[TensorSpec, np.ndarray]:
    datatype = draw(st.sampled_from(NUMERIC))
    elements: dict[str, Any] | None = None
    if datatype.is_float:
        elements = {"allow_nan": False, "allow_infinity": False}
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    array = draw(hnp.arrays(datatype.numpy, shape, elements=elements))
    return TensorSpec("x", datatype, None), array


@given(case=arrays())
def test_json_tensor_round_trip(case: tuple[TensorSpec, np.ndarray]) -> None:
    spec, array = case
    text = encode_values(spec, array.ravel())
    data = json.loads(text)
    decoded = decode_tensor(spec, array.shape, data, text)
    assert decoded.dtype == array.dtype
    assert np.array_equal(decoded, array)
    nested = decode_tensor(spec, array.shape, array.tolist(), b"")
    assert np.array_equal(nested, array)


@given(case=arrays())
def test_binary_tensor_round_trip(case: tuple[TensorSpec, np.ndarray]) -> None:
    spec, array = case
    assert np.array_equal(decode_buffer(spec, array.shape, encode_buffer(spec, array)), array)


@given(texts=st.lists(st.text(st.characters(codec="utf-8")), max_size=8))
def test_bytes_tensor_round_trip(texts: list[str]) -> None:
    spec = TensorSpec("x", BYTES, (-1,))
    array = np.array([*texts, None], dtype=object)[:-1]
    assert decode_buffer(spec, [len(texts)], encode_buffer(spec, array)).tolist() == texts
    assert decode_tensor(spec, [len(texts)], texts, b"").tolist() == texts


@given(offset=st.integers(0, 7))
def test_decode_buffer_of_misaligned_memory_gives_aligned_arrays(offset: int) -> None:
    data = bytes(offset) + struct.pack("<4d", 1, 2, 3, 4)
    spec = TensorSpec("x", DATATYPES["FP64"], (-1,))
    array = decode_buffer(spec, [4], memoryview(data)[offset:])
    assert array.flags.aligned
    assert array.tolist() == [1, 2, 3, 4]


@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=20),
    datatype=st.sampled_from(["FP32", "FP64"]),
)
def test_encode_values_writes_non_finite_numbers_as_tokens(values: list[float], datatype: str) -> None:
    spec = TensorSpec("y", DATATYPES[datatype], (-1,))
    array = np.array(values, spec.datatype.numpy)
    decoded = json.loads(encode_values(spec, array))
    for got, expected in zip(decoded, array.tolist(), strict=True):
        assert got == pytest.approx(expected, rel=1e-6) or (math.isnan(got) and math.isnan(expected))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "t", "y"]) | JSON_VALUES,
        "datatype": st.sampled_from(["FP32", "BYTES"]) | JSON_VALUES,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | JSON_VALUES,
        "data": st.lists(st.integers(0, 9) | st.text(max_size=2), max_size=6) | JSON_VALUES,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 30)})
        | JSON_VALUES,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=3) | JSON_VALUES,
        "inputs": st.lists(FIELDS, max_size=3) | JSON_VALUES,
        "outputs": st.lists(FIELDS, max_size=3) | JSON_VALUES,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_output": st.booleans()}) | JSON_VALUES,
    },
)


@given(document=DOCUMENTS, binary=st.binary(max_size=40), with_header=st.booleans())
def test_decode_infer_of_any_document_is_a_request_or_a_typed_error(
    document: dict[str, Any], binary: bytes, with_header: bool
) -> None:
    head = json.dumps(document).encode()
    length = str(len(head)).encode() if with_header else None
    with suppress(ServingError):
        decoded = decode_infer(MODEL, head + binary if with_header else head, length)
        assert set(decoded.request.inputs) == {"x", "t"}


@given(body=st.binary(max_size=60), header=st.none() | st.integers(0, 60).map(lambda n: str(n).encode()))
def test_decode_infer_of_any_bytes_is_a_typed_error(body: bytes, header: bytes | None) -> None:
    with pytest.raises(ServingError):
        decode_infer(MODEL, body, header)


@pytest.mark.parametrize(
    ("declared", "shape"),
    [
        ((-1, -1), (1, 3)),
        ((-1, 1), (3, 1)),
        ((-1, 3), (1, 3)),
        ((-1,), (3,)),
        ((3, -1), (3, 1)),
        (None, (3,)),
    ],
)
def test_decode_infer_of_a_raw_request_is_one_row_unless_its_size_tells_how_many(
    declared: tuple[int, ...] | None, shape: tuple[int, ...]
) -> None:
    spec = ModelSpec("m", "1", (TensorSpec("x", FP32, declared),), (TensorSpec("y", FP32, (-1,)),))
    assert decode_infer(spec, bytes(12), b"0").request.inputs["x"].shape == shape


def test_decode_infer_of_a_raw_request_whose_shape_cannot_be_told_is_refused() -> None:
    spec = ModelSpec("m", "1", (TensorSpec("x", FP32, (-1, -1, -1)),), (TensorSpec("y", FP32, (-1,)),))
    with pytest.raises(InvalidRequestError, match="at most one variable dimension behind the first"):
        decode_infer(spec, bytes(12), b"0")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ":", "b": {"c": "d:e"}}',
        '{"a": [[{"b": 1}], {"c": ":"}]}',
        '{"data": [1, {"b64": "YQ=="}]}',
        "{}",
    ],
)
def test_decode_object_with_colons_in_unusual_places_is_not_a_duplicate(text: str) -> None:
    assert decode_object(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 1}', '{"a": [[{"b": 1, "b": 2}]]}', '{"a": [1, {"b": ":", "b": 2}]}', '{"": 1, "": 2}'],
)
def test_decode_object_with_duplicate_keys_is_refused_wherever_they_are(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="twice"):
        decode_object(text.encode())


def test_decode_object_with_millions_of_arrays_is_too_large() -> None:
    with pytest.raises(PayloadTooLargeError, match="one flat array"):
        decode_object(b'{"a":[' + b"[]," * 1_000_000 + b"[]]}")


def test_encode_infer_names_outputs_and_echoes_the_id() -> None:
    inputs = [
        {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
        {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["a"]},
    ]
    body = json.dumps({"id": "7", "inputs": inputs}).encode()
    decoded = decode_infer(MODEL, body, None)
    response = encode_infer(MODEL, decoded, [np.array([[0.1, 0.2]], np.float32)])
    assert response.body == (
        b'{"model_name":"m","model_version":"1","id":"7",'
        b'"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.1,0.2]}]}'
    )
