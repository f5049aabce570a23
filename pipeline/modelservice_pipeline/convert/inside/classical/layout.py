"""How the columns of a model become the inputs of its ONNX file, and rows what either of them takes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from modelservice_pipeline.convert.fixes import rename_value
from modelservice_pipeline.convert.inside.classical.estimators import Column
from modelservice_pipeline.proof.proof import Array

_ONE_INPUT = "input"


@dataclass(frozen=True)
class Layout:
    """One tensor where all columns are numbers, else one for each that is used.

    The converter knows inputs by their places alone: it changes names with blanks and brackets.

    Attributes:
        columns: All of the model's, in its order.
        marks_missing: The model takes the empty text for a missing one.
    """

    columns: list[Column]
    marks_missing: bool

    @cached_property
    def is_one_tensor(self) -> bool:
        """All columns together are one input."""
        if self.takes_codes:
            return False
        kinds = {column.is_text for column in self.columns if column.is_used}
        if len(kinds) != 1:
            return False
        if self._has_names:
            return not kinds.pop() and all(column.is_used for column in self.columns)
        return True

    @property
    def _has_names(self) -> bool:
        return all(column.name for column in self.columns)

    @cached_property
    def takes_codes(self) -> bool:
        """The model takes a number for each category."""
        return any(column.categories is not None for column in self.columns)

    @property
    def names(self) -> list[str]:
        """Of the inputs."""
        if self.is_one_tensor:
            return ["text" if self.columns[0].is_prose else _ONE_INPUT]
        return [name for name, column in self._named() if self._is_input(column)]

    def _named(self) -> list[tuple[str, Column]]:
        return [(column.name or f"column_{index}", column) for index, column in enumerate(self.columns)]

    def _is_input(self, column: Column) -> bool:
        return column.is_used or self.takes_codes

    def types(self) -> list[tuple[str, Any]]:
        """The inputs as skl2onnx takes them; see `name_inputs`."""
        from skl2onnx.common.data_types import FloatTensorType, StringTensorType

        if self.takes_codes:
            return [(_ONE_INPUT, FloatTensorType([None, len(self.columns)]))]
        if self.is_one_tensor:
            kind = StringTensorType if self.columns[0].is_text else FloatTensorType
            shape = [None] if self.columns[0].is_prose else [None, len(self.columns)]
            return [(self.names[0], kind(shape))]
        return [
            (f"column_{index}", (StringTensorType if column.is_text else FloatTensorType)([None, 1]))
            for index, column in enumerate(self.columns)
        ]

    def name_inputs(self, graph: Any) -> None:
        """Name the inputs of a graph as the columns are, and leave out those that the model drops."""
        if self.is_one_tensor:
            return
        values = {value.name: value for value in graph.input}
        taken = {name for node in graph.node for name in (*node.input, *node.output)} - set(values)
        for name in taken & set(self.names):
            rename_value(graph, name, f"{name}_inner")
        # By way of names that no column has: one may be called as another's place.
        for phase in ("\0", ""):
            for index, (name, column) in enumerate(self._named()):
                value = values[f"column_{index}"]
                if not self._is_input(column):
                    if phase:
                        graph.input.remove(value)
                    continue
                rename_value(graph, value.name, phase + name)
                value.name = phase + name

    def feed(self, arrays: list[Array]) -> dict[str, Array]:
        """The rows as the ONNX model takes them."""
        if self.is_one_tensor:
            prose = self.columns[0].is_prose
            return {self.names[0]: arrays[0] if prose else np.stack(arrays, axis=1)}
        return {
            name: array.reshape(-1, 1)
            for (name, column), array in zip(self._named(), arrays, strict=True)
            if self._is_input(column)
        }

    def frame(self, arrays: list[Array], real: Any) -> Any:
        """The same rows as the framework takes them, with numbers of type `real`."""
        values = [
            self._with_missing(column, array) if column.is_text else array.astype(real)
            for column, array in zip(self.columns, arrays, strict=True)
        ]
        if self.columns[0].name:
            import pandas as pd

            return pd.DataFrame(
                {
                    column.name: pd.Series(value, dtype=value.dtype)
                    if column.categories is None
                    else pd.Categorical(value, categories=column.categories)
                    for column, value in zip(self.columns, values, strict=True)
                }
            )
        if len(values) == 1 and self.columns[0].is_prose:
            return values[0].tolist()
        return np.stack(values, axis=1)

    def _with_missing(self, column: Column, texts: Array) -> Array:
        if not column.may_miss or not (self.marks_missing or self.takes_codes):
            return texts
        found = texts.copy()
        found[texts == ""] = np.nan
        return found
