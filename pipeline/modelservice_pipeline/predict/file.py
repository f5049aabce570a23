"""Asks an ONNX file in this process."""

from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.constants import Given, take_constants
from modelservice_pipeline.predict.predictor import Array, Tensors
from modelservice_pipeline.predict.rows import (
    bytes_of_row,
    count_rows,
    cut_rows,
    fill_rows,
    fixed_rows,
    join_outputs,
    prepare_rows,
)

_ROWS_AT_ONCE = 256
"""Enough that a run's own cost does not matter; few enough that what a model makes of them fits memory."""
_BYTES_AT_ONCE = 16 * 2**20


class FilePredictor:
    """An ONNX file, asked for some rows at a time.

    Args:
        model: The file, loaded.
        rows_at_once: How many rows a run has at most; by default some hundred, fewer of large ones.
        given: Values of inputs that rows do not bring; they are none of `inputs`.

    Raises PipelineError where a given value is none of such an input.
    """

    def __init__(self, model: OnnxModel, rows_at_once: int | None = None, given: Given | None = None) -> None:
        self._model = model
        self.inputs, self.constants = take_constants(model.inputs, given or Given())
        self._rows_at_once = rows_at_once or (1 if self.constants.hold_one_row else None)
        self.outputs = model.outputs

    def predict(self, rows: Tensors) -> dict[str, Array]:
        """Return the outputs for all rows, in their order. Raises PipelineError."""
        arrays = prepare_rows(rows, self.inputs)
        total = count_rows(arrays)
        size = self._choose_size(arrays)
        parts = [self._run(cut_rows(arrays, start, start + size)) for start in range(0, total, size)]
        return join_outputs(parts, str(self._model.path))

    def _choose_size(self, rows: Tensors) -> int:
        if (fixed := fixed_rows(self.inputs)) is not None:
            return fixed
        fitting = max(1, _BYTES_AT_ONCE // bytes_of_row(rows))
        return min(self._rows_at_once or _ROWS_AT_ONCE, fitting)

    def _run(self, rows: dict[str, Array]) -> tuple[int, dict[str, Array]]:
        count = count_rows(rows)
        fixed = fixed_rows(self.inputs)
        asked = rows if fixed in (None, count) else fill_rows(rows, fixed or count)
        answers = self._model.run({**asked, **self.constants.tensors})
        outputs = {name: _as_array(value) for name, value in answers.items()}
        found = {name: array for name, array in outputs.items() if array is not None}
        if fixed is None or fixed == count:
            return count, found
        return count, {name: array[:count] for name, array in found.items() if array.shape[:1] == (fixed,)}


def _as_array(value: Any) -> Array | None:
    """Return a tensor as it is, what a ZipMap makes as [rows, labels in their order], None for others."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        labels = list(value[0])
        try:
            return np.array([[row[label] for label in labels] for row in value], dtype=np.float32)
        except KeyError:
            raise PipelineError("the model answers maps with different keys for different rows") from None
    return None
