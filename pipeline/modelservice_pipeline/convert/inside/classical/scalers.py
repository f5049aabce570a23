"""Scales before trees in double precision, as scikit-learn does.

In float32 a scaled number is off by its last bits. Thresholds of trees often are what a whole number becomes:
a tree that has not seen 41 asks in the middle of 40 and 42. There a last bit changes the answer.
"""

from functools import cache
from typing import Any

import numpy as np
from onnx import TensorProto

from modelservice_pipeline.convert.inside.classical.estimators import has_trees, walk
from modelservice_pipeline.convert.inside.classical.graphs import Graph

_NAMES = ("StandardScaler", "RobustScaler", "MaxAbsScaler", "MinMaxScaler")


@cache
def register() -> None:
    """Make skl2onnx ask here how it converts scalers; once, for what is there is wrapped."""
    from skl2onnx import update_registered_converter
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn import preprocessing

    for kind in (getattr(preprocessing, name) for name in _NAMES):
        alias = sklearn_operator_name_map[kind]
        converter = get_converter(alias)
        update_registered_converter(
            kind,
            alias,
            get_shape_calculator(alias),
            _choose(converter._fct),
            overwrite=True,
            options=getattr(converter, "_options", None),
        )


def mark(model: Any) -> None:
    """Let the scalers of a copy be converted so, where it has trees."""
    if has_trees(model):
        for part in walk(model):
            if type(part).__name__ in _NAMES:
                part.before_trees = True


def _choose(convert: Any) -> Any:
    def scale(scope: Any, operator: Any, container: Any) -> None:
        exact = getattr(operator.raw_operator, "before_trees", False)
        (_scale if exact else convert)(scope, operator, container)

    return scale


def _scale(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.operator_converters.common import concatenate_variables

    graph = Graph(scope, container)
    table = concatenate_variables(scope, operator.inputs, container)
    table = graph.node("Cast", table, to=TensorProto.DOUBLE, version=13)
    for kind, numbers in _steps(operator.raw_operator):
        table = graph.node(kind, table, graph.constant(numbers, TensorProto.DOUBLE), version=13)
    container.add_node(
        "Cast",
        [table],
        [operator.outputs[0].full_name],
        op_version=13,
        name=scope.get_unique_operator_name("Cast"),
        to=TensorProto.FLOAT,
    )


def _steps(scaler: Any) -> list[tuple[str, Any]]:
    """Operators, and their numbers for each column, in scikit-learn's order."""
    if type(scaler).__name__ == "MinMaxScaler":
        low, high = scaler.feature_range
        limits = (
            [("Max", np.array([low])), ("Min", np.array([high]))] if getattr(scaler, "clip", False) else []
        )
        return [("Mul", scaler.scale_), ("Add", scaler.min_), *limits]
    centre = {"StandardScaler": "with_mean", "RobustScaler": "with_centering"}.get(type(scaler).__name__)
    middle = getattr(scaler, "mean_", getattr(scaler, "center_", None))
    taken = centre is not None and getattr(scaler, centre)
    subtract = [("Sub", middle)] if taken else []
    return [*subtract, ("Div", scaler.scale_)] if scaler.scale_ is not None else subtract
