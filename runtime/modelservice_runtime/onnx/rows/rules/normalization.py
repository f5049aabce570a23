"""Operators that scale values by statistics of some axes, which must not be that of the rows."""

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules, whole_axis
from modelservice_runtime.onnx.rows.rules.convolution import samples, unchanged
from modelservice_runtime.onnx.rows.sizes import ONE, MixingError
from modelservice_runtime.onnx.rows.values import Tensor, Value, broadcast, dims_of, with_dims


def _same(x: Tensor) -> Tensor:
    return with_dims(x, dims_of(x))


def check_apart(x: Tensor, axis: int, *, and_behind: bool) -> None:
    """Raise MixingError where the rows lie along `axis` (or, if so asked, behind it)."""
    if x.axis is not None and (x.axis == axis or (and_behind and x.axis > axis)):
        raise MixingError(f"it normalizes over axis {x.axis}, along which the rows lie")


def softmax(call: Call) -> list[Value]:
    """Over one axis since version 13; before, over `axis` and all behind it."""
    x = call.tensor(0)
    flattens = call.version < 13
    axis = call.axis(1 if flattens else -1, len(dims_of(x)))
    check_apart(x, axis, and_behind=flattens)
    return [_same(x)]


def _layer_normalization(call: Call) -> list[Value]:
    """Over `axis` and all behind it; the scale and the bias are the same for all rows."""
    x = call.tensor(0)
    dims = dims_of(x)
    axis = call.axis(-1, len(dims))
    check_apart(x, axis, and_behind=True)
    call.check_fixed(1, 2)
    scaled = [call.tensor(at) for at in (1, 2) if call.has(at)]
    broadcast(call.symbols, x, *scaled)
    statistics = with_dims(x, (*dims[:axis], *(ONE for _ in dims[axis:])))
    return [_same(x), statistics, statistics]


def _skip_layer_normalization(call: Call) -> list[Value]:
    """Over the last axis of the sum of two tensors; output 3 is the sum itself."""
    x, skip = call.tensor(0), call.tensor(1)
    call.check_fixed(2, 3, 4)
    total = broadcast(call.symbols, x, skip)
    check_apart(total, len(dims_of(total)) - 1, and_behind=False)
    dims = dims_of(total)
    statistics = with_dims(total, (*dims[:-1], ONE))
    return [total, statistics, statistics, total]


def _batch_normalization(call: Call) -> list[Value]:
    """With statistics of the training; in training mode it would take those of the batch."""
    training = call.integer("training_mode", 0)
    more_outputs = any(call.node.outputs[1:])
    if training or (more_outputs and call.version < 14):
        raise MixingError("it takes statistics of the batch, as in training")
    x = call.tensor(0)
    call.check_fixed(1, 2, 3, 4)
    everywhere = call.integer("spatial", 1)  # else each place has numbers of its own, before version 9
    if x.axis not in (None, 0) and (x.axis == 1 or not everywhere):
        raise MixingError("the rows lie along the axis of its channels")
    return [_same(x)]


def _lp_normalization(call: Call) -> list[Value]:
    x = call.tensor(0)
    check_apart(x, call.axis(-1, len(dims_of(x))), and_behind=False)
    return [_same(x)]


def _mean_variance(call: Call) -> list[Value]:
    """By default over samples and space, that is over the whole batch."""
    x = call.tensor(0)
    rank = len(dims_of(x))
    for axis in call.integers("axes") or (0, 2, 3):
        check_apart(x, whole_axis(axis, rank), and_behind=False)
    return [_same(x)]


def _skip_group_norm(call: Call) -> list[Value]:
    x, skip = samples(call), call.tensor(3)
    call.check_fixed(1, 2, 4)
    total = broadcast(call.symbols, x, skip)
    # Of a matrix the first dimension is the samples, not that before the channels.
    if (total.axis, total.dims, skip.rank) != (x.axis, x.dims, x.rank):
        raise MixingError("what it adds does not have the same rows")
    return [_same(x), _same(x)]


RULES: Rules = {
    ("", "Softmax"): Rule(softmax),
    ("", "LogSoftmax"): Rule(softmax),
    ("", "Hardmax"): Rule(softmax),
    ("", "LayerNormalization"): Rule(_layer_normalization),
    ("", "SimplifiedLayerNormalization"): Rule(_layer_normalization),
    ("", "RMSNormalization"): Rule(_layer_normalization),
    ("", "BatchNormalization"): Rule(_batch_normalization),
    ("", "InstanceNormalization"): Rule(unchanged),
    ("", "GroupNormalization"): Rule(unchanged),
    ("", "LpNormalization"): Rule(_lp_normalization),
    ("", "MeanVarianceNormalization"): Rule(_mean_variance),
    ("com.microsoft", "LayerNormalization"): Rule(_layer_normalization),
    ("com.microsoft", "SkipLayerNormalization"): Rule(_skip_layer_normalization),
    ("com.microsoft", "SkipSimplifiedLayerNormalization"): Rule(_skip_layer_normalization),
    ("com.microsoft", "GroupNorm"): Rule(unchanged),
    ("com.microsoft", "SkipGroupNorm"): Rule(_skip_group_norm),
}
