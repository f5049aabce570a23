"""Whether outputs hold NaN or infinities; the reference is numpy's own look at every number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.execution.finite import are_finite, is_finite, watch_outputs
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.tensors import DATATYPES, Array, TensorSpec, fp32_from_bf16

FLOATS = ("FP16", "BF16", "FP32", "FP64")
SIZES = st.integers(0, 40) | st.sampled_from((16, 17, 1000))


def reference(datatype: str, array: Array) -> bool:
    return bool(np.isfinite(fp32_from_bf16(array) if datatype == "BF16" else array).all())


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Array]:
    """Any bits at some places of an array of zeros, or of the largest numbers."""
    datatype = draw(st.sampled_from(FLOATS))
    dtype = DATATYPES[datatype].numpy
    bits = np.dtype(f"u{dtype.itemsize}")
    largest = {"FP16": 0x7BFF, "BF16": 0x7F7F, "FP32": 0x7F7FFFFF, "FP64": 0x7FEFFFFFFFFFFFFF}[datatype]
    sign = 1 << (8 * bits.itemsize - 1)
    special = st.sampled_from(
        (largest + 1, largest + 2, sign | (largest + 1), sign | (largest + 2), 2 * sign - 1)
    )
    some = st.sampled_from((largest, sign | largest, sign, 1)) | st.integers(0, 2 * sign - 1)
    array = np.full(draw(SIZES), draw(st.sampled_from((0, largest, sign | largest))), bits)
    for place in draw(st.lists(st.integers(0, len(array) - 1), max_size=3)) if len(array) else ():
        array[place] = draw(special | some)
    return datatype, array.view(dtype)


@given(arrays(), st.booleans())
def test_is_finite_says_of_any_bits_what_numpy_says(case: tuple[str, Array], is_strided: bool) -> None:
    datatype, array = case
    expected = reference(datatype, array)

    assert is_finite(DATATYPES[datatype], array) == expected
    assert is_finite(DATATYPES[datatype], array.reshape(-1, 1)) == expected
    if is_strided:
        wide = np.zeros((2, *array.shape), array.dtype)
        wide[1] = array
        assert is_finite(DATATYPES[datatype], wide.T[:, 1]) == expected


@pytest.mark.parametrize("datatype", FLOATS)
def test_is_finite_of_a_scalar(datatype: str) -> None:
    zero = np.zeros((), DATATYPES[datatype].numpy)
    ones = np.full((), (1 << 8 * zero.itemsize) - 1, f"u{zero.itemsize}").view(zero.dtype)
    assert is_finite(DATATYPES[datatype], zero)
    assert not is_finite(DATATYPES[datatype], ones)


def make_spec(*datatypes: str) -> ModelSpec:
    outputs = tuple(TensorSpec(name, DATATYPES[name], (-1,)) for name in datatypes)
    return ModelSpec("m", "1", (), outputs)


NAMES = ("INT64", "FP32", "FP64", "BYTES", "BF16")


@pytest.mark.parametrize("names", [("FP32",), ("INT64", "FP32"), ("FP64", "FP32"), NAMES, ("BYTES", "INT64")])
@pytest.mark.parametrize("size", [3, 100])
def test_outputs_are_finite_while_all_floats_are(names: tuple[str, ...], size: int) -> None:
    """Requests name outputs in an order of their own; integers with the bits of NaN are numbers."""
    spec = make_spec(*NAMES)
    outputs = [np.zeros(size, DATATYPES[name].numpy) for name in names]
    for name, output in zip(names, outputs, strict=True):
        output[:] = "nan" if name == "BYTES" else -1 if name == "INT64" else 0
    watch = watch_outputs(spec, names, outputs)

    assert are_finite(spec, names, outputs)
    assert watch()
    for name, output in zip(names, outputs, strict=True):
        if name in ("INT64", "BYTES"):
            continue
        output[-1] = 0xFFFF if name == "BF16" else np.inf
        assert not are_finite(spec, names, outputs), name
        assert not watch(), name
        output[-1] = 0
        assert watch()


def test_watch_outputs_takes_sums_that_overflow_for_what_they_are() -> None:
    spec = make_spec("FP64", "FP32")
    outputs = [np.full(4, 1.7e308), np.zeros(4, np.float32)]

    assert watch_outputs(spec, ("FP64",), outputs[:1])()
    assert watch_outputs(spec, ("FP64", "FP32"), outputs)()
