"""Missing texts: scikit-learn marks them by NaN or None, an ONNX model by the empty text."""

import math
from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.classical.estimators import walk


def replace_by_empty_text(model: Any) -> bool:
    """Let every encoder and imputer of texts take the empty text for a missing one; True where one did."""
    changed = False
    for part in walk(model):
        kind = type(part).__name__
        if kind == "SimpleImputer" and _fills_in_texts(part):
            if _is_missing(part.missing_values):
                part.missing_values = ""
                changed = True
            part.statistics_ = np.array([str(value) for value in part.statistics_], object)
        elif kind in ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder") and hasattr(part, "categories_"):
            changed |= _replace_category(part)
    return changed


def _fills_in_texts(imputer: Any) -> bool:
    return any(isinstance(value, str) for value in np.asarray(getattr(imputer, "statistics_", ())).tolist())


def _replace_category(encoder: Any) -> bool:
    found = False
    for index, known in enumerate(encoder.categories_):
        values = known.tolist()
        missing = [place for place, value in enumerate(values) if _is_missing(value)]
        if missing and any(isinstance(value, str) for value in values):
            # Its converter knows a missing value by NaN, and writes "nan"; see `rename_missing`.
            marker = math.nan if type(encoder).__name__ == "OrdinalEncoder" else ""
            values = [marker if place in missing else value for place, value in enumerate(values)]
            encoder.categories_[index] = np.array(values, object)
            found = True
    return found


def _is_missing(value: Any) -> bool:
    return (
        value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and math.isnan(value))
    )


def rename_missing(graph: Any) -> None:
    """Let the encoders of a converted model take the empty text where their converter wrote "nan"."""
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "LabelEncoder" and attribute.name == "keys_strings":
                attribute.strings[:] = [b"" if key == b"nan" else key for key in attribute.strings]
