import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelservice_pipeline.predict.wire import JSON_LENGTH, WireError, build_request, parse_answer

NUMBERS = st.sampled_from(["bool", "int8", "uint64", "int64", "float16", "float32", "float64"])
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5)


def there_and_back(array: np.ndarray[Any, Any], *, binary: bool) -> np.ndarray[Any, Any]:
    """A request read as if it were an answer: both have the same tensors."""
    message = build_request({"x": array}, binary=binary)
    length = message.headers.get(JSON_LENGTH)
    cut = int(length) if length else len(message.body)
    head = json.loads(message.body[:cut])
    body = json.dumps({"outputs": head["inputs"]}).encode()
    return parse_answer(body + message.body[cut:], str(len(body)) if length else None)["x"]


@given(NUMBERS.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=3))), st.booleans())
def test_numbers_survive_both_forms(array: np.ndarray[Any, Any], binary: bool) -> None:
    read = there_and_back(array, binary=binary)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@given(TEXTS, st.booleans())
def test_texts_survive_both_forms(texts: list[str], binary: bool) -> None:
    array = np.array([[text] for text in texts], dtype=object)
    read = there_and_back(array, binary=binary)
    assert read.shape == array.shape
    assert read.tolist() == array.tolist()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"outputs": 3}',
        b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1]}]}',
        b'{"outputs": [{"name": "y", "datatype": "FP8", "shape": [1], "data": [1]}]}',
        b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": ["a"]}]}',
        b'{"outputs": [{"name":"y","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":9}}]}',
    ],
)
def test_an_answer_that_is_malformed_is_told(body: bytes) -> None:
    with pytest.raises(WireError):
        parse_answer(body, None)
