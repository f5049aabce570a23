"""Recurrent layers, which step through a sequence and keep a state for each sample."""

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules
from modelservice_runtime.onnx.rows.sizes import MixingError, Size
from modelservice_runtime.onnx.rows.values import Tensor, Value, dims_of


def recurrent(call: Call) -> list[Value]:
    """X [steps, samples, features], states [directions, samples, hidden]; with layout 1 the samples first."""
    x = call.tensor(0)
    lstm = call.node.operator == "LSTM"
    call.check_fixed(1, 2, 3, *((7,) if lstm else ()))
    samples_first = bool(call.integer("layout", 0))
    dims = dims_of(x)
    place = 0 if samples_first else 1
    if len(dims) != 3 or x.axis not in (None, place):
        raise MixingError("the rows are not its samples: it steps through them")
    for at, axis in ((4, 0), (5, place), *(((6, place),) if lstm else ())):
        _check_samples(call, x, at, axis)
    directions = Size(2 if call.text("direction", "forward") == "bidirectional" else 1)
    hidden = Size(call.integer("hidden_size", 0))
    steps, samples = (dims[1], dims[0]) if samples_first else (dims[0], dims[1])
    if samples_first:
        y, state, at_y = (samples, steps, directions, hidden), (samples, directions, hidden), 0
    else:
        y, state, at_y = (steps, directions, samples, hidden), (directions, samples, hidden), 2
    has_rows = x.axis is not None
    last = Tensor(state, place if has_rows else None, x.before)
    return [Tensor(y, at_y if has_rows else None, x.before), last, *([last] if lstm else [])]


def _check_samples(call: Call, x: Tensor, at: int, axis: int) -> None:
    """Lengths and first states are those of the same samples."""
    given = call.get(at)
    if given is None or (given.is_fixed and x.axis is None):
        return
    if x.axis is None or given.axis != axis or given.before != x.before:
        raise MixingError(f"its input {at} does not have the samples of its input 0")
    if dims_of(given)[axis] != dims_of(x)[x.axis]:
        raise MixingError(f"its input {at} does not have the samples of its input 0")


RULES: Rules = {("", name): Rule(recurrent) for name in ("LSTM", "GRU", "RNN")}
