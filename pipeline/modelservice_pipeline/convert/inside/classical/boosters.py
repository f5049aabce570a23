"""Teaches skl2onnx the models of XGBoost and LightGBM, wherever in a pipeline they are."""

import importlib.util
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.classical.estimators import Column, walk
from modelservice_pipeline.convert.inside.classical.mending import round_down
from modelservice_pipeline.errors import PipelineError


def register() -> None:
    """Register the converters of the packages that are there."""
    if importlib.util.find_spec("onnxmltools") is None:
        return
    if importlib.util.find_spec("xgboost") is not None:
        _register_xgboost()
    if importlib.util.find_spec("lightgbm") is not None:
        _register_lightgbm()


def _register_xgboost() -> None:
    import xgboost
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    for kind in (xgboost.XGBClassifier, xgboost.XGBRFClassifier):
        update_registered_converter(
            kind,
            f"ModelService{kind.__name__}",
            shapes.calculate_linear_classifier_output_shapes,
            convert_xgboost,
            overwrite=True,
            options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
        )
    for kind in (xgboost.XGBRegressor, xgboost.XGBRFRegressor, xgboost.XGBRanker):
        update_registered_converter(
            kind,
            f"ModelService{kind.__name__}",
            shapes.calculate_linear_regressor_output_shapes,
            convert_xgboost,
            overwrite=True,
        )


def _register_lightgbm() -> None:
    import lightgbm
    from onnxmltools.convert.lightgbm.operator_converters import LightGbm
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    LightGbm.dump_booster_model = _round_down_thresholds(LightGbm.dump_booster_model)
    update_registered_converter(
        lightgbm.LGBMClassifier,
        "ModelServiceLGBMClassifier",
        shapes.calculate_linear_classifier_output_shapes,
        LightGbm.convert_lightgbm,
        overwrite=True,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    for kind in (lightgbm.LGBMRegressor, lightgbm.LGBMRanker):
        update_registered_converter(
            kind,
            f"ModelService{kind.__name__}",
            shapes.calculate_linear_regressor_output_shapes,
            LightGbm.convert_lightgbm,
            overwrite=True,
            options={"split": None},
        )


def is_booster(part: Any) -> bool:
    """A model of XGBoost or LightGBM."""
    return type(part).__name__.startswith(("XGB", "LGBM"))


def prepare(model: Any) -> None:
    """Change a copy of a model so that its converter does it right."""
    for part in walk(model):
        if type(part).__name__.startswith("XGB"):
            # The converter wants the names f0, f1 and so on.
            part.get_booster().feature_names = None


def _round_down_thresholds(dump: Any) -> Any:
    """Wrap the converter's view of a LightGBM booster, so that thresholds are as ONNX can hold them."""

    def rounded(*arguments: Any, **more: Any) -> Any:
        found, info = dump(*arguments, **more)
        for tree in found["tree_info"]:
            for node in _nodes(tree["tree_structure"]):
                if isinstance(node["threshold"], float):
                    node["threshold"] = float(round_down(node["threshold"]))
        return found, info

    return rounded


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "threshold" in node:
        yield node
        yield from _nodes(node["left_child"])
        yield from _nodes(node["right_child"])


def learn(part: Any, columns: list[Column]) -> None:
    """Take from a booster what it knows of its columns."""
    xgboost = type(part).__name__.startswith("XGB")
    table = part.get_booster().trees_to_dataframe() if xgboost else part.booster_.trees_to_dataframe()
    names = table["Feature"] if xgboost else table["split_feature"]
    thresholds = table["Split"] if xgboost else table["threshold"]
    known = part.get_booster().feature_names if xgboost else part.booster_.feature_name()
    places = {
        name: index for index, name in enumerate(known or [f"f{index}" for index in range(len(columns))])
    }
    for name, threshold in zip(names, thresholds, strict=True):
        if name in places and isinstance(threshold, float) and np.isfinite(threshold):
            columns[places[name]].numbers.append(threshold)
    for column in columns:
        column.may_miss = True
    for index, values in (_xgboost_categories(part) if xgboost else _lightgbm_categories(part)).items():
        column = columns[index]
        column.categories = values
        column.is_text = any(isinstance(value, str) for value in values)
        column.words = [str(value) for value in values]
        column.numbers = [] if column.is_text else [float(value) for value in values]


def _lightgbm_categories(part: Any) -> dict[int, list[Any]]:
    """The categories of a DataFrame's columns, in the order of their codes."""
    known = part.booster_.pandas_categorical or []
    found = re.search(r"^\[categorical_feature: ([\d,]+)\]$", part.booster_.model_to_string(), re.MULTILINE)
    places = [int(place) for place in found[1].split(",")] if found else []
    return dict(zip(places, known, strict=True)) if known else {}


def _xgboost_categories(part: Any) -> dict[int, list[Any]]:
    """The same of XGBoost, which keeps texts as bytes and where each ends."""
    learner = json.loads(part.get_booster().save_raw("json"))["learner"]["gradient_booster"]
    encoded = learner.get("model", {}).get("cats", {}).get("enc", [])
    found: dict[int, list[Any]] = {}
    for index, one in enumerate(encoded):
        offsets, values = one.get("offsets"), one.get("values") or []
        if offsets:
            content = bytes(value % 256 for value in values)
            found[index] = [_decode(content[start:end]) for start, end in pairwise(offsets)]
        elif values:
            found[index] = list(values)
    return found


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise PipelineError(
            "XGBoost keeps no categories outside of ASCII whole; encode that column before XGBoost, for "
            "example by an OrdinalEncoder in the pipeline"
        ) from None
