"""Row and column format as pure functions: what goes in comes out, whatever the shapes and values."""

import json
import math
import re
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.tensors.json_tokens import decode_object_with_tokens
from modelservice_runtime.protocols.tfs.rest import predict_codec
from modelservice_runtime.protocols.tfs.rest.example_codec import prepare_regress
from modelservice_runtime.protocols.tfs.rest.predict_codec import prepare_predict
from modelservice_runtime.tensors import BYTES, DATATYPES, Array, TensorSpec

NUMERIC = [name for name in DATATYPES if name not in ("BYTES", "BF16")]


def make_spec(*tensors: TensorSpec) -> ModelSpec:
    """A model whose outputs are its inputs."""
    return ModelSpec("m", "1", tensors, tensors)


@st.composite
def tensors(draw: st.DrawFn, name: str, rows: int) -> tuple[TensorSpec, Array]:
    """A tensor with `rows` in its first dimension, and a spec that it fits."""
    shape = (rows, *draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)))
    datatype = DATATYPES[draw(st.sampled_from([*NUMERIC, "BYTES"]))]
    if datatype is BYTES:
        text = st.text(max_size=5)
        count = math.prod(shape)
        array = np.empty(count, dtype=object)
        array[:] = draw(st.lists(text, min_size=count, max_size=count))
        array = array.reshape(shape)
    else:
        array = draw(hnp.arrays(datatype.numpy, shape, elements=hnp.from_dtype(datatype.numpy)))
    variable = [draw(st.booleans()) for _ in shape]
    spec_shape = tuple(-1 if free else size for free, size in zip(variable, shape, strict=True))
    return TensorSpec(name, datatype, spec_shape), array


@st.composite
def tensor_sets(draw: st.DrawFn) -> list[tuple[TensorSpec, Array]]:
    rows = draw(st.integers(1, 3))
    names = draw(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3, unique=True))
    # Of its own, {"b64": text} is a binary value.
    return [draw(tensors(name, rows)) for name in names if name != "b64"] or [draw(tensors("x", rows))]


def as_json(array: Array) -> Any:
    return array.tolist()


def assert_same(actual: Array, expected: Array) -> None:
    assert actual.shape == expected.shape
    if expected.dtype == object:
        assert actual.tolist() == expected.tolist()
    else:
        np.testing.assert_array_equal(actual, expected)


@settings(max_examples=60, deadline=None)
@given(tensor_sets())
def test_prepare_predict_rows_and_columns_make_the_same_tensors(
    named: list[tuple[TensorSpec, Array]],
) -> None:
    spec = make_spec(*(tensor for tensor, _ in named))
    columns = {tensor.name: as_json(array) for tensor, array in named}
    count = named[0][1].shape[0]
    rows = [{name: column[index] for name, column in columns.items()} for index in range(count)]
    for document in ({"instances": rows}, {"inputs": columns}):
        body = json.dumps(document).encode()
        request = prepare_predict(spec, body).request
        for tensor, array in named:
            assert_same(request.inputs[tensor.name], array)


@settings(max_examples=60, deadline=None)
@given(tensor_sets())
def test_encode_of_a_prepared_predict_is_its_request_again(named: list[tuple[TensorSpec, Array]]) -> None:
    named = [(tensor, array) for tensor, array in named if not tensor.name.endswith("_bytes")]
    spec = make_spec(*(tensor for tensor, _ in named))
    outputs = [array for _, array in named]
    for key, answer_key in (("instances", "predictions"), ("inputs", "outputs")):
        columns = {tensor.name: as_json(array) for tensor, array in named}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        body = json.dumps({key: rows if key == "instances" else columns}).encode()
        encoded = prepare_predict(spec, body).encode(outputs)
        again = json.dumps({key: json.loads(encoded)[answer_key]}).encode()
        request = prepare_predict(spec, again).request
        for tensor, array in named:
            assert_same(request.inputs[tensor.name], array)


def large_arrays(rows: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    return {
        "image": random.normal(size=(rows, 30, 40)).astype(np.float32),
        "ids": random.integers(-(2**62), 2**62, size=(rows, 1200)),
        "small": random.normal(size=(rows, 2)).astype(np.float32),
    }


LARGE = make_spec(
    TensorSpec("image", DATATYPES["FP32"], (-1, 30, -1)),
    TensorSpec("ids", DATATYPES["INT64"], (-1, -1)),
    TensorSpec("small", DATATYPES["FP32"], (-1, 2)),
)


IMAGE = make_spec(TensorSpec("image", DATATYPES["FP32"], (-1, 30, 40)))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_prepare_predict_of_large_arrays_keeps_every_value(rows: int, separators: tuple[str, str]) -> None:
    arrays = large_arrays(rows)
    columns = {name: array.tolist() for name, array in arrays.items()}
    instances = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for document in ({"instances": instances}, {"inputs": columns, "ignored": {"image": [1]}}):
        body = json.dumps(document, separators=separators).encode()
        inputs = prepare_predict(LARGE, body).request.inputs
        for name, array in arrays.items():
            assert_same(inputs[name], array)


def test_prepare_predict_of_one_large_input_takes_all_forms() -> None:
    array = large_arrays(2)["image"]
    for document in (
        {"instances": array.tolist()},
        {"inputs": array.tolist()},
        {"inputs": {"image": array.tolist()}},
    ):
        assert_same(prepare_predict(IMAGE, json.dumps(document).encode()).request.inputs["image"], array)
    rows = [{"image": row.tolist()} for row in array]
    assert_same(
        prepare_predict(IMAGE, json.dumps({"instances": rows}).encode()).request.inputs["image"], array
    )
    array[0, 0, 0] = np.nan
    body = json.dumps({"instances": array.tolist()}).encode()
    assert_same(prepare_predict(IMAGE, body).request.inputs["image"], array)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ([1.0], "value 2399 is an array"),
        (True, "a boolean among FP32 values"),
        (None, "value 2399 is null"),
        (1e39, "in the range of FP32"),
        ("a", 'value 2399 is "a"'),
    ],
)
def test_prepare_predict_of_a_wrong_value_in_a_large_array_names_it(value: object, part: str) -> None:
    data = large_arrays(2)["image"].tolist()
    data[1][29][39] = value
    with pytest.raises(InvalidRequestError) as caught:
        prepare_predict(IMAGE, json.dumps({"inputs": data}).encode())
    assert part in str(caught.value)


def test_prepare_predict_of_large_rows_that_differ_says_so() -> None:
    data = large_arrays(2)["image"].tolist()
    data[1][29].pop()
    with pytest.raises(InvalidRequestError, match="rows differ in length"):
        prepare_predict(IMAGE, json.dumps({"inputs": data}).encode())
    rows = [{"image": data[0]}, {"image": data[1][:-1]}]
    with pytest.raises(InvalidRequestError, match="rows differ in length"):
        prepare_predict(IMAGE, json.dumps({"instances": rows}).encode())


@pytest.mark.parametrize(
    ("members", "part"),
    [
        ('"instances":[],"inputs"', "either 'instances' or 'inputs'"),
        ('"inputs":1,"inputs"', "'inputs' appears twice"),
        ('"signature_name":"q","inputs"', "signature 'q' is unknown"),
        ('"text":"\\"inputs\\":","inputs"', ""),
    ],
)
def test_prepare_predict_looks_at_what_stands_beside_a_large_array(members: str, part: str) -> None:
    array = large_arrays(2)["image"]
    body = json.dumps({"inputs": array.tolist()}).replace('"inputs"', members).encode()
    if part:
        with pytest.raises(InvalidRequestError) as caught:
            prepare_predict(IMAGE, body)
        assert part in str(caught.value)
    else:
        assert_same(prepare_predict(IMAGE, body).request.inputs["image"], array)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "y", "b64"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["instances", "inputs", "examples"]), JSON, st.sampled_from([*NUMERIC, "BYTES", "BF16"])
)
def test_prepare_of_any_document_gives_fitting_tensors_or_a_sentence(
    key: str, value: Any, datatype: str
) -> None:
    spec = make_spec(
        TensorSpec("x", DATATYPES[datatype], (-1, -1)), TensorSpec("y", DATATYPES["FP32"], (-1,))
    )
    prepare = prepare_regress if key == "examples" else prepare_predict
    body = json.dumps({key: value}, ensure_ascii=False).encode()
    try:
        request = prepare(spec, body).request
    except InvalidRequestError as error:
        sentence, inputs = str(error), None
    else:
        sentence, inputs = "", request.inputs
    assert len(sentence) < 1000
    assert inputs is None or (inputs["x"].ndim, inputs["y"].ndim) == (2, 1)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_decode_object_with_tokens_reads_what_the_standard_parser_reads(value: Any) -> None:
    body = json.dumps({"a": value, "b": math.nan}).encode()
    assert repr(decode_object_with_tokens(body)) == repr(json.loads(body))


def test_decode_object_with_tokens_of_an_endless_integer_is_one_sentence() -> None:
    with pytest.raises(InvalidRequestError, match=r"too many digits$"):
        decode_object_with_tokens(b'{"a": NaN, "b": ' + b"9" * 10_000 + b"}")


def test_decode_feature_takes_booleans_as_numbers_and_scalars_as_rows() -> None:
    spec = make_spec(
        TensorSpec("x", DATATYPES["INT64"], (-1,)), TensorSpec("y", DATATYPES["FP32"], (-1, 2, -1))
    )
    body = json.dumps({"examples": [{"x": True, "y": [1, 2, 3, 4]}, {"x": 5, "y": [5, 6, 7, 8]}]}).encode()
    inputs = prepare_regress(spec, body).request.inputs
    assert inputs["x"].tolist() == [1, 5]
    assert inputs["y"].tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]


def test_decode_feature_for_an_input_of_two_variable_dimensions_is_refused() -> None:
    spec = make_spec(TensorSpec("x", DATATYPES["FP32"], (-1, -1, -1)))
    with pytest.raises(InvalidRequestError, match="cannot be made of a flat list"):
        prepare_regress(spec, b'{"examples": [{"x": [1, 2]}]}')


def test_encode_rows_of_outputs_with_unlike_rows_is_refused() -> None:
    spec = make_spec(TensorSpec("x", DATATYPES["FP32"], (-1,)), TensorSpec("y", DATATYPES["FP32"], (-1,)))
    prepared = prepare_predict(spec, b'{"instances": [{"x": 1, "y": 2}]}')
    with pytest.raises(InvalidRequestError, match="output 'y' has 2 instances, but others have 1"):
        prepared.encode([np.ones(1, np.float32), np.ones(2, np.float32)])


def make_rows(count: int) -> list[dict[str, Any]]:
    """Texts that hold what rows end with."""
    return [{"t": "},{" if row % 3 else '"},', "n": row} for row in range(count)]


ROWS = make_spec(TensorSpec("t", DATATYPES["BYTES"], (-1,)), TensorSpec("n", DATATYPES["INT64"], (-1,)))


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("rest", ["", ', "signature_name": "serving_default"'])
def test_prepare_predict_of_many_objects_goes_by_pieces(
    monkeypatch: pytest.MonkeyPatch, separators: tuple[str, str], rest: str
) -> None:
    rows = make_rows(2000)
    body = f'{{ "instances" : {json.dumps(rows, separators=separators)}{rest}}}'.encode()
    parsed = prepare_predict(ROWS, body).request.inputs
    monkeypatch.setattr(predict_codec, "_ROWS_BYTES", 5000)
    monkeypatch.setattr(predict_codec, "_prepare_large", lambda *_: None)
    whole: list[int] = []
    prepare = predict_codec._prepare

    def watch(spec: ModelSpec, document: dict[str, Any], decode: Any) -> Any:
        whole.append(len(document["instances"]))
        return prepare(spec, document, decode)

    monkeypatch.setattr(predict_codec, "_prepare", watch)
    inputs = prepare_predict(ROWS, body).request.inputs
    assert inputs["t"].tolist() == parsed["t"].tolist() == [row["t"] for row in rows]
    assert inputs["n"].tolist() == list(range(2000))
    assert max(whole) < 500


def test_prepare_predict_of_objects_of_any_number_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_codec, "_ROWS_BYTES", 500)
    for count in range(1, 150):
        body = json.dumps({"instances": make_rows(count)}).encode()
        assert prepare_predict(ROWS, body).request.inputs["n"].tolist() == list(range(count))


def test_prepare_predict_of_an_empty_row_among_rows_of_one_number_is_refused() -> None:
    one = make_spec(TensorSpec("x", DATATYPES["FP32"], (-1, 1)))
    body = json.dumps({"instances": [[1.0]] * 5000 + [[]] + [[1.0]]}).encode()
    with pytest.raises(InvalidRequestError, match="rows differ in length"):
        prepare_predict(one, body)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('"n": 1500', '"n": 1.5', "needs integers in the range of INT64; value 1500"),
        ('"n": 1500', '"m": 1500', "instance 1500 must have exactly the inputs"),
        ('"n": 1500', '"n": [1500]', "needs integers in the range of INT64; value 1500"),
        ('"n": 1500}', '"n": 1500}}', "not valid JSON"),
        ('{"t"', '1, {"t"', "every instance must be an object"),
        ("]}", '], "instances": []}', "appears twice"),
    ],
)
def test_prepare_predict_of_many_objects_with_a_wrong_one_says_which(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str, part: str
) -> None:
    monkeypatch.setattr(predict_codec, "_ROWS_BYTES", 5000)
    body = json.dumps({"instances": make_rows(2000)}).replace(old, new, 1).encode()
    with pytest.raises(InvalidRequestError, match=re.escape(part)):
        prepare_predict(ROWS, body)


@pytest.mark.parametrize("number", [b"0.5", b"7"])
def test_numbers_beside_a_token_let_other_threads_in_between(number: bytes) -> None:
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"  # of a function of Python's: there another thread may take over

    body = b'{"a":[NaN,' + b",".join([number] * 1000) + b"]}"
    sys.setprofile(count)
    try:
        decode_object_with_tokens(body)
    finally:
        sys.setprofile(None)
    assert calls > 1000
