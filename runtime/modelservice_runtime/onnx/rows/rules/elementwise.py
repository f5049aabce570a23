"""Operators that treat every element by itself, or together with those at its place in other inputs."""

from modelservice_runtime.onnx.rows.arithmetic import calculate, cast
from modelservice_runtime.onnx.rows.call import Call, Rule, Rules
from modelservice_runtime.onnx.rows.sizes import MixingError, Number, times
from modelservice_runtime.onnx.rows.values import MAX_VALUES, Tensor, Value, broadcast, dims_of

_ONE_INPUT = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu", "Cos",
    "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf",
    "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink",
    "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
    "ThresholdedRelu",
)  # fmt: skip
_SEVERAL_INPUTS = (
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Clip", "Div", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow",
    "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
_CONTRIB = ["BiasAdd", "BiasGelu", "FastGelu", "Gelu", "QuickGelu", "ScaledSiLU"]


def elementwise(call: Call) -> list[Value]:
    """Any number of inputs, broadcast by numpy's rules."""
    tensors = [tensor for tensor in call.inputs if tensor is not None]
    joined = broadcast(call.symbols, *tensors)
    values = _calculated(call, joined, tensors)
    if values is not None:
        return [Tensor(joined.dims, values=values)]
    return [joined]


def _calculated(call: Call, joined: Tensor, tensors: list[Tensor]) -> tuple[Number, ...] | None:
    """Known results, where all operands are known and as long as the result, or single."""
    if joined.axis is not None or joined.dims is None:
        return None
    count = times(*joined.dims).constant
    columns: list[tuple[Number, ...]] = []
    for tensor in tensors:
        if count is None or count > MAX_VALUES or tensor.values is None:
            return None
        if len(tensor.values) not in (1, count):
            return None
        repeated = tensor.values * (count if len(tensor.values) == 1 else 1)
        columns.append(repeated)
    operator = _described(call)
    return tuple(calculate(call.symbols, operator, operands) for operands in zip(*columns, strict=True))


def _described(call: Call) -> str:
    """The operator, told apart from all others where attributes decide what it does."""
    if not call.node.attributes:
        return call.node.operator
    return f"{call.node.operator} of {call.symbols.mark()}"


def _identity(call: Call) -> list[Value]:
    return [call.tensor(0)]


def cast_numbers(call: Call) -> list[Value]:
    """Known numbers stay known."""
    x = call.tensor(0)
    to = call.integer("to", 0)
    values = None if x.values is None else tuple(cast(call.symbols, value, to) for value in x.values)
    if x.is_places and to not in (6, 7):
        raise MixingError("it uses the places of rows in the batch as values")
    return [Tensor(x.dims, x.axis, x.before, values, is_places=x.is_places)]


def _like_first(call: Call) -> list[Value]:
    """The second input only gives a type."""
    x = call.tensor(0)
    return [Tensor(x.dims, x.axis, x.before)]


def _dropout(call: Call) -> list[Value]:
    """Before version 12 always for inference; since then a third input may ask for training."""
    x = call.tensor(0)
    if call.has(2) and call.constants(2) != (0,):
        raise MixingError("it may run in training mode, in which it is random")
    shape = Tensor(x.dims, x.axis, x.before)
    return [Tensor(x.dims, x.axis, x.before, x.values), shape]


def _random(call: Call) -> list[Value]:
    raise MixingError(f"{call.node.operator} gives random values")


def _bias_split(call: Call) -> list[Value]:
    """Halves the last dimension and multiplies one half with the other."""
    x = call.tensor(0)
    call.check_fixed(1)
    dims = dims_of(x)
    if x.axis == len(dims) - 1:
        raise MixingError("it splits the axis of the rows")
    half = call.symbolic("half", dims[-1])
    return [Tensor((*dims[:-1], half), x.axis, x.before)]


RULES: Rules = {
    **{("", name): Rule(elementwise, keeps_values=True) for name in (*_ONE_INPUT, *_SEVERAL_INPUTS)},
    **{("com.microsoft", name): Rule(elementwise) for name in _CONTRIB},
    ("", "Identity"): Rule(_identity, keeps_values=True, places=True, padded=True),
    ("", "CastLike"): Rule(_like_first, sizes=frozenset({1})),
    ("", "Dropout"): Rule(_dropout, strict=True),
    ("com.microsoft", "BiasSplitGelu"): Rule(_bias_split),
    **{
        ("", name): Rule(_random, strict=True)
        for name in ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
                     "RandomUniformLike")
    },
}  # fmt: skip
