"""What skl2onnx's own converters lack."""

import copy
from functools import cache
from typing import Any

import numpy as np
from onnx import TensorProto

from modelservice_pipeline.convert.inside.classical.graphs import Graph
from modelservice_pipeline.errors import PipelineError


@cache
def register() -> None:
    """Make skl2onnx use these; once, for they wrap what is there."""
    _allow_texts()
    _interpolate_isotonic()
    _indicate_missing()


def _allow_texts() -> None:
    """Let classifiers around others, such as CalibratedClassifierCV, have texts; let LinearSVC come last.

    The converters of the former hand their input on, and only the check of its type is in the way. That of
    the latter lacks an option that the last step of a pipeline is asked for.
    """
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.svm import LinearSVC

    check = shape_calculator.check_input_and_output_types

    def check_numbers(operator: Any, *_: Any, **counts: Any) -> None:
        counts.pop("good_input_types", None)
        check(operator, None, **counts)

    shape_calculator.check_input_and_output_types = check_numbers
    update_registered_converter(
        LinearSVC,
        "SklearnLinearSVC",
        get_shape_calculator("SklearnLinearSVC"),
        get_converter("SklearnLinearSVC")._fct,
        overwrite=True,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            "output_class_labels": [False, True],
            "raw_scores": [True, False],
        },
    )


def _interpolate_isotonic() -> None:
    """Let an isotonic calibration draw lines between its points, where skl2onnx takes the nearest point."""
    from skl2onnx.operator_converters import calibrated_classifier_cv

    calibrated_classifier_cv._transform_isotonic = _interpolate


def _interpolate(scope: Any, container: Any, model: Any, scores: str, k: int, _: Any, proto_type: int) -> str:
    """Add nodes for `np.interp` of one class's scores; returns a column."""
    calibrator = model.calibrators[k]
    graph = Graph(scope, container)
    x, y = calibrator.X_thresholds_, calibrator.y_thresholds_
    if len(x) == 1:
        x, y = np.append(x, x + 1), np.append(y, y)
    real = proto_type if proto_type == TensorProto.DOUBLE else TensorProto.FLOAT
    column = graph.node("Reshape", scores, graph.constant([-1, 1]), version=14)
    column = graph.node("Max", column, graph.constant(x[:1], real), version=13)
    column = graph.node("Min", column, graph.constant(x[-1:], real), version=13)
    # The piece is that of the last inner point which is not above the score.
    above = graph.node("GreaterOrEqual", column, graph.constant(x[1:-1][None], real), version=16)
    piece = graph.node(
        "ReduceSum",
        graph.node("Cast", above, to=TensorProto.INT64, version=13),
        graph.constant([1]),
        keepdims=0,
        version=13,
    )
    slope = np.diff(y) / np.diff(x)
    left, bottom, rise = (
        graph.node(
            "Reshape",
            graph.node("Gather", graph.constant(values, real), piece, axis=0, version=13),
            graph.constant([-1, 1]),
            version=14,
        )
        for values in (x[:-1], y[:-1], slope)
    )
    distance = graph.node("Sub", column, left, version=14)
    return graph.node("Add", bottom, graph.node("Mul", distance, rise, version=14), version=14)


def _indicate_missing() -> None:
    """Let SimpleImputer(add_indicator=True) tell what was missing, which skl2onnx leaves out."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.impute import SimpleImputer

    name = "SklearnSimpleImputer"
    shape, convert = get_shape_calculator(name), get_converter(name)._fct

    def add_shape(operator: Any) -> None:
        shape(operator)
        size = operator.outputs[0].type.shape
        if size[1] is not None:
            size[1] += len(_indicated(operator.raw_operator))

    def add_indicator(scope: Any, operator: Any, container: Any) -> None:
        if len(_indicated(operator.raw_operator)):
            _indicate(scope, operator, container)
        else:
            convert(scope, operator, container)

    update_registered_converter(SimpleImputer, name, add_shape, add_indicator, overwrite=True)


def _indicated(imputer: Any) -> Any:
    """The columns of which it tells whether a value was missing."""
    return imputer.indicator_.features_ if getattr(imputer, "indicator_", None) is not None else ()


def _indicate(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.common.data_types import StringTensorType
    from skl2onnx.operator_converters.common import concatenate_variables

    imputer = copy.copy(operator.raw_operator)
    if isinstance(operator.inputs[0].type, StringTensorType):
        raise PipelineError(
            "SimpleImputer(add_indicator=True) of texts has no counterpart in ONNX; leave the indicator "
            "out, or let strategy='constant' fill in a text that means it"
        )
    imputer.indicator_ = None
    filling = scope.declare_local_operator("SklearnSimpleImputer", imputer)
    filling.inputs = operator.inputs
    filled = scope.declare_local_variable("filled", operator.outputs[0].type.__class__())
    filling.outputs.append(filled)
    graph = Graph(scope, container)
    table = concatenate_variables(scope, operator.inputs, container)
    places = graph.constant(_indicated(operator.raw_operator))
    chosen = graph.node("Gather", table, places, axis=1, version=13)
    if np.isnan(imputer.missing_values):
        missing = graph.node("IsNaN", chosen, version=13)
    else:
        marker = graph.constant([imputer.missing_values], TensorProto.FLOAT)
        missing = graph.node("Equal", chosen, marker, version=13)
    flags = graph.node("Cast", missing, to=TensorProto.FLOAT, version=13)
    container.add_node(
        "Concat",
        [filled.full_name, flags],
        [operator.outputs[0].full_name],
        op_version=13,
        name=scope.get_unique_operator_name("Concat"),
        axis=1,
    )
