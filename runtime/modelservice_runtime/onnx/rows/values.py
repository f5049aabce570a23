"""What is known of a tensor while a graph is followed.

A tensor either does not depend on the batch at all, or it has rows: along one axis, whose size is
`before * ROWS * after`, the part of every row depends on that row of the inputs only. All else is
`Mixed`.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from modelservice_runtime.onnx.rows.sizes import (
    ONE,
    ROWS,
    MixingError,
    Number,
    Size,
    Symbols,
    quotient,
    times,
)

# Longer tensors of known values say nothing about shapes.
MAX_VALUES = 128
# ONNX Runtime itself is far below.
MAX_RANK = 64

Dims: TypeAlias = tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Padding:
    """Some axes are as long as the longest row of the batch needs; what is beyond a row's own is `fill`.

    `scattered`: the filling may stand between a row's own elements, not only behind them.
    """

    axes: frozenset[int]
    fill: str | float
    scattered: bool = False


@dataclass(frozen=True, slots=True)
class Tensor:
    """`dims` is None where the rank is unknown (never with rows); `axis` is that of the rows.

    `values` are the elements of a small tensor of numbers without rows, in row-major order. `is_places`:
    each element along `axis` is its row's place in the batch; `first_is_place`: the first element
    of every vector in the last dimension is.
    """

    dims: Dims | None
    axis: int | None = None
    before: Size = ONE
    values: tuple[Number, ...] | None = None
    is_places: bool = False
    first_is_place: bool = False
    padding: Padding | None = None

    @property
    def counts_rows(self) -> bool:
        """Its values depend on the number of rows in the batch."""
        return self.values is not None and any(isinstance(v, Size) and v.of_batch for v in self.values)

    @property
    def is_fixed(self) -> bool:
        """Nothing about it depends on the batch."""
        return self.axis is None and not self.counts_rows

    @property
    def is_special(self) -> bool:
        """Only some operators know what to do with it."""
        return self.is_places or self.first_is_place or self.padding is not None

    @property
    def rank(self) -> int | None:
        """The number of dimensions, where known."""
        return None if self.dims is None else len(self.dims)


@dataclass(frozen=True, slots=True)
class Mixed:
    """A value that may depend on other rows; `why` names the node that made it so, in a sentence."""

    why: str


Value: TypeAlias = Tensor | Mixed

UNKNOWN = Tensor(None)


def scalar(number: Number) -> Tensor:
    """A known number of rank 0."""
    return Tensor((), values=(number,))


def vector(numbers: tuple[Number, ...]) -> Tensor:
    """Known numbers of rank 1."""
    return Tensor((Size(len(numbers)),), values=numbers)


def rows_first(*dims: Size) -> Tensor:
    """A tensor with one slice per row along axis 0, and `dims` behind."""
    return Tensor((ROWS, *dims), 0)


def dims_of(tensor: Tensor) -> Dims:
    """The dimensions. Raises MixingError where they are unknown."""
    if tensor.dims is None:
        raise MixingError("the rank of one of its inputs is not known")
    return tensor.dims


def is_single(tensor: Tensor) -> bool:
    """Has one element whatever its rank."""
    return tensor.dims is not None and all(dim == ONE for dim in tensor.dims)


def selected(
    tensor: Tensor, kept: Mapping[int, slice], order: Sequence[int] | None = None
) -> tuple[Number, ...] | None:
    """Known values that slices along some axes leave, with the axes in another order; None if not known."""
    sizes = [dim.constant or 0 for dim in tensor.dims or ()]
    if tensor.values is None or math.prod(sizes) != len(tensor.values):
        return None
    strides = [math.prod(sizes[at + 1 :]) for at in range(len(sizes))]
    places = [range(0, size * stride, stride) for size, stride in zip(sizes, strides, strict=True)]
    parts = [part[kept.get(at, slice(None))] for at, part in enumerate(places)]
    axes = range(len(sizes)) if order is None else order
    return tuple(tensor.values[sum(found)] for found in itertools.product(*(parts[axis] for axis in axes)))


def with_dims(tensor: Tensor, dims: Dims, shift: int = 0) -> Tensor:
    """The rows of `tensor` in another shape, where their axis moves by `shift`."""
    axis = None if tensor.axis is None else tensor.axis + shift
    return Tensor(dims, axis, tensor.before)


def after(tensor: Tensor) -> Size:
    """What varies faster than the rows within the dimension that holds them."""
    assert tensor.axis is not None
    found = quotient(dims_of(tensor)[tensor.axis], times(tensor.before, ROWS))
    if found is None:
        raise MixingError("the place of the rows in a dimension is not known")
    return found


def broadcast(symbols: Symbols, *tensors: Tensor) -> Tensor:
    """The shape of elementwise results, by numpy's rules. Raises MixingError where rows meet other rows.

    A tensor without rows must have the size 1, or no dimension, where the others have their rows: any other
    size suits one number of rows only, and gives each place in the batch values of its own.
    """
    if any(tensor.dims is None for tensor in tensors):
        if all(tensor.axis is None for tensor in tensors):
            return UNKNOWN
        raise MixingError("the rank of one of its inputs is not known")
    rank = max(len(dims_of(tensor)) for tensor in tensors)
    with_rows = [tensor for tensor in tensors if tensor.axis is not None]
    places = {rank - len(dims_of(tensor)) + (tensor.axis or 0) for tensor in with_rows}
    if len(places) > 1:
        raise MixingError("the rows of its inputs lie along different axes")
    place = next(iter(places), None)
    dims = tuple(_joined_dim(symbols, tensors, at - rank) for at in range(rank) if at != place)
    if place is None:
        return Tensor(dims)
    first = with_rows[0]
    if any(tensor.before != first.before for tensor in with_rows):
        raise MixingError("the rows of its inputs lie in different orders")
    joined = _joined_rows(tensors, place - rank)
    return Tensor((*dims[:place], joined, *dims[place:]), place, first.before)


def _joined_dim(symbols: Symbols, tensors: tuple[Tensor, ...], from_end: int) -> Size:
    found = ONE
    for dims in map(dims_of, tensors):
        dim = dims[from_end] if -from_end <= len(dims) else ONE
        if dim in (ONE, found):
            continue
        if found == ONE or dim.constant is not None:
            found = dim
        elif found.constant is None:
            found = symbols.derived("broadcast", *sorted((found, dim), key=_order))
    return found


def _order(size: Size) -> tuple[int, ...]:
    return (size.factor, *(symbol.number for symbol in size.symbols))


def _joined_rows(tensors: tuple[Tensor, ...], from_end: int) -> Size:
    found: set[Size] = set()
    for tensor in tensors:
        dims = dims_of(tensor)
        dim = dims[from_end] if -from_end <= len(dims) else ONE
        if tensor.axis is not None:
            found.add(dim)
        elif dim != ONE:
            raise MixingError("an input without rows has a dimension of its own where the others have rows")
    if len(found) > 1:
        raise MixingError("its inputs hold different numbers of elements for a row")
    return found.pop()
