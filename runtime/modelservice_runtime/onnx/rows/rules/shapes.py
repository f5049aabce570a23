"""Operators that move, cut, join or repeat whole axes, and those that make tensors from shapes."""

from collections.abc import Callable
from dataclasses import replace

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules, to_number, to_tensor, whole_axis
from modelservice_runtime.onnx.rows.graph_file import Attribute, read_constant
from modelservice_runtime.onnx.rows.sizes import ONE, ROWS, ZERO, MixingError, Number, Size, quotient, times
from modelservice_runtime.onnx.rows.values import (
    MAX_VALUES,
    UNKNOWN,
    Tensor,
    Value,
    broadcast,
    dims_of,
    scalar,
    selected,
    vector,
)


def _constant(call: Call) -> list[Value]:
    """Of one attribute, which ONNX Runtime reads by its type, whatever its name."""
    names = list(call.node.attributes)
    found = call.attribute(names[0]) if len(names) == 1 else None
    read = None if found is None else _CONSTANTS.get((names[0], found.kind))
    return [UNKNOWN if found is None or read is None else read(found)]


def _constant_tensor(found: Attribute) -> Tensor:
    content = found.message(5)
    return UNKNOWN if content is None else to_tensor(read_constant(content))


def _constant_integers(found: Attribute) -> Tensor:
    numbers = found.integers()
    return vector(tuple(map(Size, numbers))) if len(numbers) <= MAX_VALUES else UNKNOWN


# By name and by AttributeProto.AttributeType.
_CONSTANTS: dict[tuple[str, int], Callable[[Attribute], Tensor]] = {
    ("value", 4): _constant_tensor,
    ("value_int", 2): lambda found: scalar(Size(found.integer() or 0)),
    ("value_ints", 7): _constant_integers,
    ("value_float", 1): lambda found: scalar(found.real() or 0.0),
    ("value_string", 3): lambda _: Tensor(()),
}


def _shape(call: Call) -> list[Value]:
    dims = dims_of(call.tensor(0))
    return [vector(dims[call.integer("start", 0) : _end(call, len(dims))])]


def _end(call: Call, rank: int) -> int:
    return rank if call.attribute("end") is None else call.integer("end", rank)


def _size(call: Call) -> list[Value]:
    return [scalar(times(*dims_of(call.tensor(0))))]


def _transpose(call: Call) -> list[Value]:
    x = call.tensor(0)
    if x.rank is None:
        return [UNKNOWN]
    order = call.integers("perm") or tuple(reversed(range(x.rank)))
    if sorted(order) != list(range(x.rank)):
        raise MixingError("its permutation does not suit the rank of its input")
    axis = None if x.axis is None else order.index(x.axis)
    values = x.values if x.rank < 2 else selected(x, {}, order)
    dims = tuple(dims_of(x)[at] for at in order)
    return [Tensor(dims, axis, x.before, values, is_places=x.is_places)]


def _unsqueeze(call: Call) -> list[Value]:
    x = call.tensor(0)
    given = call.integers("axes") or call.constants(1)
    if given is None:
        raise MixingError("its axes are not known before a request")
    rank = len(dims_of(x)) + len(given)
    added = {whole_axis(axis, rank) for axis in given}
    old = [at for at in range(rank) if at not in added]
    dims = [ONE] * rank
    for at, dim in zip(old, dims_of(x), strict=True):
        dims[at] = dim
    return [replace(x, dims=tuple(dims), axis=None if x.axis is None else old[x.axis])]


def _squeeze(call: Call) -> list[Value]:
    x = call.tensor(0)
    dims = dims_of(x)
    axes = call.axes(1, len(dims))
    if not axes:  # no list, or an empty one
        if any(dim.constant is None for dim in dims):
            raise MixingError("it removes whichever axes have the size 1, perhaps that of the rows")
        axes = tuple(at for at, dim in enumerate(dims) if dim == ONE)
    if x.axis in axes:
        raise MixingError("it removes the axis of the rows")
    kept = [at for at in range(len(dims)) if at not in axes]
    axis = None if x.axis is None else kept.index(x.axis)
    return [replace(x, dims=tuple(dims[at] for at in kept), axis=axis)]


def _expand_dims(call: Call) -> list[Value]:
    """com.microsoft's: one axis, from input 1."""
    x, at = call.tensor(0), call.constants(1)
    if at is None or len(at) != 1:
        raise MixingError("its axis is not known before a request")
    dims = list(dims_of(x))
    place = whole_axis(at[0], len(dims) + 1)
    axis = None if x.axis is None else x.axis + (place <= x.axis)
    return [Tensor((*dims[:place], ONE, *dims[place:]), axis, x.before)]


def _concat(call: Call) -> list[Value]:
    tensors = [tensor for tensor in call.inputs if tensor is not None]
    if all(tensor.rank == 1 and tensor.values is not None for tensor in tensors):
        values: tuple[Number, ...] = tuple(value for tensor in tensors for value in tensor.values or ())
        if len(values) <= MAX_VALUES:
            return [vector(values)]
    axis = call.axis(0, len(dims_of(tensors[0])))
    joined = join(call, tensors, axis)
    if any(tensor.is_places for tensor in tensors):
        only_first = not any(tensor.is_places for tensor in tensors[1:])
        if not only_first or axis != len(dims_of(joined)) - 1 or dims_of(tensors[0])[-1] != ONE:
            raise MixingError("it uses the places of rows in the batch as values")
        return [replace(joined, first_is_place=True)]
    return [joined]


def join(call: Call, tensors: list[Tensor], axis: int) -> Tensor:
    """Tensors behind one another along `axis`, which is not that of the rows of any."""
    first = next((tensor for tensor in tensors if tensor.axis is not None), tensors[0])
    for tensor in tensors:
        if len(dims_of(tensor)) != len(dims_of(first)) or tensor.axis != first.axis:
            raise MixingError("not all of its inputs have the rows along the same axis")
        if first.axis is None:
            continue
        if first.axis == axis:
            raise MixingError("it puts rows of one input behind those of another")
        if dims_of(tensor)[first.axis] != dims_of(first)[first.axis] or tensor.before != first.before:
            raise MixingError("the rows of its inputs lie in different orders")
    parts = [dims_of(tensor)[axis] for tensor in tensors]
    total = _sum(call, parts)
    dims = dims_of(first)
    return Tensor((*dims[:axis], total, *dims[axis + 1 :]), first.axis, first.before)


def _sum(call: Call, parts: list[Size]) -> Size:
    known = [part.constant for part in parts]
    numbers = [number for number in known if number is not None]
    if len(numbers) == len(parts):
        return Size(sum(numbers))
    return parts[0] if len(parts) == 1 else call.symbols.derived("Concat", *parts)


def _split(call: Call) -> list[Value]:
    x = call.tensor(0)
    call.check_fixed(1)
    dims = dims_of(x)
    axis = call.axis(0, len(dims))
    if x.axis == axis:
        raise MixingError("it splits the axis of the rows")
    parts = len(call.node.outputs)
    sizes = call.integers("split") or call.values(1)
    results: list[Value] = []
    for at in range(parts):
        size = _part(call, sizes[at]) if sizes and len(sizes) == parts else _even_part(call, dims[axis], at)
        results.append(Tensor((*dims[:axis], size, *dims[axis + 1 :]), x.axis, x.before))
    return results


def _part(call: Call, size: Number | int) -> Size:
    known = Size(size) if isinstance(size, int) else size
    return known if isinstance(known, Size) and known.is_size else call.symbols.fresh()


def _even_part(call: Call, dim: Size, at: int) -> Size:
    if call.has(1):
        return call.symbols.fresh()
    parts = len(call.node.outputs)
    exact = quotient(dim, Size(parts))
    return exact if exact is not None else call.symbols.derived(f"part {at} of {parts}", dim)


def expand(call: Call) -> list[Value]:
    """Broadcasts with a tensor of the given shape; a dimension of 1 may become the number of rows."""
    x = call.tensor(0)
    target = call.values(1)
    if target is None or x.dims is None:
        call.check_fixed(1)
        if x.axis is not None:
            raise MixingError("the shape it gives is not known")
        return [UNKNOWN]
    joined = broadcast(call.symbols, x, of_shape(_sizes(call, target)))
    joined = replace(joined, is_places=x.is_places)
    if joined.axis is None and x.values is not None and len(x.values) == 1:
        return [_repeated(joined, x.values)]
    return [joined]


def _sizes(call: Call, target: tuple[Number, ...]) -> tuple[Size, ...]:
    """Wanted dimensions: with one that came out negative the node would not run."""
    sizes = tuple(number for number in target if isinstance(number, Size))
    if len(sizes) != len(target):
        raise MixingError("the shape it gives is not whole")
    return tuple(s if s.is_size else call.symbols.fresh(of_batch=s.of_batch) for s in sizes)


def _repeated(joined: Tensor, values: tuple[Number, ...]) -> Tensor:
    count = times(*dims_of(joined)).constant
    return replace(joined, values=values * count) if count is not None and count <= MAX_VALUES else joined


def of_shape(sizes: tuple[Size, ...]) -> Tensor:
    """A tensor of this shape, all rows of which are the same. Raises MixingError."""
    holders = [at for at, size in enumerate(sizes) if size.of_batch]
    if not holders:
        return Tensor(sizes)
    factor = quotient(sizes[holders[0]], ROWS)
    if len(holders) > 1 or factor is None or factor.of_batch or not factor.is_size:
        raise MixingError("the number of rows decides more than the size of one dimension")
    return Tensor(sizes, holders[0])


def _constant_of_shape(call: Call) -> list[Value]:
    target = call.values(0)
    if target is None:
        call.check_fixed(0)
        shape = call.tensor(0)
        rank = dims_of(shape)[0].constant if shape.rank == 1 else None
        known_rank = rank is not None and rank <= 16
        return [Tensor(tuple(call.symbols.fresh() for _ in range(rank or 0))) if known_rank else UNKNOWN]
    made = of_shape(_sizes(call, target))
    return [made if made.axis is not None else _repeated(made, (_filling(call),))]


def _filling(call: Call) -> Number:
    """The one value that fills the tensor; 0, a float, where none is given."""
    given = call.attribute("value")
    content = None if given is None else given.message(5)
    if content is None:
        return 0.0 if given is None else call.symbols.fresh(is_size=False, is_float=True)
    values = read_constant(content).values
    if values is None or len(values) != 1:
        return call.symbols.fresh(is_size=False, is_float=True)
    return to_number(values[0])


def _tile(call: Call) -> list[Value]:
    """Repeats whole blocks: along the axis of the rows the repetitions stand outside of them."""
    x, repeats = call.tensor(0), call.values(1)
    dims = dims_of(x)
    sizes = tuple(number for number in repeats or () if isinstance(number, Size) and number.is_size)
    if repeats is None or len(sizes) != len(dims):
        call.check_fixed(0, 1)
        raise MixingError("how often it repeats the rows is not known")
    tiled = tuple(times(dim, size) for dim, size in zip(dims, sizes, strict=True))
    if x.axis is None:
        made = of_shape(tiled)
        return [made]
    if any(size.of_batch for size in sizes):
        raise MixingError("it repeats rows as often as there are rows")
    return [Tensor(tiled, x.axis, times(sizes[x.axis], x.before))]


def _range(call: Call) -> list[Value]:
    """From 0 to the number of rows: their places in the batch."""
    numbers = [call.values(at) for at in range(3)]
    known = [number[0] for number in numbers if number is not None and len(number) == 1]
    if len(known) != 3:
        call.check_fixed(0, 1, 2)
        return [Tensor((call.symbols.fresh(),))]
    start, limit, step = known
    if isinstance(limit, Size) and limit == ROWS and start == ZERO and step == ONE:
        return [Tensor((ROWS,), 0, is_places=True)]
    if any(isinstance(number, Size) and number.of_batch for number in known):
        raise MixingError("it counts to a number that depends on the number of rows")
    if isinstance(limit, Size) and start == ZERO and step == ONE and limit.is_whole:
        return [Tensor((limit,))]
    return [Tensor((call.symbols.derived("Range", *known),))]


RULES: Rules = {
    ("", "Constant"): Rule(_constant),
    ("", "Shape"): Rule(_shape, sizes=frozenset({0}), places=True),
    ("", "Size"): Rule(_size, sizes=frozenset({0}), places=True),
    ("", "Transpose"): Rule(_transpose, keeps_values=True, places=True),
    ("", "Unsqueeze"): Rule(_unsqueeze, keeps_values=True, places=True),
    ("", "Squeeze"): Rule(_squeeze, keeps_values=True, places=True),
    ("com.microsoft", "ExpandDims"): Rule(_expand_dims),
    ("", "Concat"): Rule(_concat, keeps_values=True, places=True),
    ("", "Split"): Rule(_split),
    ("", "Expand"): Rule(expand, sizes=frozenset({1}), keeps_values=True, places=True),
    ("", "ConstantOfShape"): Rule(_constant_of_shape, sizes=frozenset({0})),
    ("", "Tile"): Rule(_tile, sizes=frozenset({1})),
    ("", "Range"): Rule(_range, sizes=frozenset({1})),
}
