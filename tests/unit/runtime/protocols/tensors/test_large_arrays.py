"""Large arrays parsed beside the rest of a body: the same results as the ordinary decoder's."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.errors import ServingError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.rest import infer_codec
from modelservice_runtime.protocols.oip.rest.infer_codec import decode_infer
from modelservice_runtime.protocols.tensors import large_arrays
from modelservice_runtime.protocols.tensors.array_text import ArrayText
from modelservice_runtime.protocols.tensors.json_codec import decode_tensor
from modelservice_runtime.protocols.tensors.large_arrays import (
    cut_large_arrays,
    decode_large_array,
    decode_nested_array,
)
from modelservice_runtime.tensors import DATATYPES, TensorSpec

COUNT = 8000
VALUES = [
    "0", "1", "-1", "1.5", "255", "1e39", "70000", "18446744073709551615", "18446744073709551616",
    "true", "null", '"1"', "[1]", "NaN", "01", "",
]  # fmt: skip


def make_spec(datatype: str = "FP32", inputs: int = 1) -> ModelSpec:
    tensors = [TensorSpec(f"x{number}", DATATYPES[datatype], None) for number in range(inputs)]
    return ModelSpec("m", "1", tuple(tensors), tuple(tensors))


def make_tensor(text: str, name: str = "x0", shape: Any = (COUNT,), datatype: str = "FP32") -> str:
    return f'{{"name": "{name}", "shape": {list(shape)}, "datatype": "{datatype}", "data": {text}}}'


def make_body(*tensors: str, rest: str = "") -> bytes:
    return f'{{"inputs": [{", ".join(tensors)}]{rest}}}'.encode()


def outcome(spec: ModelSpec, body: bytes | bytearray) -> object:
    try:
        inputs = decode_infer(spec, body, None).request.inputs
    except ServingError as error:
        return type(error), str(error)
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in inputs.items()}


def assert_same(spec: ModelSpec, body: bytes, monkeypatch: pytest.MonkeyPatch) -> object:
    """Decoding with and without the shortcut gives the same; returns that."""
    with monkeypatch.context() as patch:
        patch.setattr(large_arrays, "_MIN_ARRAY_BYTES", 1 << 40)
        expected = outcome(spec, body)
    assert outcome(spec, body) == expected
    received = bytearray(body)
    assert outcome(spec, received) == expected
    assert received == body
    return expected


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
@pytest.mark.parametrize("value", VALUES)
def test_decode_of_a_large_array_gives_what_ordinary_decoding_gives(
    datatype: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "[" + ", ".join(["1"] * (COUNT - 1) + [value]) + "]"
    assert_same(make_spec(datatype), make_body(make_tensor(text, datatype=datatype)), monkeypatch)


def test_decode_of_large_arrays_makes_no_python_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).normal(size=COUNT).astype(np.float32)
    flat, nested = json.dumps(array.tolist()), json.dumps(array.reshape(20, 50, 8).tolist())
    body = make_body(make_tensor(flat), make_tensor(nested, "x1", (20, 50, 8)))
    monkeypatch.setattr(infer_codec, "decode_tensor", None)
    decoded = decode_infer(make_spec(inputs=2), body, None)
    np.testing.assert_array_equal(decoded.request.inputs["x0"], array)
    np.testing.assert_array_equal(decoded.request.inputs["x1"].ravel(), array)


@pytest.mark.parametrize(
    "text",
    [
        lambda rows: rows.replace("[1, 2]", "[1, [2]]", 1),
        lambda rows: rows.replace("[1, 2], [1, 2]", "[1, 2, 1], [2]", 1),
        lambda rows: rows.replace("[1, 2]", "[1, 2], []", 1),
        lambda rows: rows.replace("[1, 2], ", "[1, 2] ", 1),
        lambda rows: rows.replace("[1, 2], ", "[1, 2]3, ", 1),
        lambda rows: rows[:-1],
        lambda rows: rows + "]",
        lambda rows: "[" + rows + ", 5]",
    ],
)
def test_decode_of_rows_that_are_not_equal_gives_what_ordinary_decoding_gives(
    text: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "[" + ", ".join(["[1, 2]"] * (COUNT // 2)) + "]"
    error, _ = assert_same(make_spec(), make_body(make_tensor(text(rows))), monkeypatch)  # type: ignore[misc]
    assert error.__name__ == "InvalidRequestError"


@pytest.mark.parametrize(
    "rest",
    [
        ', "parameters": {"data": ARRAY}',
        ', "parameters": {"x": {"data": ARRAY}}',
        ', "outputs": [{"name": "x0", "data": ARRAY}]',
        ', "parameters": {"data": [1 2 3]}',
        ', "inputs": []',
        ', "id": 7',
        ', "id": "\\"data\\": ARRAY"',
        "}",
    ],
)
def test_decode_of_bodies_with_more_in_them_gives_what_ordinary_decoding_gives(
    rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = "[" + ", ".join(["1"] * COUNT) + "]"
    body = make_body(make_tensor(array), rest=rest.replace("ARRAY", array))
    assert_same(make_spec(), body, monkeypatch)
    assert_same(make_spec(), body.replace(b"1, 1, 1]", b"1, 1 1]"), monkeypatch)


def test_decode_of_a_placeholder_that_a_client_sent_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    array = "[" + ", ".join(["1"] * COUNT) + "]"
    body = make_body(make_tensor(array), make_tensor('["0", 0]', "x1", (2,)))
    assert_same(make_spec(inputs=2), body, monkeypatch)


def test_structure_of_rows_of_many_lengths_is_not_built() -> None:
    row = "[" + "1," * 200_000 + "1]"
    text = "[" + ",".join([row] + ["1"] * 200_000) + "]"
    tensor = make_spec().inputs[0]
    assert decode_large_array(tensor, (400_002,), ArrayText(bytearray(text.encode()))) is None


@given(
    st.lists(st.floats(-3e38, 3e38), min_size=1),
    st.sampled_from(["FP32", "FP64", "BF16"]),
)
def test_decode_large_array_rounds_as_the_ordinary_decoder(values: list[float], datatype: str) -> None:
    tensor = make_spec(datatype).inputs[0]
    text = json.dumps(values).encode()
    array = decode_large_array(tensor, (len(values),), ArrayText(bytearray(text)))
    assert array is not None
    assert array.tobytes() == decode_tensor(tensor, (len(values),), values, text).tobytes()


def test_cut_large_arrays_leaves_small_ones_and_bounds_their_number() -> None:
    large = json.dumps([0] * 6000)
    assert cut_large_arrays(make_body(make_tensor("[1, 2]"))) is None
    cut = cut_large_arrays(make_body(*[make_tensor(large)] * 70))
    assert cut is not None
    assert cut.rest.count(large_arrays._TOKEN.encode()) == 64
    assert not cut.all_used


@pytest.mark.parametrize(
    "damage", [("5,", "5,,"), ("5,", "5 5,"), ("5,", "],"), ("5,", "[5],"), ("[5", "[,5")]
)
def test_decode_large_array_in_pieces_is_as_strict_as_in_one(
    monkeypatch: pytest.MonkeyPatch, damage: tuple[str, str]
) -> None:
    tensor = make_spec().inputs[0]
    good = "[" + "5," * 999 + "7]"
    for piece_bytes in (1, 2, 3, 100, 1500, 5000):
        monkeypatch.setattr(large_arrays, "_PIECE_BYTES", piece_bytes)
        array = decode_large_array(tensor, (1000,), ArrayText(bytearray(good.encode())))
        assert array is not None
        assert array.tolist() == [5.0] * 999 + [7.0]
        for place in (0, 500, 900):
            bad = good[:place] + good[place:].replace(*damage, 1) if damage[0] in good[place:] else "[,]"
            text = bytearray(bad.encode())
            assert decode_large_array(tensor, (1000,), ArrayText(text)) is None
            assert text == bad.encode()  # for the ordinary decoder, which is asked next


@pytest.mark.parametrize("shape", [(40, 3), (6, 5, 4), (1, 120), (1, 1, 120), (120, 1)])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_decode_nested_array_in_pieces_is_as_strict_as_in_one(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], separators: tuple[str, str]
) -> None:
    tensor = make_spec().inputs[0]
    expected = np.arange(120, dtype=np.float32).reshape(shape)
    good = json.dumps(expected.tolist(), separators=separators)
    places = ["17.0,", "[17.0]", "", "17.0]", "[17.0", "17.0],,[1.0"]
    places += ["17.0,1.0"] * (shape[0] > 1) + ["17.0],[1.0"] * (shape[-1] > 1)
    damaged = [good.replace("17.0", place, 1) for place in places]
    for piece_bytes in (1, 10, 100, 1000):
        monkeypatch.setattr(large_arrays, "_PIECE_BYTES", piece_bytes)
        for text in (good, f" {good} "):
            array = decode_nested_array(tensor, ArrayText(bytearray(text.encode())))
            assert array is not None
            np.testing.assert_array_equal(array, expected)
            assert array.shape == shape
        for bad in damaged:
            assert decode_nested_array(tensor, ArrayText(bytearray(bad.encode()))) is None, bad


@pytest.mark.parametrize("damage", ["2", "1.0", '"true"', "null", "[true]", ""])
def test_decode_of_many_booleans_in_pieces_is_strict(monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    tensor = make_spec("BOOL").inputs[0]
    words = ["true", "false", "1", "0"] * 50
    for piece_bytes in (1, 10, 100, 1000):
        monkeypatch.setattr(large_arrays, "_PIECE_BYTES", piece_bytes)
        array = decode_large_array(tensor, (200,), ArrayText(bytearray(f"[{','.join(words)}]".encode())))
        assert array is not None
        assert (array.dtype, array.tolist()) == (np.bool_, [True, False, True, False] * 50)
        for place in (0, 100, 199):
            bad = [*words[:place], damage, *words[place + 1 :]]
            text = ArrayText(bytearray(f"[{','.join(bad)}]".encode()))
            assert decode_large_array(tensor, (200,), text) is None


@pytest.mark.parametrize(
    "body",
    [
        b'"data":' * 20_000,
        b'{"inputs":[' + b'"data":1,' * 20_000 + b'"data":1}',
        b'{"inputs":[{' + b'"data":[1,' * 20_000,
    ],
    ids=["without an end", "one end", "openings"],
)
def test_cut_of_many_keys_reads_the_body_once(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    searched_bytes = 0

    def find_and_count(body: bytes, word: bytes, start: int = 0) -> int:
        nonlocal searched_bytes
        found = body.find(word, start)
        searched_bytes += (len(body) if found < 0 else found) - start
        return found

    monkeypatch.setattr(large_arrays, "find_word", find_and_count)
    assert cut_large_arrays(body) is None
    assert searched_bytes <= 2 * len(body)


def test_decode_of_an_array_of_too_many_dimensions_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ArrayText, "split", None)
    text = ArrayText(bytearray(b"[" * 33 + b"1, 2" + b"]" * 33))
    assert decode_nested_array(make_spec().inputs[0], text) is None
