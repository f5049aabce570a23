"""Planned decoding and encoding gives what the full one gives, for right requests and wrong ones."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.errors import ServingError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.rest import planned_codec
from modelservice_runtime.protocols.oip.rest.infer_codec import decode_infer, encode_infer
from modelservice_runtime.protocols.oip.rest.planned_codec import InferCodec
from modelservice_runtime.tensors import DATATYPES, TensorSpec
from modelservice_runtime.transport.http import HttpResponse


def make_spec(datatype: str = "FP32", outputs: int = 1) -> ModelSpec:
    tensor = DATATYPES[datatype]
    return ModelSpec(
        "m",
        "1",
        (TensorSpec("x", tensor, (-1, -1)),),
        tuple(TensorSpec(f"y{number}", tensor, (-1, -1)) for number in range(outputs)),
    )


def make_body(data: Any, datatype: str = "FP32", shape: tuple[int, ...] = (1, 2), **fields: Any) -> bytes:
    tensor = {"name": "x", "shape": shape, "datatype": datatype, "data": data}
    return json.dumps({"inputs": [tensor], **fields}).encode()


def outcome(decode: Any) -> object:
    """All that can be told of a decoded request, or the error's sentence."""
    try:
        decoded = decode()
    except ServingError as error:
        return type(error), str(error)
    request = decoded.request
    arrays = {name: (array.dtype, array.shape, array.tolist()) for name, array in request.inputs.items()}
    return (
        arrays,
        list(request.output_names),
        request.id,
        request.timeout_seconds,
        list(decoded.binary_outputs),
    )


def assert_same(codec: InferCodec, body: bytes, header_length: bytes | None = None) -> object:
    planned = outcome(lambda: codec.decode(body, header_length))
    assert planned == outcome(lambda: decode_infer(codec.spec, body, header_length))
    return planned


def trained(body: bytes, spec: ModelSpec, header_length: bytes | None = None) -> InferCodec:
    """A codec that saw this body often enough to have a plan."""
    codec = InferCodec(spec)
    for _ in range(3):
        codec.decode(body, header_length)
    return codec


VALUE = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.sampled_from([True, False, None, "1", [1.0], [], {}, {"b64": "AA=="}, 1e39]),
)


@given(st.lists(st.lists(VALUE, max_size=4), max_size=6), st.sampled_from(sorted(DATATYPES)))
def test_decode_by_plan_gives_what_full_decoding_gives(rows: list[list[Any]], datatype: str) -> None:
    example: Any = ["a", "b"] if datatype == "BYTES" else [1, 0]
    codec = trained(make_body(example, datatype), make_spec(datatype))
    for data in [*rows, rows]:
        assert_same(codec, make_body(data, datatype))


@given(st.binary(max_size=12), st.integers(0, 200))
def test_decode_of_damaged_bodies_gives_what_full_decoding_gives(noise: bytes, place: int) -> None:
    body = make_body([1.5, 2.5], outputs=[{"name": "y0"}], parameters={"timeout": 5})
    codec = trained(body, make_spec())
    assert_same(codec, body[:place] + noise + body[place:])
    assert_same(codec, body[:place] + noise)
    assert_same(codec, body[:place] + noise + body[place + len(noise) :])


def test_decode_by_plan_is_used_for_another_value_and_every_nesting(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = trained(make_body([1, 2], parameters={"timeout": 7}), make_spec())
    monkeypatch.setattr(planned_codec, "decode_infer", None)
    for data in ([3, 4], [[5.5, 6.5]], [[7], [8]]):
        decoded = codec.decode(make_body(data, parameters={"timeout": 7}), None)
        assert decoded.request.inputs["x"].ravel().tolist() == np.ravel(data).tolist()
        assert decoded.request.timeout_seconds == 7e-6


def test_decode_takes_no_other_member_for_the_data() -> None:
    spec = make_spec()
    for number in range(3):
        fields = {"unknown": {"data": [number, number]}}
        tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
        body = json.dumps({**fields, "inputs": [tensor]}).encode()
        codec = trained(body, spec)
        assert not codec._json.by_text
        assert_same(codec, body)


def test_decode_refuses_a_key_that_comes_twice_behind_a_planned_beginning() -> None:
    body = make_body([1, 2])
    codec = trained(body, make_spec())
    twice = body.replace(b"[1, 2]}", b'[1, 2], "data": [3, 4]}')
    error, sentence = assert_same(codec, twice)  # type: ignore[misc]
    assert (error.__name__, "twice" in sentence) == ("InvalidRequestError", True)


def test_decode_by_plan_of_binary_tensors_gives_what_full_decoding_gives() -> None:
    array = np.array([[1, 2]], np.float32)
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = b"%d" % len(header)
    codec = trained(header + array.tobytes(), make_spec(), length)
    assert codec._binary.by_text
    assert_same(codec, header + (array * 3).tobytes(), length)
    assert_same(codec, header + array.tobytes() + b"x", length)
    assert_same(codec, header, length)
    assert_same(codec, header[:-1], length)


def test_decode_refuses_a_header_longer_than_the_body_though_there_is_a_plan_for_the_body() -> None:
    tensor = {"name": "x", "shape": [0, 2], "datatype": "FP32", "parameters": {"binary_data_size": 0}}
    body = json.dumps({"inputs": [tensor]}).encode()
    codec = trained(body, make_spec(), b"%d" % len(body))
    assert codec._binary.by_text
    error, sentence = assert_same(codec, body, b"%d" % (len(body) + 1))  # type: ignore[misc]
    assert (error.__name__, "must be a number from 0" in sentence) == ("InvalidRequestError", True)


def test_plans_are_bounded_and_made_at_the_second_sight() -> None:
    codec = InferCodec(make_spec())
    codec.decode(make_body([1, 2]), None)
    assert not codec._json.by_text
    for number in range(200):
        for _ in range(2):
            codec.decode(make_body([1, 2], shape=(2, 1), parameters={}, id=str(number)), None)
            tensor = {"datatype": "FP32", "name": "x", "shape": [1, 2], "data": [1, 2]}
            codec.decode(json.dumps({"id": str(number), "inputs": [tensor]}).encode(), None)
    assert 0 < len(codec._json.by_text) <= 64


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("binary", [False, True])
def test_encode_by_plan_gives_what_full_encoding_gives(datatype: str, outputs: int, binary: bool) -> None:
    spec = make_spec(datatype, outputs)
    numpy = DATATYPES[datatype].numpy
    arrays = [
        np.array([["a", "bc"]], object) if datatype == "BYTES" else np.array([[1, 0]]).astype(numpy)
        for _ in range(outputs)
    ]
    data = ["a", "b"] if datatype == "BYTES" else [1, 0]
    codec = InferCodec(spec)
    decoded = codec.decode(make_body(data, datatype, parameters={"binary_data_output": binary}), None)
    for _ in range(3):
        assert flat(codec.encode(decoded, arrays)) == flat(encode_infer(spec, decoded, arrays))


@pytest.mark.parametrize("datatype", ["FP32", "BOOL"])
@pytest.mark.parametrize("binary", [False, True])
def test_encode_by_plan_repeats_the_id_of_each_request(datatype: str, binary: bool) -> None:
    spec = make_spec(datatype, 2)
    plain = make_body([1, 0], datatype, parameters={"binary_data_output": binary})
    codec = trained(plain, spec)
    arrays = [np.array([[value, 0]]).astype(DATATYPES[datatype].numpy) for value in (1, 0)]
    for request_id in ("a-1", None, '"outputs":', "ü", "b"):
        body = (
            plain if request_id is None else b'{"id": %b, %b' % (json.dumps(request_id).encode(), plain[1:])
        )
        decoded = codec.decode(body, None)
        assert decoded.request.id == request_id
        assert flat(codec.encode(decoded, arrays)) == flat(encode_infer(spec, decoded, arrays))


def test_encode_by_plan_writes_values_without_a_json_form_as_tokens() -> None:
    codec = InferCodec(make_spec())
    decoded = codec.decode(make_body([1, 2]), None)
    for values in ([1, 2], [np.nan, -np.inf], [3, 4]):
        outputs = [np.array([values], np.float32)]
        assert flat(codec.encode(decoded, outputs)) == flat(encode_infer(codec.spec, decoded, outputs))


def flat(response: HttpResponse) -> tuple[int, bytes, bytes, object]:
    body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    return response.status, body, response.content_type, response.headers
