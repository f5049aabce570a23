"""What every step asks of a model, wherever it runs."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from modelservice_pipeline.model.port import Port

Array = np.ndarray[Any, Any]
Tensors = Mapping[str, Array]
"""Arrays by the names of inputs or outputs. The first dimension is that of rows; texts are dtype object."""


class Predictor(Protocol):
    """A model that answers rows. Answers never depend on how rows are cut into requests."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def predict(self, rows: Tensors) -> dict[str, Array]:
        """Return the outputs for all rows, in their order, however many. Raises PipelineError.

        Left out is an output that has no row for each row asked, or rows of different shapes.
        """
