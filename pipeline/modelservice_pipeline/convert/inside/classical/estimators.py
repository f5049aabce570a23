"""Looks into a fitted scikit-learn model: its inputs, and the numbers and texts that it tells apart."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.classical.functions import LOWEST


@dataclass
class Column:
    """One column of the input.

    Attributes:
        name: As in the DataFrame it was fitted on; empty where it was an array.
        is_text: Texts; numbers otherwise.
        words: Texts that the model knows.
        numbers: Numbers that the model tells apart, such as thresholds of trees.
        may_miss: The model has an answer where the value is missing.
        is_prose: A vectorizer cuts it into words.
        categories: Values in the order of their codes, where the model takes codes.
        is_used: False where the model drops it.
        lowest: Numbers below have no answer, as those of a logarithm.
    """

    name: str
    is_text: bool = False
    words: list[str] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    may_miss: bool = False
    is_prose: bool = False
    categories: list[Any] | None = None
    is_used: bool = True
    lowest: float | None = None


_INNER = ("best_estimator_", "estimator_", "estimator", "regressor_", "base_estimator")


def unwrap(model: Any) -> Any:
    """The model that a search for parameters found, otherwise the model."""
    return unwrap(model.best_estimator_) if hasattr(model, "best_estimator_") else model


def walk(part: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield every estimator within a model, itself first."""
    seen = set() if seen is None else seen
    if isinstance(part, dict):
        part = list(part.values())
    elif isinstance(part, np.ndarray) and part.dtype == object:
        part = part.ravel().tolist()
    if isinstance(part, list | tuple):
        for one in part:
            yield from walk(one, seen)
    elif _is_part(part) and id(part) not in seen:
        seen.add(id(part))
        yield part
        yield from walk(vars(part), seen)


def _is_part(found: Any) -> bool:
    return hasattr(found, "get_params") or type(found).__name__ in ("_CalibratedClassifier", "TreePredictor")


def find_columns(model: Any, learn_more: Callable[[Any, list[Column]], None]) -> list[Column]:
    """The columns of the model's input; one without a name where it takes texts one by one.

    `learn_more` takes from a part that sees the input what only others know.
    """
    names = getattr(model, "feature_names_in_", None)
    if names is not None and list(names) == [f"Column_{index}" for index in range(len(names))]:
        names = None  # as LightGBM calls the columns of an array
    count = getattr(model, "n_features_in_", None)
    if names is not None:
        columns = [Column(str(name)) for name in names]
    elif count is not None:
        columns = [Column("") for _ in range(int(count))]
    else:
        columns = [Column("")]
    parts = list(_first_parts(model, list(range(len(columns)))))
    used = {index for _, chosen in parts for index in chosen}
    for index, column in enumerate(columns):
        column.is_used = index in used
    for part, chosen in parts:
        chosen_columns = [columns[index] for index in chosen]
        _learn(part, chosen_columns)
        learn_more(part, chosen_columns)
    return columns


def _first_parts(part: Any, chosen: list[int]) -> Iterator[tuple[Any, list[int]]]:
    """Yield the parts that see the input itself, and which columns of it."""
    inner = list(_steps(part, chosen))
    if not inner:
        yield part, chosen
    for step, columns in inner:
        if not (isinstance(step, str) and step == "drop"):
            yield from _first_parts(step, columns)


def _steps(part: Any, chosen: list[int]) -> Iterator[tuple[Any, list[int]]]:
    """Yield what a part gives its input to; nothing where it looks at the input itself."""
    kind = type(part).__name__
    if kind == "Pipeline":
        for _, step in part.steps:
            yield step, chosen
            if step not in (None, "passthrough") and not _keeps_columns(step):
                break
    elif kind == "FeatureUnion":
        for _, step in part.transformer_list:
            yield step, chosen
    elif kind == "ColumnTransformer":
        for name, step, _ in part.transformers_:
            yield step, [chosen[index] for index in part._transformer_to_input_indices[name]]
    else:
        for step in _inner(part):
            yield step, chosen


def _keeps_columns(step: Any) -> bool:
    """A step whose output has the input's columns, so that the next one tells of them too."""
    return type(step).__name__ in (
        "SimpleImputer",
        "StandardScaler",
        "MinMaxScaler",
        "RobustScaler",
        "MaxAbsScaler",
    )


def _inner(part: Any) -> Iterator[Any]:
    if hasattr(part, "calibrated_classifiers_"):
        yield part.calibrated_classifiers_[0].estimator
        return
    for name in _INNER:
        found = getattr(part, name, None)
        if hasattr(found, "get_params") and hasattr(found, "n_features_in_"):
            yield found
            return
    if type(part).__name__.startswith(("Voting", "Stacking")):
        yield from part.estimators_


def _learn(part: Any, columns: list[Column]) -> None:
    """Take from a part what it knows of its columns."""
    vocabulary = getattr(part, "vocabulary_", None)
    if isinstance(vocabulary, dict) or type(part).__name__ == "HashingVectorizer":
        for column in columns:
            column.is_text = column.is_prose = True
            column.words.extend(list(vocabulary or ("word",))[:2000])
    for column, known in zip(columns, getattr(part, "categories_", ()), strict=False):
        _learn_categories(column, np.asarray(known))
    statistics = getattr(part, "statistics_", None)
    if statistics is not None:
        _learn_imputer(columns, np.asarray(statistics).tolist(), getattr(part, "missing_values", np.nan))
    _learn_numbers(part, columns)
    lowest = LOWEST.get(getattr(getattr(part, "func", None), "__name__", ""))
    if lowest is not None:
        for column in columns:
            column.lowest = max(lowest, column.lowest or 0.0)


def _learn_imputer(columns: list[Column], statistics: list[Any], marker: Any) -> None:
    """What an imputer fills in, and where: it may look for a number or text of the user's alone."""
    for column, value in zip(columns, statistics, strict=False):
        if isinstance(value, str):
            column.is_text = True
            column.words.append(value)
        if isinstance(marker, str):
            column.words.append(marker)
        elif isinstance(marker, int | float) and np.isfinite(marker):
            # What is filled in is among the usual; with a fraction, for whole numbers alone mean codes.
            usual = [value, value + 0.5] if isinstance(value, float) and np.isfinite(value) else []
            column.numbers.extend([float(marker), *usual])
        else:
            column.may_miss = True


def _learn_categories(column: Column, known: np.ndarray[Any, Any]) -> None:
    values = known.tolist()
    texts = [value for value in values if isinstance(value, str)]
    if texts:
        column.is_text = True
        column.words.extend(texts)
        column.may_miss |= len(texts) < len(values)
    else:
        numbers = [float(value) for value in values if value is not None]
        column.numbers.extend(number for number in numbers if np.isfinite(number))
        column.may_miss |= not all(np.isfinite(numbers))


def _learn_numbers(part: Any, columns: list[Column]) -> None:
    """Numbers around which the part's answer changes."""
    for feature, threshold in _thresholds(part):
        if feature < len(columns):
            columns[feature].numbers.append(threshold)
    for rows in _typical_rows(part):
        if rows.shape[1] >= len(columns):  # behind the columns an imputer may tell what was missing
            for column, values in zip(columns, rows.T, strict=False):
                column.numbers.extend(float(value) for value in values if np.isfinite(value))
    if type(part).__name__.startswith("HistGradientBoosting"):
        for column in columns:
            column.may_miss = True


def _typical_rows(part: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Rows near those that the part was fitted on, as far as it tells."""
    centre, spread = getattr(part, "mean_", getattr(part, "center_", None)), getattr(part, "scale_", None)
    if centre is not None and spread is not None and np.size(centre) == np.size(spread):
        yield np.stack([np.ravel(centre) + step * np.ravel(spread) for step in (-2, -1, -0.5, 0, 0.5, 1, 2)])
    low, high = getattr(part, "data_min_", None), getattr(part, "data_max_", None)
    if low is not None and high is not None and np.shape(low) == np.shape(high):
        yield np.linspace(np.ravel(low), np.ravel(high), 7)
    for name in ("cluster_centers_", "_fit_X"):
        rows = getattr(part, name, None)
        if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype.kind == "f":
            yield rows[:200]


def _thresholds(part: Any) -> Iterator[tuple[int, float]]:
    """Features and thresholds of scikit-learn's own trees."""
    for one in walk(part):
        tree = getattr(one, "tree_", None)
        if tree is not None and hasattr(tree, "threshold"):
            inner = tree.feature >= 0
            yield from zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True)
        nodes = getattr(one, "nodes", None)
        if isinstance(nodes, np.ndarray) and nodes.dtype.names and "num_threshold" in nodes.dtype.names:
            inner = nodes[nodes["is_leaf"] == 0]
            numbers = inner["num_threshold"].tolist()
            yield from zip(inner["feature_idx"].tolist(), numbers, strict=True)


def has_trees(model: Any) -> bool:
    """True where some part compares numbers with thresholds."""
    names = ("Tree", "Forest", "Boosting", "XGB", "LGBM", "AdaBoost", "Discretizer", "Binarizer")
    return any(name in type(part).__name__ for part in walk(model) for name in names)


def takes_missing(model: Any) -> bool:
    """True where some part has trees that take NaN by themselves."""
    return any(
        type(part).__name__.startswith(("HistGradientBoosting", "XGB", "LGBM")) for part in walk(model)
    )
