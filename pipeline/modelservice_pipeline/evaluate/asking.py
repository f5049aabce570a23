"""Asks a model for all rows of a data set, and tells how far it has come."""

from modelservice_pipeline.data.dataset import Dataset
from modelservice_pipeline.evaluate.classification import Array
from modelservice_pipeline.predict.predictor import Predictor
from modelservice_pipeline.predict.rows import join_outputs
from modelservice_pipeline.report.progress import track

_PIECES = 50
_LEAST_ROWS = 1024
"""Enough for several requests at the same time."""


def ask(predictor: Predictor, dataset: Dataset, what: str = "Evaluating") -> dict[str, Array]:
    """Return every output for all rows. Raises PipelineError."""
    rows = len(dataset)
    size = max(_LEAST_ROWS, -(-rows // _PIECES))
    parts = []
    for start in track(range(0, rows, size), what):
        piece = {name: array[start : start + size] for name, array in dataset.inputs.items()}
        parts.append((min(size, rows - start), predictor.predict(piece)))
    return join_outputs(parts, dataset.name)
