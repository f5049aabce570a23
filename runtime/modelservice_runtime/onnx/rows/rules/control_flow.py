"""If, Loop and Scan: what decides how often and which way must not depend on the batch."""

from collections.abc import Sequence
from dataclasses import replace

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules, whole_axis
from modelservice_runtime.onnx.rows.sizes import MixingError, Size
from modelservice_runtime.onnx.rows.values import UNKNOWN, Mixed, Tensor, Value, dims_of

# A dimension that varies is found in one round, and there are only so many.
_MAX_ROUNDS = 12


def _if(call: Call) -> list[Value]:
    call.check_fixed(0)
    known = call.constants(0)
    if known is not None and len(known) == 1:
        return _branch(call, "then_branch" if known[0] else "else_branch")
    one, other = _branch(call, "then_branch"), _branch(call, "else_branch")
    if len(one) != len(other):
        raise MixingError("its branches have different numbers of outputs")
    return [_either(call, *pair) for pair in zip(one, other, strict=True)]


def _branch(call: Call, name: str) -> list[Value]:
    return call.interpreter.run_body(call.graph(name), ())


def _either(call: Call, one: Value, other: Value) -> Value:
    """What is known of a tensor that comes from one of two branches."""
    if isinstance(one, Mixed) or isinstance(other, Mixed):
        return one if isinstance(one, Mixed) else other
    if one == other:
        return one
    if one.is_special or other.is_special:
        raise MixingError("its branches treat rows differently")
    if one.counts_rows or other.counts_rows:
        raise MixingError("it uses the number of rows in the batch as a value")
    return _merged(call, one, other)


def _merged(call: Call, one: Tensor, other: Tensor) -> Tensor:
    if one.axis is None and other.axis is None:
        if one.dims is None or other.dims is None or len(one.dims) != len(other.dims):
            return UNKNOWN
    elif one.axis != other.axis or one.before != other.before or one.rank != other.rank:
        raise MixingError("the rows lie along different axes, depending on which way is taken")
    elif dims_of(one)[one.axis or 0] != dims_of(other)[one.axis or 0]:
        raise MixingError("a row has different numbers of elements, depending on which way is taken")
    dims = tuple(
        a if a == b else call.symbols.fresh() for a, b in zip(dims_of(one), dims_of(other), strict=True)
    )
    return Tensor(dims, one.axis, one.before)


def _loop(call: Call) -> list[Value]:
    """Input 0 says how often, input 1 whether at all, the rest are states that go around."""
    call.check_fixed(0, 1)
    body = call.graph("body")
    states = [call.tensor(at) for at in range(2, len(call.inputs))]
    mark = call.symbols.mark()
    for _ in range(_MAX_ROUNDS):
        states = [_renewed(call, state, mark) for state in states]
        inputs = [Tensor(()), Tensor(()), *states]
        results = call.interpreter.run_body(body, inputs)
        _check_condition(results[0])
        after = _tensors(results[1 : len(states) + 1], len(states))
        if isinstance(after, Mixed):
            return [after] * len(call.node.outputs)
        joined = [_joined(call, *pair, mark) for pair in zip(states, after, strict=True)]
        if joined == states:
            collected = [_collected(call, value) for value in results[len(states) + 1 :]]
            return [_outside(call, value, mark) for value in (*states, *collected)]
        states = joined
    raise MixingError("what it carries from turn to turn does not settle")


def _check_condition(condition: Value) -> None:
    if isinstance(condition, Mixed) or not condition.is_fixed:
        raise MixingError("whether it goes on depends on the rows of the batch")


def _tensors(values: Sequence[Value], count: int) -> list[Tensor] | Mixed:
    """The states behind a turn, or the first one that is mixed."""
    found = []
    for value in values:
        if isinstance(value, Mixed):
            return value
        found.append(value)
    if len(found) != count:
        raise MixingError("its graph has another number of outputs")
    return found


def _joined(call: Call, before: Tensor, after: Tensor, mark: int) -> Tensor:
    """What is known of a state in every turn; a dimension that varied before goes on to vary."""
    if before.dims is not None and after.dims is not None and len(before.dims) == len(after.dims):
        pairs = zip(before.dims, after.dims, strict=True)
        after = replace(after, dims=tuple(old if _is_inner(old, mark) else new for old, new in pairs))
    if before == after:
        return before
    joined = _either(call, before, after)
    if isinstance(joined, Mixed):
        raise MixingError(joined.why)
    return replace(joined, values=None)


def _renewed(call: Call, state: Tensor, mark: int) -> Tensor:
    """A state whose varying dimensions get symbols of this round only."""
    return state if state.dims is None else _outside_tensor(call, state, mark)


def _outside(call: Call, value: Value, mark: int) -> Value:
    return value if isinstance(value, Mixed) else _outside_tensor(call, value, mark)


def _outside_tensor(call: Call, tensor: Tensor, mark: int) -> Tensor:
    """Numbers of one turn say nothing about those of another: they get new symbols, known values go."""
    if tensor.values is not None and any(_is_inner(v, mark) for v in tensor.values if isinstance(v, Size)):
        tensor = replace(tensor, values=None)
    if tensor.dims is None or not any(_is_inner(dim, mark) for dim in tensor.dims):
        return tensor
    if tensor.axis is not None and _is_inner(tensor.dims[tensor.axis], mark):
        raise MixingError("a row has different numbers of elements from turn to turn")
    if tensor.padding is not None:
        raise MixingError("its state is padded to the longest row of the batch")
    dims = tuple(call.symbols.fresh() if _is_inner(dim, mark) else dim for dim in tensor.dims)
    return replace(tensor, dims=dims)


def _is_inner(size: Size, mark: int) -> bool:
    return any(symbol.number > mark for symbol in size.symbols)


def _collected(call: Call, value: Value) -> Value:
    """One part for each turn, along a new first axis."""
    if isinstance(value, Mixed):
        return value
    if value.counts_rows or value.is_special:
        raise MixingError("it collects what depends on the number of rows in the batch")
    if value.dims is None:
        return UNKNOWN
    axis = None if value.axis is None else value.axis + 1
    return Tensor((call.symbols.fresh(), *value.dims), axis, value.before)


def _scan(call: Call) -> list[Value]:
    """States that go around, then tensors that are stepped through along some axis."""
    if call.version < 9:
        raise MixingError(f"version {call.version} of it is not known")
    body = call.graph("body")
    stepped = call.integer("num_scan_inputs", 0)
    count = len(call.inputs) - stepped
    if not 0 <= count <= len(call.inputs):
        raise MixingError("its graph has another number of inputs")
    states = [call.tensor(at) for at in range(count)]
    axes = call.integers("scan_input_axes") or (0,) * stepped
    parts = [_part(call.tensor(count + at), axes[at]) for at in range(stepped)]
    mark = call.symbols.mark()
    for _ in range(_MAX_ROUNDS):
        states = [_renewed(call, state, mark) for state in states]
        results = call.interpreter.run_body(body, [*states, *parts])
        after = _tensors(results[:count], count)
        if isinstance(after, Mixed):
            return [after] * len(call.node.outputs)
        joined = [_joined(call, *pair, mark) for pair in zip(states, after, strict=True)]
        if joined == states:
            collected = _scanned(call, results[count:])
            return [_outside(call, value, mark) for value in (*states, *collected)]
        states = joined
    raise MixingError("what it carries from turn to turn does not settle")


def _part(tensor: Tensor, axis: int) -> Tensor:
    """What one turn sees of a tensor that is stepped through."""
    dims = dims_of(tensor)
    place = whole_axis(axis, len(dims))
    if tensor.axis == place:
        raise MixingError("it steps through the rows")
    moved = None if tensor.axis is None else tensor.axis - (place < tensor.axis)
    return Tensor((*dims[:place], *dims[place + 1 :]), moved, tensor.before)


def _scanned(call: Call, values: Sequence[Value]) -> list[Value]:
    axes = call.integers("scan_output_axes") or (0,) * len(values)
    collected: list[Value] = []
    for value, axis in zip(values, axes, strict=False):
        found = _collected(call, value)
        if axis and isinstance(found, Tensor) and found.dims is not None:
            found = _moved(found, found.dims, whole_axis(axis, len(found.dims)))
        collected.append(found)
    return collected


def _moved(tensor: Tensor, dims: tuple[Size, ...], to: int) -> Tensor:
    rest = dims[1:]
    axis = tensor.axis
    if axis is not None:
        axis = axis - 1 if axis - 1 < to else axis
    return Tensor((*rest[:to], dims[0], *rest[to:]), axis, tensor.before)


RULES: Rules = {
    ("", "If"): Rule(_if, strict=True),
    ("", "Loop"): Rule(_loop, strict=True),
    ("", "Scan"): Rule(_scan, strict=True),
}
