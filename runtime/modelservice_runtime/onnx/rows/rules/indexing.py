"""Operators that pick, cut out or write elements by indices: never along the axis of the rows."""

from dataclasses import replace

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules, whole_axis
from modelservice_runtime.onnx.rows.rules.reductions import check_other_axis
from modelservice_runtime.onnx.rows.sizes import ONE, ROWS, ZERO, MixingError, Number, Size
from modelservice_runtime.onnx.rows.values import Tensor, Value, dims_of, selected

_PICKS_ROWS = "it picks by index along the axis of the rows"
# For "to the end" exporters write the largest INT32 or INT64, or a number that no request's rows reach.
_TO_THE_END = 1_000_000_000


def gather(call: Call) -> list[Value]:
    """The dimension `axis` of the data is replaced by those of the indices."""
    data, indices = call.tensor(0), call.tensor(1)
    if indices.counts_rows:
        raise MixingError("it uses the number of rows in the batch as a value")
    known = _picked(call, data, indices)
    if known is not None:
        return [known]
    dims = dims_of(data)
    axis = call.axis(0, len(dims))
    if data.axis == axis:
        raise MixingError(_PICKS_ROWS)
    result = (*dims[:axis], *dims_of(indices), *dims[axis + 1 :])
    if data.axis is None:
        place = None if indices.axis is None else axis + indices.axis
        return [Tensor(result, place, indices.before)]
    if indices.axis is not None:
        raise MixingError("it picks from every row for every other row")
    shift = len(dims_of(indices)) - 1 if data.axis > axis else 0
    return [Tensor(result, data.axis + shift, data.before)]


def _picked(call: Call, data: Tensor, indices: Tensor) -> Tensor | None:
    """Known numbers of a vector at known places."""
    at = call.constants(1)
    values = data.values
    if values is None or at is None or len(dims_of(data)) != 1 or indices.dims is None:
        return None
    if any(not -len(values) <= index < len(values) for index in at):
        raise MixingError("its index does not exist")
    return Tensor(indices.dims, values=tuple(values[index] for index in at))


def _gather_elements(call: Call) -> list[Value]:
    """Each index picks along `axis` at its own place along the other axes."""
    data, indices = call.tensor(0), call.tensor(1)
    axis = call.axis(0, len(dims_of(data)))
    if indices.axis is None and data.axis is None:
        return [Tensor(indices.dims)]
    if data.axis is None:
        if indices.axis != axis:
            raise MixingError(
                "it picks from a part of a constant that belongs to the row's place in the batch"
            )
        return [Tensor(indices.dims, indices.axis, indices.before)]
    check_other_axis(data, axis)
    if not _same_rows(data, indices):
        raise MixingError("its indices do not have the rows of its data")
    return [Tensor(indices.dims, indices.axis, indices.before)]


def _same_rows(one: Tensor, other: Tensor) -> bool:
    """The rows lie in the same place of the same size."""
    if one.axis is None or other.axis != one.axis or one.before != other.before:
        return False
    return dims_of(one)[one.axis] == dims_of(other)[one.axis]


def _gather_nd(call: Call) -> list[Value]:
    """Each index is a vector in the last dimension; `batch_dims` leading axes are shared."""
    data, indices = call.tensor(0), call.tensor(1)
    shared = call.integer("batch_dims", 0)
    index_dims = dims_of(indices)
    length = index_dims[-1].constant if index_dims else None
    if length is None or indices.axis == len(index_dims) - 1:
        raise MixingError("the length of its indices is not known")
    dims = dims_of(data)
    if shared + length > len(dims):
        raise MixingError("its indices are longer than the rank of its data")
    rest = dims[shared + length :]
    result = (*index_dims[:-1], *rest)
    if indices.first_is_place:
        _check_row_indices(data, indices, shared)
        return [Tensor(result, indices.axis)]
    if data.axis is None:
        if indices.axis is not None and indices.axis < shared:
            raise MixingError(
                "it picks from a part of a constant that belongs to the row's place in the batch"
            )
        return [Tensor(result, indices.axis, indices.before)]
    if data.axis < shared and _same_rows(data, indices):
        return [Tensor(result, indices.axis, indices.before)]
    if data.axis >= shared + length and indices.axis is None:
        return [Tensor(result, len(index_dims) - 1 + data.axis - shared - length, data.before)]
    raise MixingError(_PICKS_ROWS)


def _check_row_indices(data: Tensor, indices: Tensor, shared: int) -> None:
    """Every index names its own row along the first axis."""
    own = data.axis == 0 and dims_of(data)[0] == ROWS and indices.axis is not None and not shared
    if not own or dims_of(indices)[indices.axis or 0] != ROWS:
        raise MixingError(_PICKS_ROWS)


def _slice(call: Call) -> list[Value]:
    x = call.tensor(0)
    dims = dims_of(x)
    given = _slice_numbers(call)
    axes = given[2] or tuple(range(len(given[0] or ())))
    known = _known_slice(x, given, axes)
    if known is not None:
        return [known]
    if given[0] is None or given[1] is None or given[3] is None:
        call.check_fixed(1, 2, 4)
        return [_sliced_unknown(call, x, axes)]
    result = list(dims)
    for at, axis in enumerate(axes):
        start, end, step = given[0][at], given[1][at], given[3][at] if given[3] else ONE
        place = whole_axis(axis, len(dims))
        if place == x.axis:
            _check_whole(dims[place], start, end, step)
        else:
            result[place] = _sliced_size(call, dims[place], start, end, step)
    return [Tensor(tuple(result), x.axis, x.before)]


_Numbers = tuple[Number, ...] | None


def _slice_numbers(call: Call) -> tuple[_Numbers, _Numbers, tuple[int, ...], _Numbers]:
    """Starts, ends, axes (none: the first ones) and steps (none: 1); the first versions have attributes."""
    starts = call.integers("starts")
    if starts is not None:
        ends, axes = call.integers("ends") or (), call.integers("axes") or ()
        return tuple(map(Size, starts)), tuple(map(Size, ends)), axes, ()
    axes = ()
    if call.has(3):
        known = call.constants(3)
        if known is None:
            raise MixingError("its axes are not known before a request")
        axes = known
    steps = call.values(4) if call.has(4) else ()
    if call.values(1) is None and not axes:
        raise MixingError("the axes along which it cuts are not known")
    return call.values(1), call.values(2), axes, steps


def _known_slice(
    x: Tensor, given: tuple[_Numbers, _Numbers, tuple[int, ...], _Numbers], axes: tuple[int, ...]
) -> Tensor | None:
    """A part of known numbers."""
    starts, ends, steps = given[0], given[1], given[3] if given[3] != () else (ONE,) * len(axes)
    if x.values is None or starts is None or ends is None or steps is None:
        return None
    kept = {}
    for axis, *numbers in zip(axes, starts, ends, steps, strict=False):
        start, end, step = map(_whole, numbers)
        if start is None or end is None or not step:
            return None
        kept[whole_axis(axis, len(dims_of(x)))] = slice(start, end, step)
    values = selected(x, kept)
    if values is None:
        return None
    sizes = [range(dim.constant or 0) for dim in dims_of(x)]
    dims = tuple(Size(len(size[kept.get(at, slice(None))])) for at, size in enumerate(sizes))
    return Tensor(dims, values=values)


def _whole(number: Number) -> int | None:
    return number.constant if isinstance(number, Size) else None


def _check_whole(dim: Size, start: Number, end: Number, step: Number) -> None:
    """A slice of all rows is none."""
    far = isinstance(end, Size) and (end == dim or (not end.symbols and end.factor >= _TO_THE_END))
    if start != ZERO or step != ONE or not far:
        raise MixingError("it cuts along the axis of the rows")


def _sliced_size(call: Call, dim: Size, start: Number, end: Number, step: Number) -> Size:
    if any(isinstance(number, Size) and number.of_batch for number in (start, end, step)):
        raise MixingError("it cuts where the number of rows says")
    numbers = [_whole(number) for number in (start, end, step)]
    first, last, stride = numbers
    if start == ZERO and step == ONE and (end == dim or (last is not None and last >= _TO_THE_END)):
        return dim
    if dim.constant is not None and first is not None and last is not None and stride is not None and stride:
        return Size(len(range(*slice(first, last, stride).indices(dim.constant))))
    return call.symbols.derived("Slice", dim, start, end, step)


def _sliced_unknown(call: Call, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    dims = list(dims_of(x))
    for axis in axes:
        place = whole_axis(axis, len(dims))
        if place == x.axis:
            raise MixingError("it cuts along the axis of the rows")
        dims[place] = call.symbols.fresh()
    return Tensor(tuple(dims), x.axis, x.before)


def _scatter_elements(call: Call) -> list[Value]:
    """Writes along `axis` only; data, indices and updates all have the same rows."""
    data, indices, updates = (call.tensor(at) for at in range(3))
    axis = call.axis(0, len(dims_of(data)))
    if all(tensor.axis is None for tensor in (data, indices, updates)):
        return [Tensor(data.dims)]
    check_other_axis(data, axis)
    if not (_same_rows(data, indices) and _same_rows(data, updates)):
        raise MixingError("not all of its inputs have the same rows")
    return [Tensor(data.dims, data.axis, data.before)]


def _scatter_nd(call: Call) -> list[Value]:
    """Indices, the same for all rows, of leading axes in front of that of the rows."""
    data, indices, updates = (call.tensor(at) for at in range(3))
    if all(tensor.axis is None for tensor in (data, indices, updates)):
        return [Tensor(data.dims)]
    index_dims = dims_of(indices)
    if indices.first_is_place:
        _check_row_indices(data, indices, 0)
        if not _same_rows(replace(indices, dims=index_dims[:-1]), updates):
            raise MixingError("what it writes does not have the rows of its data")
        return [Tensor(data.dims, data.axis)]
    length = index_dims[-1].constant if index_dims else None
    if length is None or indices.axis is not None or data.axis is None or data.axis < length:
        raise MixingError("it writes by index along the axis of the rows")
    place = len(index_dims) - 1 + data.axis - length
    if updates.axis != place or updates.before != data.before:
        raise MixingError("what it writes does not have the rows of its data")
    if dims_of(updates)[place] != dims_of(data)[data.axis]:
        raise MixingError("what it writes does not have the rows of its data")
    return [Tensor(data.dims, data.axis, data.before)]


def _one_hot(call: Call) -> list[Value]:
    indices = call.tensor(0)
    call.check_fixed(1, 2)
    dims = dims_of(indices)
    place = whole_axis(call.integer("axis", -1), len(dims) + 1)
    known = call.values(1)
    depth = known[0] if known and isinstance(known[0], Size) and known[0].is_whole else call.symbols.fresh()
    axis = None if indices.axis is None else indices.axis + (place <= indices.axis)
    return [Tensor((*dims[:place], depth, *dims[place:]), axis, indices.before)]


def _compress(call: Call) -> list[Value]:
    data = call.tensor(0)
    call.check_fixed(1)
    if call.attribute("axis") is None:
        if data.axis is not None:
            raise MixingError(_PICKS_ROWS)
        return [Tensor((call.symbols.fresh(),))]
    dims = dims_of(data)
    axis = call.axis(0, len(dims))
    if data.axis == axis:
        raise MixingError(_PICKS_ROWS)
    return [Tensor((*dims[:axis], call.symbols.fresh(), *dims[axis + 1 :]), data.axis, data.before)]


def _non_zero(call: Call) -> list[Value]:
    x = call.tensor(0)
    if x.axis is not None:
        raise MixingError("how many elements it finds, and where, depends on all rows")
    return [Tensor((Size(max(len(dims_of(x)), 1)), call.symbols.fresh()))]


def _pad(call: Call) -> list[Value]:
    """Amounts at the begin of every axis, then at the end; since version 18 perhaps only of some axes."""
    x = call.tensor(0)
    call.check_fixed(2)
    dims = dims_of(x)
    axes = tuple(range(len(dims)))
    if call.has(3):
        known = call.constants(3)
        if known is None:
            raise MixingError("its axes are not known before a request")
        axes = tuple(whole_axis(axis, len(dims)) for axis in known)
    attribute = call.integers("pads")
    pads: tuple[Number, ...] | None = tuple(map(Size, attribute)) if attribute else call.values(1)
    if pads is None or len(pads) != 2 * len(axes):
        call.check_fixed(1)
        raise MixingError("how much it pads is not known")
    result = list(dims)
    for at, axis in enumerate(axes):
        begin, end = pads[at], pads[at + len(axes)]
        if begin == end == ZERO:
            continue
        if axis == x.axis:
            raise MixingError("it pads along the axis of the rows")
        result[axis] = _padded_size(call, dims[axis], begin, end)
    return [Tensor(tuple(result), x.axis, x.before)]


def _padded_size(call: Call, dim: Size, begin: Number, end: Number) -> Size:
    if any(isinstance(number, Size) and number.of_batch for number in (begin, end)):
        raise MixingError("the number of rows says how much it pads")
    numbers = [dim.constant, _whole(begin), _whole(end)]
    known = [number for number in numbers if number is not None]
    return Size(max(sum(known), 0)) if len(known) == 3 else call.symbols.derived("Pad", dim, begin, end)


def _center_crop_pad(call: Call) -> list[Value]:
    x = call.tensor(0)
    call.check_fixed(1)
    rank = len(dims_of(x))
    given = call.integers("axes") or range(rank)
    axes = {whole_axis(axis, rank) for axis in given}
    if x.axis in axes:
        raise MixingError("it cuts along the axis of the rows")
    dims = tuple(call.symbols.fresh() if at in axes else dim for at, dim in enumerate(dims_of(x)))
    return [Tensor(dims, x.axis, x.before)]


RULES: Rules = {
    ("", "Gather"): Rule(gather, keeps_values=True),
    ("", "GatherElements"): Rule(_gather_elements),
    ("", "GatherND"): Rule(_gather_nd, row_indices=True),
    ("", "Slice"): Rule(_slice, sizes=frozenset({1, 2}), keeps_values=True),
    ("", "ScatterElements"): Rule(_scatter_elements),
    ("", "Scatter"): Rule(_scatter_elements),
    ("", "ScatterND"): Rule(_scatter_nd, row_indices=True),
    ("", "OneHot"): Rule(_one_hot),
    ("", "Compress"): Rule(_compress),
    ("", "NonZero"): Rule(_non_zero),
    ("", "Pad"): Rule(_pad, sizes=frozenset({1})),
    ("", "CenterCropPad"): Rule(_center_crop_pad),
}
