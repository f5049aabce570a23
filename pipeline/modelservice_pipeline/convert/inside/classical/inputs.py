"""Inputs to prove a model of columns on: the user's own, or made up of what the model tells apart."""

from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.classical.estimators import Column
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array

# Letters of several scripts, digits, punctuation and space: what has to be cut as in the framework.
_CHARACTERS = list("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789 .,;:!?'\"-_/()@#&éöñçßжю中文")

# What cells hold that are numbers to a model, in lower case.
_TRUTH = {"true": 1.0, "false": 0.0, "": np.nan}


def make_up(columns: list[Column], rows: int, random: np.random.Generator) -> list[Array]:
    """Rows for each column: float32, or texts. The first ones are plain, without what is missing."""
    return [
        _make_up_texts(column, rows, random) if column.is_text else _make_up_numbers(column, rows, random)
        for column in columns
    ]


def _make_up_numbers(column: Column, rows: int, random: np.random.Generator) -> Array:
    known = np.array(column.numbers or [0.0], np.float64)
    spread = float(np.std(known)) or 1.0
    values = random.choice(known, rows) + random.choice([0.0, 0.01, 0.3, 1.0], rows) * spread * random.normal(
        size=rows
    )
    if column.numbers and all(float(number).is_integer() for number in column.numbers):
        values = random.choice(known, rows)  # categories: others than the known may be an error
    if column.lowest is not None:
        values = np.maximum(np.abs(values), column.lowest)
    found = values.astype(np.float32)
    if column.may_miss:
        found[(random.random(rows) < 0.1) & (np.arange(rows) > 0)] = np.nan
    return found


def _make_up_texts(column: Column, rows: int, random: np.random.Generator) -> Array:
    texts = np.empty(rows, object)
    words = column.words or ["word"]
    for row in range(rows):
        texts[row] = _prose(words, random) if column.is_prose else str(random.choice(words))
        if row and column.may_miss and random.random() < 0.1:
            texts[row] = ""
    if column.is_prose and rows > 1:
        texts[rows - 1] = ""
    return texts


def _prose(words: list[str], random: np.random.Generator) -> str:
    """Some words that the model knows, some noise; now and then in capitals."""
    parts = [str(word) for word in random.choice(words, int(random.integers(1, 12)))]
    if random.random() < 0.5:
        noise = "".join(random.choice(_CHARACTERS, int(random.integers(1, 20))))
        parts.insert(int(random.integers(0, len(parts) + 1)), noise)
    text = str(random.choice([" ", "  ", ", ", "\n"], p=[0.7, 0.1, 0.1, 0.1])).join(parts)
    return text.upper() if random.random() < 0.2 else text


def take(columns: list[Column], samples: dict[str, Array], rows: int) -> list[Array]:
    """The user's rows for each column, by name or in their order. Raises PipelineError."""
    arrays = _by_column(columns, samples)
    found = []
    for column, array in zip(columns, arrays, strict=True):
        values = array[:rows]
        if not column.is_used:
            values = np.zeros(len(values))
        elif column.is_text:
            texts = np.empty(len(values), object)
            texts[:] = ["" if _is_missing(value) else str(value) for value in values.tolist()]
            values = texts
        elif values.dtype == object:
            values = _to_numbers(column, values)
        found.append(values if column.is_text else values.astype(np.float32))
    return found


def _to_numbers(column: Column, values: Array) -> Array:
    """Numbers of cells that are texts: pandas writes True and False. Raises PipelineError."""
    try:
        return np.array([_TRUTH.get(str(value).strip().lower(), value) for value in values.tolist()], float)
    except (TypeError, ValueError):
        raise PipelineError(
            f"column {column.name!r} of the samples holds texts such as {values[0]!r}, "
            "the model takes numbers"
        ) from None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _by_column(columns: list[Column], samples: dict[str, Array]) -> list[Array]:
    if all(column.name for column in columns):
        used = [column.name for column in columns if column.is_used]
        missing = [name for name in used if name not in samples]
        if missing:
            raise PipelineError(
                f"the samples have no column {missing[0]!r}; they have {', '.join(samples)}, and the model "
                f"takes {', '.join(used)}"
            )
        # Of a column that the model drops nothing but its length matters.
        return [samples[column.name if column.is_used else used[0]].reshape(-1) for column in columns]
    parts = [array.reshape(len(array), -1).T for array in samples.values()]
    arrays = [row for part in parts for row in part]
    if len(arrays) != len(columns):
        raise PipelineError(
            f"the samples have {len(arrays)} columns and the model takes {len(columns)}; leave the others out"
        )
    return arrays
