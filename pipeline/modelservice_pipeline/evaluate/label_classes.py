"""What labels and the columns of probabilities are called, so that they can be compared."""

from collections import Counter
from typing import Any

import numpy as np

from modelservice_pipeline.data.labels import is_whole
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.answers import distinct
from modelservice_pipeline.evaluate.classification import Array


def parse_classes(names: tuple[str, ...]) -> list[Any]:
    """Return the classes that a user names: whole numbers where all of them are."""
    if len(set(names)) != len(names):
        raise PipelineError(f"--classes names a class twice: {', '.join(names)}")
    return [int(name) for name in names] if is_numbered(names) else list(names)


def is_numbered(names: tuple[str, ...]) -> bool:
    """Say whether classes are named by whole numbers."""
    return all(is_whole(name) for name in names)


def align_labels(labels: Array, predicted: Array | None, names: list[Any]) -> tuple[Array, Array | None]:
    """Return labels and answers in one type: with names, whole numbers are their places in the list.

    Raises PipelineError where answers are numbers and labels are texts.
    """
    labels = _to_classes(labels)
    predicted = None if predicted is None else _to_classes(predicted)
    if names and isinstance(names[0], str):
        return _name(labels, names, "label"), None if predicted is None else _name(predicted, names, "answer")
    if predicted is None or (labels.dtype == object) == (predicted.dtype == object):
        return labels, predicted
    if labels.dtype == object:
        raise PipelineError(
            f"the model answers whole numbers such as {predicted[0]}, and the labels are texts such as "
            f"{labels[0]!r}: name the classes in the model's order, as "
            f"--classes {','.join(distinct(labels)[:3])}"
        )
    texts = np.fromiter((str(label) for label in labels.tolist()), object, len(labels))
    if not set(texts.tolist()) & set(predicted.tolist()):
        raise PipelineError(
            f"the model answers texts such as {predicted[0]!r}, and the labels are numbers such as "
            f"{labels[0]}: say which number is which, as --classes NAME,NAME in the order of numbers from 0"
        )
    return texts, predicted


def name_columns(
    probabilities: Array, labels: Array, predicted: Array | None, names: list[Any]
) -> tuple[Array, list[str]]:
    """Return the class of each column of probabilities, and remarks on how it was found.

    Without names: with the model's own answers, a column is the class that is answered where it is greatest;
    else the columns are 0, 1, 2 and so on, or the labels in sorted order where there are as many.
    """
    count = probabilities.shape[1]
    if names:
        if len(names) != count:
            raise PipelineError(f"--classes names {len(names)} classes, and the model has {count}")
        return _array(names), []
    if predicted is not None:
        return _array(_learn(probabilities, labels, predicted)), []
    known = distinct(labels)
    if labels.dtype != object and all(0 <= label < count for label in known):
        return np.arange(count), []
    if len(known) == count:
        shown = ", ".join(str(name) for name in known[:4]) + (", ..." if count > 4 else "")
        return _array(known), [f"classes are taken in sorted order: {shown}; --classes says another one"]
    raise PipelineError(
        f"the model has {count} classes, and the labels are {len(known)} others, such as {known[0]!r}: "
        "name the classes in the model's order with --classes"
    )


def _learn(probabilities: Array, labels: Array, predicted: Array) -> list[Any]:
    """Return classes by what the model answers where a column is greatest; the rest in sorted order."""
    count, best = probabilities.shape[1], probabilities.argmax(axis=1)
    votes = Counter(zip(best.tolist(), predicted.tolist(), strict=True))
    found: dict[int, Any] = {}
    for (column, name), _ in votes.most_common():
        if column not in found and name not in found.values():
            found[column] = name
    left = iter(_left_over(found, labels, predicted, count))
    return [found[column] if column in found else next(left) for column in range(count)]


def _left_over(found: dict[int, Any], labels: Array, predicted: Array, count: int) -> list[Any]:
    known = distinct(labels, predicted)
    if predicted.dtype != object and all(0 <= name < count for name in known):
        known = list(range(count))
    rest = [name for name in known if name not in found.values()]
    missing = count - len(found)
    # A class that no row has and no answer names: its name cannot matter.
    nameless = [f"#{number}" if predicted.dtype == object else -1 - number for number in range(missing)]
    return rest + nameless if len(rest) == missing else nameless


def _to_classes(values: Array) -> Array:
    if values.dtype.kind == "f":
        if (values != np.floor(values)).any():
            raise PipelineError(
                "the labels are numbers such as "
                f"{values[values != np.floor(values)][0]}, which are no classes; is it --task regression?"
            )
        return values.astype(np.int64)
    return values if values.dtype == object else values.astype(np.int64)


def _name(values: Array, names: list[Any], what: str) -> Array:
    if values.dtype == object:
        return values
    outside = [value for value in values.tolist() if not 0 <= value < len(names)]
    if outside:
        raise PipelineError(f"the {what} {outside[0]} is no place in --classes, which has {len(names)} names")
    return _array(names)[values]


def _array(values: list[Any]) -> Array:
    if values and not isinstance(values[0], str):
        return np.array(values, np.int64)
    return np.fromiter(values, object, len(values))
