"""Quantized operators: scales and zero points must be those of the model, not of the values in a batch."""

from collections.abc import Callable, Sequence

from modelservice_runtime.onnx.rows.call import Call, Rule, Rules, whole_axis
from modelservice_runtime.onnx.rows.rules.convolution import same_rank
from modelservice_runtime.onnx.rows.rules.linear import matmul, transposed
from modelservice_runtime.onnx.rows.rules.normalization import check_apart
from modelservice_runtime.onnx.rows.rules.reductions import reduced
from modelservice_runtime.onnx.rows.rules.shapes import join
from modelservice_runtime.onnx.rows.sizes import MixingError
from modelservice_runtime.onnx.rows.values import Tensor, Value, broadcast, dims_of, is_single


def _check_single(call: Call, *places: int) -> None:
    """Raise MixingError unless these inputs are one number each, the same for all rows."""
    call.check_fixed(*places)
    for at in places:
        if call.has(at) and not is_single(call.tensor(at)):
            raise MixingError(f"its input {at} is not one number for all rows")


def _linear(call: Call) -> list[Value]:
    """Scale and zero point: one for all, one for each part along `axis`, or one for each block."""
    x = call.tensor(0)
    call.check_fixed(1, 2)
    result = Tensor(x.dims, x.axis, x.before)
    if x.axis is None:
        return [result]
    scale = call.tensor(1)
    if not is_single(scale):
        dims = dims_of(x)
        axis = whole_axis(call.integer("axis", 1), len(dims))
        if scale.rank != 1 or axis == x.axis:
            raise MixingError("its scale is not the same for all rows")
    return [result]


def _dynamic(call: Call) -> list[Value]:
    if call.tensor(0).axis is not None:
        raise MixingError("it takes one scale from the values of all rows")
    x = call.tensor(0)
    return [Tensor(x.dims), Tensor(()), Tensor(())]


def _matmul_integer(call: Call) -> list[Value]:
    """A, B, their zero points; those of B's columns must be one where they are the rows."""
    a, b = call.tensor(0), call.tensor(1)
    _check_single(call, 2)
    if b.axis is not None:
        _check_single(call, 3)
    call.check_fixed(3)
    return [matmul(call, a, b)]


def _matmul_integer_to_float(call: Call) -> list[Value]:
    """A, B, their scales, their zero points, a bias along the columns."""
    _check_single(call, 2, 4)
    call.check_fixed(1, 3, 5, 6)
    return [matmul(call, call.tensor(0), call.tensor(1))]


def _qlinear_matmul(call: Call) -> list[Value]:
    """a, its scale, its zero point, b, its scale, its zero point, the scale and zero point of the result."""
    _check_single(call, 1, 2, 6, 7)
    call.check_fixed(4, 5)
    a, b = call.tensor(0), call.tensor(3)
    if b.axis is not None:
        _check_single(call, 4, 5)
    return [matmul(call, a, b)]


def _qgemm(call: Call) -> list[Value]:
    _check_single(call, 1, 2, 7, 8)
    call.check_fixed(3, 4, 5, 6)
    a = transposed(call.tensor(0), call.integer("transA", 0))
    product, c = matmul(call, a, transposed(call.tensor(3), call.integer("transB", 0))), call.get(6)
    return [product if c is None else broadcast(call.symbols, product, c)]


def _of_inputs(data: Sequence[int]) -> Callable[[Call], list[Value]]:
    """Elementwise over the inputs `data`; all others are single numbers."""

    def rule(call: Call) -> list[Value]:
        _check_single(call, *(at for at in range(len(call.inputs)) if at not in data))
        return [broadcast(call.symbols, *(call.tensor(at) for at in data))]

    return rule


def _qlinear_softmax(call: Call) -> list[Value]:
    x = call.tensor(0)
    _check_single(call, *range(1, len(call.inputs)))
    rank = len(dims_of(x))
    flattens = call.integer("opset", 0) < 13
    check_apart(x, whole_axis(call.integer("axis", -1), rank), and_behind=flattens)
    return [Tensor(x.dims, x.axis, x.before)]


def _qlinear_concat(call: Call) -> list[Value]:
    """The scale and zero point of the result, then each input with its own."""
    data = range(2, len(call.inputs), 3)
    _check_single(call, *(at for at in range(len(call.inputs)) if at not in data))
    tensors = [call.tensor(at) for at in data]
    return [join(call, tensors, whole_axis(call.integer("axis", 0), len(dims_of(tensors[0]))))]


def _qlinear_reduce_mean(call: Call) -> list[Value]:
    x = call.tensor(0)
    _check_single(call, 1, 2, 3, 4)
    rank = len(dims_of(x))
    axes = tuple(whole_axis(axis, rank) for axis in call.integers("axes") or range(rank))
    return [reduced(x, axes, keep=bool(call.integer("keepdims", 1)))]


def _gather_block_quantized(call: Call) -> list[Value]:
    """Rows of a quantized table, which is the same for all."""
    indices = call.tensor(1)
    call.check_fixed(0, 2, 3)
    table = dims_of(call.tensor(0))
    axis = whole_axis(call.integer("gather_axis", 0), len(table))
    dims = (*table[:axis], *dims_of(indices), *(call.symbols.fresh() for _ in table[axis + 1 :]))
    place = None if indices.axis is None else axis + indices.axis
    return [Tensor(dims, place, indices.before)]


_POOLED = Rule(same_rank)

RULES: Rules = {
    ("", "QuantizeLinear"): Rule(_linear),
    ("", "DequantizeLinear"): Rule(_linear),
    ("", "DynamicQuantizeLinear"): Rule(_dynamic),
    ("", "MatMulInteger"): Rule(_matmul_integer),
    ("", "QLinearMatMul"): Rule(_qlinear_matmul),
    ("com.microsoft", "QuantizeLinear"): Rule(_linear),
    ("com.microsoft", "DequantizeLinear"): Rule(_linear),
    ("com.microsoft", "MatMulInteger16"): Rule(_matmul_integer),
    ("com.microsoft", "MatMulIntegerToFloat"): Rule(_matmul_integer_to_float),
    ("com.microsoft", "QGemm"): Rule(_qgemm),
    ("com.microsoft", "QLinearAdd"): Rule(_of_inputs((0, 3))),
    ("com.microsoft", "QLinearMul"): Rule(_of_inputs((0, 3))),
    ("com.microsoft", "QLinearSigmoid"): Rule(_of_inputs((0,))),
    ("com.microsoft", "QLinearLeakyRelu"): Rule(_of_inputs((0,))),
    ("com.microsoft", "QLinearWhere"): Rule(_of_inputs((0, 1, 4))),
    ("com.microsoft", "QLinearSoftmax"): Rule(_qlinear_softmax),
    ("com.microsoft", "QLinearConcat"): Rule(_qlinear_concat),
    ("com.microsoft", "QLinearReduceMean"): Rule(_qlinear_reduce_mean),
    ("com.microsoft", "QLinearAveragePool"): _POOLED,
    ("com.microsoft", "QLinearGlobalAveragePool"): _POOLED,
    ("com.microsoft", "GatherBlockQuantized"): Rule(_gather_block_quantized),
}
