"""What a request may hold beside its bytes: elements of BYTES and values of JSON, in every protocol."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.runtime.protocols.oip.oip_messages import decode, make_request, model_of

from modelservice_runtime.errors import PayloadTooLargeError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.rest.infer_codec import decode_infer
from modelservice_runtime.protocols.tensors import json_codec
from modelservice_runtime.protocols.tfs.grpc.predict import cut_predict_request, decode_predict_request
from modelservice_runtime.protocols.tfs.rest.example_codec import prepare_regress
from modelservice_runtime.protocols.tfs.rest.predict_codec import prepare_predict
from modelservice_runtime.protos import tensorflow_pb2, tensorflow_serving_pb2
from modelservice_runtime.tensors import MAX_TEXTS
from modelservice_runtime.transport import pieces

SPEC = model_of("BYTES")


def infer_json(count: int) -> Any:
    tensor = {"name": "x", "datatype": "BYTES", "shape": [count], "data": ["a"] * count}
    body = json.dumps({"inputs": [tensor]}).encode()
    return decode_infer(SPEC, body, None).request


def infer_binary(count: int) -> Any:
    parameters = {"binary_data_size": 5 * count}
    tensor = {"name": "x", "datatype": "BYTES", "shape": [count], "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    body = head + b"\1\0\0\0a" * count
    return decode_infer(SPEC, body, b"%d" % len(head)).request


def predict_json(count: int) -> Any:
    return prepare_predict(SPEC, json.dumps({"instances": ["a"] * count}).encode()).request


def predict_objects(count: int) -> Any:
    return prepare_predict(SPEC, json.dumps({"instances": [{"x": "a"}] * count}).encode()).request


def examples_json(count: int) -> Any:
    spec = ModelSpec("m", "1", SPEC.inputs, model_of("FP32").outputs)
    return prepare_regress(spec, json.dumps({"examples": [{"x": "a"}] * count}).encode()).request


def infer_raw(count: int) -> Any:
    request = make_request(shape=[count], datatype="BYTES")
    request.raw_input_contents.append(b"\1\0\0\0a" * count)
    return decode(SPEC, request)


def infer_typed(count: int) -> Any:
    request = make_request(shape=[count], datatype="BYTES")
    request.inputs[0].contents.bytes_contents.extend([b"a"] * count)
    return decode(SPEC, request)


def predict_message(count: int) -> Any:
    request = tensorflow_serving_pb2.PredictRequest(model_spec={"name": "m"})
    values = request.inputs["x"]
    values.dtype = tensorflow_pb2.DT_STRING
    values.tensor_shape.dim.add(size=count)
    values.string_val.extend([b"a"] * count)
    return decode_predict_request(SPEC, cut_predict_request(request.SerializeToString()))


PROTOCOLS = [
    infer_json, infer_binary, predict_json, predict_objects, examples_json, infer_raw, infer_typed,
    predict_message,
]  # fmt: skip


@pytest.mark.parametrize("decode_texts", PROTOCOLS)
def test_decode_of_too_many_texts_is_refused(decode_texts: Callable[[int], Any]) -> None:
    with pytest.raises(PayloadTooLargeError, match=f"'x' has {MAX_TEXTS + 1} BYTES elements"):
        decode_texts(MAX_TEXTS + 1)


@pytest.mark.parametrize("decode_texts", PROTOCOLS)
def test_decode_of_the_most_texts_is_allowed(
    decode_texts: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelservice_runtime.tensors.MAX_TEXTS", 100)
    assert decode_texts(100).inputs["x"].ravel().tolist() == ["a"] * 100


@pytest.mark.parametrize(
    "data",
    [
        ",".join(['""'] * 1_000_002),
        ",".join(["1"] * 1_000_001) + ',"x"',
        '"' + "," * 900_000 + '",' + ",".join(["null"] * 1_000_001),
    ],
    ids=["texts", "numbers and a text", "commas in a text"],
)
def test_json_of_too_many_values_is_refused_before_it_is_parsed(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_codec, "orjson", None)
    with pytest.raises(PayloadTooLargeError, match="more than 1000000 values"):
        json_codec.decode_object(f'{{"data":[{data}]}}'.encode())


@pytest.mark.parametrize(
    "text", ["," * 1_500_000, '\\",\\"' * 1_100_000, "\\\\," * 1_100_000], ids=["plain", "csv", "slashes"]
)
def test_json_of_one_text_with_many_commas_is_parsed(text: str) -> None:
    body = b'{"data":"%b"}' % text.encode()
    assert json_codec.decode_object(body) == json.loads(body)


def commas_outside_texts(text: str) -> int:
    within = escaped = False
    commas = 0
    for letter in text:
        if within and not escaped and letter == "\\":
            escaped = True
            continue
        if letter == '"' and not escaped:
            within = not within
        commas += letter == "," and not within
        escaped = False
    return commas


@given(
    st.recursive(
        st.none() | st.integers(0, 9) | st.text('",\\[]a', max_size=8),
        lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text('",\\a', max_size=3), values),
    ),
    st.integers(1, 9),
)
@example(["\\", ",", "\\\\,"], 1)
def test_values_are_counted_whatever_the_pieces(document: object, piece_bytes: int) -> None:
    text = json.dumps(document)
    commas = commas_outside_texts(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_codec, "PIECE_BYTES", piece_bytes)
        assert not commas or json_codec._has_more_values(text.encode(), commas - 1)
        assert not json_codec._has_more_values(text.encode(), commas)


@given(
    st.text("ab", max_size=40),
    st.text("ab", min_size=1, max_size=3),
    st.integers(0, 9),
    st.integers(0, 50),
    st.integers(1, 9),
)
def test_searches_in_pieces_find_what_plain_ones_find(
    text: str, word: str, start: int, end: int, piece_bytes: int
) -> None:
    body, wanted = text.encode(), word.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_BYTES", piece_bytes)
        assert pieces.find_word(body, wanted, start) == body.find(wanted, start)
        assert pieces.find_word(body, wanted, start, min(end, len(body))) == body.find(wanted, start, end)
        assert pieces.count_byte(body, b"a") == body.count(b"a")
