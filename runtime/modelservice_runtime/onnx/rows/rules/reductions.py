"""Operators that combine, sort or run along some axes, which must not be that of the rows."""

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules, whole_axis
from modelservice_runtime.onnx.rows.sizes import ONE, MixingError, Number, Size, times
from modelservice_runtime.onnx.rows.values import Padding, Tensor, Value, dims_of, scalar, vector


def check_other_axis(x: Tensor, axis: int) -> None:
    """Raise MixingError where the rows lie along `axis`."""
    if x.axis == axis:
        raise MixingError(f"it combines values along axis {axis}, along which the rows lie")


def reduced(x: Tensor, axes: tuple[int, ...], *, keep: bool) -> Tensor:
    """The shape after `axes` were combined."""
    for axis in axes:
        check_other_axis(x, axis)
    dims = dims_of(x)
    if keep:
        return Tensor(tuple(ONE if at in axes else dim for at, dim in enumerate(dims)), x.axis, x.before)
    moved = None if x.axis is None else x.axis - sum(other < x.axis for other in axes)
    return Tensor(tuple(dim for at, dim in enumerate(dims) if at not in axes), moved, x.before)


def reduce(call: Call) -> list[Value]:
    """Over `axes`; without any over all, or over none where the attribute says so."""
    x = call.tensor(0)
    rank = len(dims_of(x))
    axes = call.axes(1, rank)
    if not axes:
        axes = () if call.integer("noop_with_empty_axes", 0) else tuple(range(rank))
    keep = bool(call.integer("keepdims", 1))
    known = _known(call, x, axes, keep=keep)
    if known is not None:
        return [known]
    if x.padding is not None:
        return [_without_padding(call, x, x.padding, axes, keep=keep)]
    return [reduced(x, axes, keep=keep)]


def _without_padding(call: Call, x: Tensor, padding: Padding, axes: tuple[int, ...], *, keep: bool) -> Tensor:
    """A sum over all padded axes does not see zeros."""
    if call.node.operator != "ReduceSum" or padding.fill != 0 or not padding.axes <= set(axes):
        raise MixingError("its input is padded to the longest row of the batch")
    return reduced(x, axes, keep=keep)


def _known(call: Call, x: Tensor, axes: tuple[int, ...], *, keep: bool) -> Tensor | None:
    """The product of known numbers, as sizes are computed."""
    if x.values is None or axes != (0,) or len(dims_of(x)) != 1:
        return None
    found: Number
    if call.node.operator == "ReduceProd" and all(isinstance(value, Size) for value in x.values):
        found = times(*(value for value in x.values if isinstance(value, Size)))
    elif call.node.operator in ("ReduceMax", "ReduceMin") and len(set(x.values)) == 1:
        found = x.values[0]
    else:
        found = call.symbols.derived(call.node.operator, *x.values, is_size=False, is_float=True)
    return vector((found,)) if keep else scalar(found)


def _arg(call: Call) -> list[Value]:
    x = call.tensor(0)
    axis = call.axis(0, len(dims_of(x)))
    return [reduced(x, (axis,), keep=bool(call.integer("keepdims", 1)))]


def _cumulate(call: Call) -> list[Value]:
    x = call.tensor(0)
    axis = call.constants(1)
    if axis is None or len(axis) != 1:
        raise MixingError("its axis is not known before a request")
    dims = dims_of(x)
    check_other_axis(x, whole_axis(axis[0], len(dims)))
    return [Tensor(dims, x.axis, x.before)]


def _top_k(call: Call) -> list[Value]:
    x = call.tensor(0)
    call.check_fixed(1)
    dims = dims_of(x)
    axis = call.axis(-1, len(dims))
    check_other_axis(x, axis)
    known = call.values(1)
    k = known[0] if known and isinstance(known[0], Size) else call.symbols.fresh()
    if not call.has(1):
        k = Size(call.integer("k", 0))
    found = Tensor((*dims[:axis], k, *dims[axis + 1 :]), x.axis, x.before)
    return [found, found]


def _last_two(call: Call) -> list[Value]:
    """Trilu and Inverse work on matrices in the last two dimensions."""
    x = call.tensor(0)
    call.check_fixed(*range(1, len(call.inputs)))
    rank = len(dims_of(x))
    for axis in (rank - 2, rank - 1):
        check_other_axis(x, axis)
    return [Tensor(dims_of(x), x.axis, x.before)]


def _determinant(call: Call) -> list[Value]:
    x = call.tensor(0)
    rank = len(dims_of(x))
    return [reduced(x, (rank - 2, rank - 1), keep=False)]


def _reverse_sequence(call: Call) -> list[Value]:
    """Each sample is turned up to its own length."""
    x, lengths = call.tensor(0), call.tensor(1)
    rank = len(dims_of(x))
    batch = whole_axis(call.integer("batch_axis", 1), rank)
    if x.axis is None and lengths.axis is None:
        return [Tensor(x.dims)]
    if x.axis != batch or lengths.axis != 0 or dims_of(lengths) != dims_of(x)[batch : batch + 1]:
        raise MixingError("its samples are not the rows")
    if lengths.before != x.before:
        raise MixingError("the rows of its inputs lie in different orders")
    return [Tensor(x.dims, x.axis, x.before)]


def _fourier(call: Call) -> list[Value]:
    """Along one axis; the last one holds the parts of complex numbers."""
    x = call.tensor(0)
    call.check_fixed(1, 2)
    rank = len(dims_of(x))
    axis = call.integer("axis", 1)
    if call.has(2):
        known = call.constants(2)
        if known is None:
            raise MixingError("its axis is not known before a request")
        axis = known[0]
    elif call.version >= 20:
        axis = -2
    for at in (whole_axis(axis, rank), rank - 1):
        check_other_axis(x, at)
    dims = tuple(dim if at == x.axis else call.symbols.fresh() for at, dim in enumerate(dims_of(x)))
    return [Tensor(dims, x.axis, x.before)]


def _short_time_fourier(call: Call) -> list[Value]:
    """Signals [samples, length, parts] to [samples, frames, frequencies, parts]."""
    x = call.tensor(0)
    call.check_fixed(1, 2, 3)
    if x.axis not in (None, 0):
        raise MixingError("the rows are not its signals")
    fresh = call.symbols.fresh
    return [Tensor((dims_of(x)[0], fresh(), fresh(), Size(2)), x.axis, x.before)]


_REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]

RULES: Rules = {
    **{
        ("", f"Reduce{name}"): Rule(reduce, keeps_values=name in ("Prod", "Max", "Min"), padded=name == "Sum")
        for name in _REDUCTIONS
    },
    ("", "ArgMax"): Rule(_arg),
    ("", "ArgMin"): Rule(_arg),
    ("", "CumSum"): Rule(_cumulate),
    ("", "CumProd"): Rule(_cumulate),
    ("", "TopK"): Rule(_top_k),
    ("", "Trilu"): Rule(_last_two),
    ("", "Det"): Rule(_determinant),
    ("", "ReverseSequence"): Rule(_reverse_sequence),
    ("", "DFT"): Rule(_fourier),
    ("", "STFT"): Rule(_short_time_fourier),
    ("com.microsoft", "Trilu"): Rule(_last_two),
    ("com.microsoft", "Inverse"): Rule(_last_two),
}
