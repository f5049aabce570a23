"""Reshape and Flatten: elements stay in their order, so what stands before the rows says where they go."""

from collections.abc import Sequence
from dataclasses import replace

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules
from modelservice_runtime.onnx.rows.sizes import ROWS, MixingError, Number, Size, quotient, times
from modelservice_runtime.onnx.rows.values import UNKNOWN, Padding, Tensor, Value, after, dims_of, with_dims

_LOST = "the shape it gives does not keep each row's elements together"


def _reshape(call: Call) -> list[Value]:
    x = call.tensor(0)
    target = call.values(1)
    if target is None or x.dims is None:
        call.check_fixed(1)
        if x.axis is not None:
            raise MixingError(_LOST)
        return [_of_known_rank(call, x)]
    wanted = _copied(x, target, allow_zero=bool(call.integer("allowzero", 0)))
    if x.axis is not None:
        return [replace(reshaped(call, x, wanted), is_places=x.is_places)]
    dims = _inferred(call, dims_of(x), wanted)
    if any(dim.of_batch for dim in dims):
        raise MixingError(
            "the number of rows decides the shape of a tensor that does not have one part per row"
        )
    return [Tensor(dims, values=x.values)]


def _of_known_rank(call: Call, x: Tensor) -> Tensor:
    """Known by its rank only, where the shape is a vector of known length."""
    shape = call.tensor(1)
    rank = dims_of(shape)[0].constant if shape.rank == 1 else None
    if x.counts_rows or rank is None or rank > 16:
        return UNKNOWN
    return Tensor(tuple(call.symbols.fresh() for _ in range(rank)))


def _copied(x: Tensor, target: Sequence[Number], *, allow_zero: bool) -> list[Size]:
    """The wanted dimensions, where 0 stands for that of the input."""
    dims = dims_of(x)
    wanted = []
    for at, number in enumerate(target):
        if not isinstance(number, Size):
            raise MixingError("the shape it gives is not whole")
        copies = number == Size(0) and not allow_zero and at < len(dims)
        wanted.append(dims[at] if copies else number)
    return wanted


def _inferred(call: Call, dims: Sequence[Size], wanted: list[Size]) -> tuple[Size, ...]:
    """The dimensions of a tensor without rows."""
    others = times(*(size for size in wanted if size != Size(-1)))
    rest = quotient(times(*dims), others)
    if rest is None or not others.is_size:
        rest = call.symbols.fresh(of_batch=others.of_batch)
    return tuple(
        rest if size == Size(-1) else size if size.is_size else call.symbols.fresh(of_batch=size.of_batch)
        for size in wanted
    )


def reshaped(call: Call, x: Tensor, wanted: list[Size]) -> Tensor:
    """The rows of `x` in the dimensions `wanted`, one of which may be -1. Raises MixingError.

    Outside of the rows stands the same number of elements before and after, or inside of each row does: the
    one follows from the other, as the numbers of all elements are equal or the run fails.
    """
    holders = [at for at, size in enumerate(wanted) if size.of_batch]
    if len(holders) > 1:
        raise MixingError(_LOST)
    if holders:
        return _with_holder(call, x, wanted, holders[0])
    if Size(-1) not in wanted or not all(size.is_size for size in wanted if size != Size(-1)):
        raise MixingError(_LOST)
    outside, inside = _around(x)
    at = wanted.index(Size(-1))
    before = quotient(outside, times(*wanted[:at]))
    behind = quotient(inside, times(*wanted[at + 1 :]))
    if before is None or behind is None:
        raise MixingError(_LOST)
    return Tensor((*wanted[:at], times(before, ROWS, behind), *wanted[at + 1 :]), at, before)


def _with_holder(call: Call, x: Tensor, wanted: list[Size], at: int) -> Tensor:
    """The number of rows is in dimension `at` of the wanted shape itself."""
    outside, inside = _around(x)
    factor = quotient(wanted[at], ROWS)
    if factor is None or factor.of_batch or factor.factor < 1:
        raise MixingError(_LOST)
    front, back = wanted[:at], wanted[at + 1 :]
    if Size(-1) in front:
        front = _solved(front, outside)
        if times(factor, *back) != inside:
            raise MixingError(_LOST)
    if not all(size.is_size for size in front):
        raise MixingError(_LOST)
    before = quotient(outside, times(*front))
    behind = None if before is None else quotient(factor, before)
    if behind is None and Size(-1) not in wanted:
        behind = quotient(inside, times(*back)) if all(size.is_size for size in back) else None
        before = None if behind is None else quotient(factor, behind)
    if before is None or behind is None:
        raise MixingError(_LOST)
    if Size(-1) in back:
        rest = quotient(inside, times(behind, *(size for size in back if size != Size(-1))))
        back = [rest if size == Size(-1) and rest is not None else size for size in back]
    back = [size if size.is_size else call.symbols.fresh() for size in back]
    return Tensor((*front, wanted[at], *back), at, before)


def _around(x: Tensor) -> tuple[Size, Size]:
    """How many elements stand outside of the rows, and how many inside of each."""
    dims = dims_of(x)
    assert x.axis is not None
    return times(*dims[: x.axis], x.before), times(after(x), *dims[x.axis + 1 :])


def _solved(sizes: list[Size], total: Size) -> list[Size]:
    """`sizes` with the one that is -1 such that their product is `total`."""
    rest = quotient(total, times(*(size for size in sizes if size != Size(-1))))
    if rest is None:
        raise MixingError(_LOST)
    return [rest if size == Size(-1) else size for size in sizes]


def _flatten(call: Call) -> list[Value]:
    """To a matrix of all dimensions before `axis` and all behind it."""
    x = call.tensor(0)
    dims = dims_of(x)
    axis = call.integer("axis", 1)
    if not -len(dims) <= axis <= len(dims):
        raise MixingError("its axis does not exist")
    axis = axis + len(dims) if axis < 0 else axis
    if x.padding is not None:
        return [_padded_matrix(x, x.padding, axis)]
    wanted = (times(*dims[:axis]), times(*dims[axis:]))
    if x.axis is None:
        return [with_dims(x, wanted)]
    front = dims[axis : x.axis] if x.axis >= axis else dims[: x.axis]
    return [Tensor(wanted, int(x.axis >= axis), times(*front, x.before))]


def _padded_matrix(x: Tensor, padding: Padding, axis: int) -> Tensor:
    """Padding behind an inner axis comes to stand between the elements of an outer one."""
    if axis != 1 or x.axis != 0:
        raise MixingError("its input is padded to the longest row of the batch")
    dims = dims_of(x)
    scattered = padding.scattered or padding.axes != {1}
    return Tensor(
        (dims[0], times(*dims[1:])), 0, x.before, padding=Padding(frozenset({1}), padding.fill, scattered)
    )


RULES: Rules = {
    ("", "Reshape"): Rule(_reshape, sizes=frozenset({1}), keeps_values=True, places=True),
    ("", "Flatten"): Rule(_flatten, padded=True),
}
