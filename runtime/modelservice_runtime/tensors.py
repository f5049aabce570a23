"""Tensors as the protocols speak of them: datatypes, specs, shapes, requests and results.

Pure; imports numpy only. In memory a tensor is a numpy array; BF16, which numpy lacks, travels as its bit
pattern in uint16, and BYTES as an object array of str (ONNX strings are UTF-8).
Source of the datatypes: Open Inference Protocol, `specification/protocol/inference_rest.md`; BF16 from
Triton's `extension_binary_data.md`.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modelservice_runtime.errors import InvalidRequestError, PayloadTooLargeError

Array: TypeAlias = NDArray[Any]

MAX_RANK = 32
_BF16_INFINITY = 0x7F80
# No tensor of more elements fits in a request; beyond it shape arithmetic in C code overflows.
MAX_ELEMENTS = 1 << 40
# Each text is a Python object of some 60 bytes, and ONNX Runtime copies all of them in one go, while nobody
# else has the interpreter: some 20 ms for this many.
MAX_TEXTS = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Datatype:
    """One protocol datatype.

    `item_bytes` is the size of an element on the wire (0: BYTES, which varies); `pack_code` is the
    `struct` code that converts and range-checks Python numbers.
    """

    name: str
    numpy: np.dtype[Any]
    item_bytes: int
    pack_code: str

    @property
    def is_float(self) -> bool:
        """True for FP16, BF16, FP32 and FP64."""
        return self.name in ("FP16", "BF16", "FP32", "FP64")


def _datatype(name: str, numpy: str, pack_code: str) -> Datatype:
    dtype = np.dtype(numpy)
    return Datatype(name, dtype, 0 if dtype.hasobject else dtype.itemsize, pack_code)


BOOL = _datatype("BOOL", "?", "?")
BF16 = _datatype("BF16", "<u2", "f")
BYTES = _datatype("BYTES", "O", "")
FP32 = _datatype("FP32", "<f4", "f")

DATATYPES: dict[str, Datatype] = {
    datatype.name: datatype
    for datatype in (
        BOOL,
        _datatype("UINT8", "u1", "B"),
        _datatype("UINT16", "<u2", "H"),
        _datatype("UINT32", "<u4", "I"),
        _datatype("UINT64", "<u8", "Q"),
        _datatype("INT8", "i1", "b"),
        _datatype("INT16", "<i2", "h"),
        _datatype("INT32", "<i4", "i"),
        _datatype("INT64", "<i8", "q"),
        _datatype("FP16", "<f2", "e"),
        FP32,
        _datatype("FP64", "<f8", "d"),
        BYTES,
        BF16,
    )
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model.

    `shape` uses -1 for a variable dimension; None means that the model does not even state a rank.
    `symbols` has the model's name for each variable dimension, where it has one: equal names, equal sizes.
    `labels` name what the last dimension of a classifier's scores counts.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...] | None
    symbols: tuple[str | None, ...] = field(default=(), compare=False)
    labels: tuple[int, ...] | tuple[str, ...] = field(default=(), compare=False)

    @property
    def public_shape(self) -> list[int]:
        """The shape as metadata shows it; an unknown rank is shown as one variable dimension."""
        return [-1] if self.shape is None else list(self.shape)

    def describe(self) -> str:
        """For error messages: `'x' FP32 [-1, 4]`."""
        shape = "of any shape" if self.shape is None else str(list(self.shape))
        return f"'{self.name}' {self.datatype.name} {shape}"


@dataclass(slots=True)
class InferRequest:
    """A decoded request: arrays by input name, the outputs wanted in order, and the client's options.

    `priority` 1 is served first, larger numbers later; 0 leaves it to the server. `text_bytes` says how
    large the inputs' texts are, where that is much: it is not in their number.
    """

    inputs: dict[str, Array]
    output_names: Sequence[str]
    id: str | None = None
    timeout_seconds: float | None = None
    priority: int = 0
    text_bytes: int = 0


def count_elements(shape: Sequence[int]) -> int:
    """Number of elements of a tensor of `shape`; 1 for a scalar."""
    return math.prod(shape)


def parse_shape(value: object, input_name: str) -> list[int]:
    """Check a client's `shape`: a list of non-negative integers, of a size that can exist.

    Raises InvalidRequestError naming the input.
    """
    if type(value) is not list:
        raise InvalidRequestError(f"input '{input_name}' needs 'shape', an array of integers")
    if len(value) > MAX_RANK:
        raise InvalidRequestError(
            f"input '{input_name}' has {len(value)} dimensions; the limit is {MAX_RANK}"
        )
    bound = 1
    for dimension in value:
        if type(dimension) is not int or dimension < 0:
            raise InvalidRequestError(
                f"input '{input_name}' has shape {_shown(value)}; every dimension is an integer of at least 0"
            )
        bound *= dimension or 1
    if bound > MAX_ELEMENTS:
        raise InvalidRequestError(f"input '{input_name}' has shape {_shown(value)}, which is too large")
    return value


def check_shape(spec: TensorSpec, shape: Sequence[int]) -> None:
    """Raise InvalidRequestError unless `shape` fits the model's; dimensions of -1 take any size."""
    expected = spec.shape
    if expected is None:
        return
    if len(expected) == len(shape):
        for want, got in zip(expected, shape):  # noqa: B905 - equal lengths, and this is the hot path
            if want != got and want != -1:
                break
        else:
            return
    raise InvalidRequestError(
        f"input '{spec.name}' has shape {_shown(list(shape))}, but the model expects {list(expected)}"
        " (-1 is any size)"
    )


def fit_shape(spec: TensorSpec, shape: list[int]) -> list[int]:
    """Return the shape that the model gets, for a request's; raise as `check_shape` does.

    One dimension of 1 at the end may be too much where the model takes one dimension or none: MLServer's
    codecs send lists as columns, and Triton's configuration (`reshape`) has no tensors without dimensions.
    """
    is_column = len(shape) == 2 and shape[1] == 1 and spec.shape in ((-1,), (shape[0],))
    if is_column or (shape == [1] and spec.shape == ()):
        return shape[:-1]
    check_shape(spec, shape)
    return shape


def check_text_count(spec: TensorSpec, count: int) -> None:
    """Raise PayloadTooLargeError where a BYTES input has more elements than a request may have."""
    if count > MAX_TEXTS:
        raise PayloadTooLargeError(
            f"input '{spec.name}' has {count} BYTES elements; the limit is {MAX_TEXTS}, so send fewer at once"
        )


def check_datatype(spec: TensorSpec, datatype: object) -> None:
    """Raise InvalidRequestError unless the client's datatype is the model's."""
    if datatype != spec.datatype.name:
        if type(datatype) is not str:
            raise InvalidRequestError(
                f"input '{spec.name}' needs 'datatype'; the model expects {spec.datatype.name}"
            )
        raise InvalidRequestError(
            f"input '{spec.name}' has datatype {datatype[:32]!r}, but the model expects {spec.datatype.name}"
        )


def contiguous(array: Array) -> Array:
    """The array in row-major order, without a copy where it is; numpy's function adds a dimension to none."""
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def bf16_from_fp32(values: Array) -> Array:
    """Round float32 to the nearest bfloat16 (ties to even); the bits come back as uint16.

    Raises OverflowError for a finite number that would become an infinity.
    """
    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    truncated = bits >> np.uint32(16)
    # Rounding up the mantissa of a NaN could carry into the exponent and make it a number.
    quiet_nan = truncated | np.uint32(0x0040)
    nearest = np.where(np.isnan(values), quiet_nan, rounded >> np.uint32(16)).astype(np.uint16)
    if (((nearest & np.uint16(0x7FFF)) == _BF16_INFINITY) & np.isfinite(values)).any():
        raise OverflowError
    return nearest


def fp32_from_bf16(bits: Array) -> Array:
    """Widen bfloat16 bits (uint16) to float32; exact."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _shown(shape: list[object] | list[int]) -> str:
    """As JSON has it, cut short; what is no number or text may be deep and is left out."""
    text = ", ".join(["..." if isinstance(size, list | dict) else json.dumps(size) for size in shape])
    return f"[{text}]" if len(text) <= 200 else f"[{text[:200]}..."
