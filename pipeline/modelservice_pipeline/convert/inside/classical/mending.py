"""Changes a copy of a scikit-learn model where skl2onnx would stumble over what changes no answer."""

from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.classical.estimators import find_columns, walk
from modelservice_pipeline.errors import PipelineError


def mend(model: Any) -> None:
    """Change a copy. Raises PipelineError for what nobody can convert."""
    for part in walk(model):
        kind = type(part).__name__
        if kind == "VotingClassifier":
            part.flatten_transform = False
        elif kind == "KBinsDiscretizer" and part.encode == "onehot":
            part.encode = "onehot-dense"
            part._encoder.sparse_output = False
        elif kind.startswith("HistGradientBoosting") and hasattr(part, "_predictors"):
            _mend_histogram(part)
        elif kind == "ColumnTransformer" and hasattr(part, "transformers_"):
            _choose_by_place(part)
        elif kind == "CalibratedClassifierCV" and hasattr(part, "calibrated_classifiers_"):
            _check_calibrated(part)
        elif getattr(part, "add_indicator", False) and kind != "SimpleImputer":
            raise PipelineError(
                f"{kind}(add_indicator=True) is not converted; leave the indicator out, or put a "
                "SimpleImputer(add_indicator=True) beside it"
            )


def _check_calibrated(model: Any) -> None:
    inner = model.calibrated_classifiers_[0].estimator
    if hasattr(inner, "steps") and any(column.is_text for column in find_columns(inner, lambda *_: None)):
        raise PipelineError(
            "CalibratedClassifierCV around a pipeline that takes texts is not converted; put it into the "
            "pipeline, as its last step, around the classifier alone"
        )


def _choose_by_place(transformer: Any) -> None:
    """Name columns by their places: the converter has other names for them, or one tensor of them all."""
    places = transformer._transformer_to_input_indices
    transformer.transformers_ = [
        (name, step, list(places[name])) for name, step, _ in transformer.transformers_
    ]


def _mend_histogram(model: Any) -> None:
    if model.is_categorical_ is not None and np.any(model.is_categorical_):
        raise PipelineError(
            f"{type(model).__name__}(categorical_features=...) has no counterpart in ONNX; encode the "
            "columns before it, for example by an OrdinalEncoder or OneHotEncoder in a ColumnTransformer"
        )
    for predictors in model._predictors:
        for predictor in predictors:
            # In ONNX thresholds are float32, and the nearest one may be above.
            predictor.nodes["num_threshold"] = round_down(predictor.nodes["num_threshold"])


def round_down(thresholds: Any) -> np.ndarray[Any, Any]:
    """The largest float32 at or below each number.

    A tree asks `x <= threshold` with a threshold in double precision. For an x of float32 that is the same as
    asking with this, and not the same as with the nearest float32, which may be above.
    """
    exact = np.asarray(thresholds, np.float64)
    with np.errstate(over="ignore"):
        nearest = exact.astype(np.float32)
    return np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
