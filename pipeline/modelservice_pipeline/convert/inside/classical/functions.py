"""Functions of NumPy within a model: a FunctionTransformer, and what a regressor's target was turned by.

They are known by their names, and computed in double precision as NumPy does.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from onnx import TensorProto

from modelservice_pipeline.convert.inside.classical.graphs import Graph
from modelservice_pipeline.errors import PipelineError

_Function = Callable[[Graph, str], str]
_AFFINE = ("StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler")
_TARGET = "ModelserviceTransformedTarget"


def _operator(kind: str) -> _Function:
    return lambda graph, x: graph.node(kind, x, version=13)


def _plus(graph: Graph, x: str, number: float) -> str:
    return graph.node("Add", x, graph.constant([number], TensorProto.DOUBLE), version=14)


def _times(graph: Graph, x: str, number: float) -> str:
    return graph.node("Mul", x, graph.constant([number], TensorProto.DOUBLE), version=14)


def _log(graph: Graph, x: str, base: float = math.e) -> str:
    found = graph.node("Log", x, version=13)
    return found if base == math.e else _times(graph, found, 1 / math.log(base))


def _exp(graph: Graph, x: str) -> str:
    return graph.node("Exp", x, version=13)


def _cube_root(graph: Graph, x: str) -> str:
    size = graph.node("Abs", x, version=13)
    root = graph.node("Pow", size, graph.constant([1 / 3], TensorProto.DOUBLE), version=15)
    return graph.node("Mul", graph.node("Sign", x, version=13), root, version=14)


FUNCTIONS: dict[str, _Function] = {
    "absolute": _operator("Abs"),
    "cbrt": _cube_root,
    "ceil": _operator("Ceil"),
    "exp": _exp,
    "exp2": lambda graph, x: _exp(graph, _times(graph, x, math.log(2))),
    "expm1": lambda graph, x: _plus(graph, _exp(graph, x), -1),
    "fabs": _operator("Abs"),
    "floor": _operator("Floor"),
    "log": _log,
    "log10": lambda graph, x: _log(graph, x, 10),
    "log1p": lambda graph, x: _log(graph, _plus(graph, x, 1)),
    "log2": lambda graph, x: _log(graph, x, 2),
    "negative": _operator("Neg"),
    "reciprocal": _operator("Reciprocal"),
    "sign": _operator("Sign"),
    "sqrt": _operator("Sqrt"),
    "square": lambda graph, x: graph.node("Mul", x, x, version=14),
    "tanh": _operator("Tanh"),
}
"""By NumPy's own names; each takes and returns the name of a tensor in double precision."""
LOWEST = {"log": 1e-3, "log10": 1e-3, "log2": 1e-3, "log1p": 0.0, "reciprocal": 1e-3, "sqrt": 0.0}
"""Numbers below have no answer, or an infinite one."""


def find_function(function: Any, whose: str) -> str | None:
    """Return the name of a function in `FUNCTIONS`; None of the identity. Raises PipelineError."""
    if function is None:
        return None
    name = str(getattr(function, "__name__", type(function).__name__))
    if isinstance(function, np.ufunc) and name in FUNCTIONS:
        return name
    raise PipelineError(
        f"{whose} calls {name}, which has no counterpart in ONNX; of functions, those of NumPy called "
        f"{', '.join(sorted(FUNCTIONS))} are converted; do others before the request"
    )


@cache
def register() -> None:
    """Make skl2onnx convert them; once, for what is there is wrapped."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_converter
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import FunctionTransformer

    alias = "SklearnFunctionTransformer"
    identity = get_converter(alias)._fct
    update_registered_converter(
        FunctionTransformer, alias, _shape_function, _choose(identity), overwrite=True
    )
    update_registered_converter(
        TransformedTargetRegressor, _TARGET, _shape_target, _convert_target, parser=_parse_target
    )


def _shape_function(operator: Any) -> None:
    sizes = [variable.type.shape[1] for variable in operator.inputs]
    kind = type(operator.inputs[0].type)
    count = None if None in sizes else sum(sizes)
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), count])


def _choose(convert_identity: Any) -> Any:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        from skl2onnx.operator_converters.common import concatenate_variables

        transformer = operator.raw_operator
        if transformer.kw_args:
            raise PipelineError("FunctionTransformer(kw_args=...) is not converted; do it before the request")
        name = find_function(transformer.func, "FunctionTransformer")
        if name is None:
            convert_identity(scope, operator, container)
            return
        table = concatenate_variables(scope, operator.inputs, container)
        _write(scope, container, table, [FUNCTIONS[name]], operator.outputs[0].full_name)

    return convert


def _parse_target(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Let the regressor see the inputs, and what follows it its answer."""
    from skl2onnx._parse import _parse_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    regressor = getattr(model.regressor_, "best_estimator_", model.regressor_)  # of a search
    predicted = _parse_sklearn(scope, regressor, inputs, custom_parsers)
    operator = scope.declare_local_operator(_TARGET, model)
    operator.follows_regressor = True
    operator.inputs.append(predicted[0])
    operator.outputs.append(scope.declare_local_variable("variable", FloatTensorType()))
    return operator.outputs


def _shape_target(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    operator.outputs[0].type = FloatTensorType(list(operator.inputs[0].type.shape))


def _convert_target(scope: Any, operator: Any, container: Any) -> None:
    if not getattr(operator, "follows_regressor", False):
        raise PipelineError(
            "TransformedTargetRegressor within another estimator is not converted; put it outermost, or at "
            "the end of a pipeline"
        )
    steps = _find_inverse(operator.raw_operator.transformer_)
    _write(scope, container, operator.inputs[0].full_name, steps, operator.outputs[0].full_name)


def _find_inverse(transformer: Any) -> list[_Function]:
    """Return what brings a prediction back into the target's own numbers. Raises PipelineError."""
    kind = type(transformer).__name__
    if kind == "FunctionTransformer":
        if transformer.inv_kw_args:
            raise PipelineError("FunctionTransformer(inv_kw_args=...) is not converted")
        name = find_function(transformer.inverse_func, "TransformedTargetRegressor")
        return [] if name is None else [FUNCTIONS[name]]
    if kind not in _AFFINE:
        raise PipelineError(
            f"TransformedTargetRegressor(transformer={kind}()) is not converted; {', '.join(_AFFINE)} are, "
            "and functions of NumPy"
        )
    count = transformer.n_features_in_
    bottom, top = transformer.inverse_transform(np.stack([np.zeros(count), np.ones(count)]))

    def scale_back(graph: Graph, x: str) -> str:
        scaled = graph.node("Mul", x, graph.constant(top - bottom, TensorProto.DOUBLE), version=14)
        return graph.node("Add", scaled, graph.constant(bottom, TensorProto.DOUBLE), version=14)

    return [scale_back]


def _write(scope: Any, container: Any, table: str, functions: list[_Function], output: str) -> None:
    """Add functions one after the other, in double precision; their result is an output of float32."""
    graph = Graph(scope, container)
    table = graph.node("Cast", table, to=TensorProto.DOUBLE, version=13)
    for function in functions:
        table = function(graph, table)
    name = scope.get_unique_operator_name("Cast")
    container.add_node("Cast", [table], [output], op_version=13, name=name, to=TensorProto.FLOAT)
