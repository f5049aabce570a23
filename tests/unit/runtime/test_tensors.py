from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.tensors import (
    DATATYPES,
    FP32,
    TensorSpec,
    bf16_from_fp32,
    check_datatype,
    check_shape,
    fit_shape,
    fp32_from_bf16,
    parse_shape,
)

SPEC = TensorSpec("x", FP32, (-1, 4))


def test_datatypes_are_the_protocols_fourteen_with_their_sizes() -> None:
    sizes = {name: datatype.item_bytes for name, datatype in DATATYPES.items()}
    assert sizes == {
        "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4,
        "INT64": 8, "FP16": 2, "FP32": 4, "FP64": 8, "BYTES": 0, "BF16": 2,
    }  # fmt: skip


@given(bits=st.integers(0, 0xFFFF))
def test_bf16_to_fp32_and_back_keeps_every_number(bits: int) -> None:
    array = np.array([bits], np.uint16)
    widened = fp32_from_bf16(array)
    returned = bf16_from_fp32(widened)
    if np.isnan(widened[0]):
        assert np.isnan(fp32_from_bf16(returned)[0])
    else:
        assert returned[0] == bits


# Halfway from bfloat16's largest number to what would follow it, in single precision.
LARGEST_TO_ROUND = float(np.array([0x7F7F7FFF], np.uint32).view(np.float32)[0])


@given(value=st.floats(-LARGEST_TO_ROUND, LARGEST_TO_ROUND, width=32))
def test_bf16_from_fp32_rounds_to_the_nearest(value: float) -> None:
    given_value = np.array([value], np.float32)
    bits = int(bf16_from_fp32(given_value)[0])
    rounded = float(fp32_from_bf16(np.array([bits], np.uint16))[0])
    neighbours = fp32_from_bf16(np.array([max(bits - 1, 0), min(bits + 1, 0xFFFF)], np.uint16))
    finite = [float(neighbour) for neighbour in neighbours if np.isfinite(neighbour)]
    assert all(abs(value - rounded) <= abs(value - neighbour) for neighbour in finite)


def test_bf16_from_fp32_rounds_ties_to_even() -> None:
    ties = np.array([0x3F808000, 0x3F818000], np.uint32).view(np.float32)
    assert bf16_from_fp32(ties).tolist() == [0x3F80, 0x3F82]


@given(shape=st.lists(st.integers(0, 2**40), max_size=33))
def test_parse_shape_accepts_only_what_can_exist(shape: list[int]) -> None:
    elements = int(np.prod([max(dimension, 1) for dimension in shape], dtype=object)) if shape else 1
    if len(shape) <= 32 and elements <= 1 << 40:
        assert parse_shape(shape, "x") == shape
    else:
        with pytest.raises(InvalidRequestError, match="input 'x'"):
            parse_shape(shape, "x")


@pytest.mark.parametrize("shape", [None, 4, "4", [1.0], [True], [-1], ["1"], [[1]], {}])
def test_parse_shape_of_anything_else_is_refused(shape: object) -> None:
    with pytest.raises(InvalidRequestError, match="input 'x'"):
        parse_shape(shape, "x")


def test_check_shape_names_input_expected_and_actual() -> None:
    check_shape(SPEC, [7, 4])
    check_shape(TensorSpec("any", FP32, None), [1, 2, 3])
    with pytest.raises(InvalidRequestError, match=r"input 'x' has shape \[7, 5\].*expects \[-1, 4\]"):
        check_shape(SPEC, [7, 5])
    with pytest.raises(InvalidRequestError, match=r"has shape \[\]"):
        check_shape(SPEC, [])


@pytest.mark.parametrize(
    ("expected", "sent", "fitted"),
    [
        ((-1,), [3], [3]),
        ((-1,), [3, 1], [3]),
        ((-1,), [0, 1], [0]),
        ((2,), [2, 1], [2]),
        ((), [], []),
        ((), [1], []),
        (None, [3, 1], [3, 1]),
        ((-1, -1), [3, 1], [3, 1]),
        ((2,), [3, 1], None),
        ((-1,), [3, 2], None),
        ((-1,), [3, 1, 1], None),
        ((-1, 4), [3, 4, 1], None),
        ((), [2], None),
    ],
)
def test_fit_shape_takes_a_column_where_the_model_has_a_list(
    expected: tuple[int, ...] | None, sent: list[int], fitted: list[int] | None
) -> None:
    spec = TensorSpec("x", FP32, expected)
    if fitted is not None:
        assert fit_shape(spec, sent) == fitted
    else:
        with pytest.raises(InvalidRequestError) as refused:
            fit_shape(spec, sent)
        assert f"has shape {sent}, but the model expects" in str(refused.value)


def test_check_datatype_shortens_what_it_repeats() -> None:
    check_datatype(SPEC, "FP32")
    with pytest.raises(InvalidRequestError) as caught:
        check_datatype(SPEC, "x" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("value", "fits"), [(3.3895e38, True), (3.4e38, False), (-3.4e38, False), (np.inf, True)]
)
def test_bf16_from_fp32_of_a_number_beyond_its_range_overflows(value: float, fits: bool) -> None:
    with nullcontext() if fits else pytest.raises(OverflowError):
        bf16_from_fp32(np.array([1, value], np.float32))
