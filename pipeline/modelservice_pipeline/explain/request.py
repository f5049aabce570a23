"""From what somebody asks to an explanation, for the command and for the explainer in a cluster alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.explain.columns import Columns, name_features
from modelservice_pipeline.explain.explain import Options, explain_row, explain_text
from modelservice_pipeline.explain.explanation import Explanation
from modelservice_pipeline.explain.inputs import find_text_input, read_rows, read_text
from modelservice_pipeline.explain.subject import Subject, choose_target
from modelservice_pipeline.explain.words import split_words
from modelservice_pipeline.predict.predictor import Predictor, Tensors
from modelservice_pipeline.predict.rows import prepare_rows


@dataclass(frozen=True)
class Question:
    """What is to be explained, and how.

    Attributes:
        options: The method and its settings.
        output: The output's name; None: the first one with fractions.
        index: Which of its numbers; None: the largest.
        each_word: Whether equal words of a text are features of their own.
        names: Names of the values of a row; None: after the inputs.
        most_rows: How many rows the model is asked at most; None: any number.
    """

    options: Options
    output: str | None = None
    index: int | None = None
    each_word: bool = False
    names: Sequence[str] | None = None
    most_rows: int | None = None


def explain_given(
    predictor: Predictor, given: Any, background: Tensors | None, question: Question
) -> Explanation:
    """Explain the answer to an input as JSON has it: a text, or a row. Raises PipelineError."""
    port = find_text_input(predictor.inputs)
    if port is None:
        return explain_tensors(predictor, read_rows([given], predictor.inputs), background, question)
    text = read_text(given, port)
    target = choose_target(
        predictor, {port.name: np.array([text], dtype=object)}, question.output, question.index
    )
    words = split_words(text, each=question.each_word)
    return explain_text(Subject(predictor, target, question.most_rows), port, words, question.options)


def explain_tensors(
    predictor: Predictor, row: Tensors, background: Tensors | None, question: Question
) -> Explanation:
    """Explain the answer to one row against a background of rows. Raises PipelineError."""
    if background is None:
        raise PipelineError(
            "a row is explained against a background, rows that say what is usual: none was given"
        )
    row, usual = (prepare_rows(rows, predictor.inputs) for rows in (row, background))
    for name, array in row.items():
        if usual[name].shape[1:] != array.shape[1:]:
            raise PipelineError(
                f"input {name!r}: the row has the shape {list(array.shape[1:])}, and the rows of the "
                f"background {list(usual[name].shape[1:])}"
            )
    target = choose_target(predictor, row, question.output, question.index)
    columns = Columns(row, usual, name_features(row, question.names))
    return explain_row(Subject(predictor, target, question.most_rows), columns, question.options)
