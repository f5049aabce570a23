"""Right requests made of rows of a data set, as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from modelservice_pipeline.data.dataset import Dataset
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.predictor import Tensors
from modelservice_pipeline.predict.rows import prepare_rows
from modelservice_pipeline.predict.wire import build_request

_MOST_BODIES = 64


def build_document(
    dataset: Dataset, ports: Sequence[Port], constants: Tensors, start: int, stop: int
) -> dict[str, Any]:
    """Return the request for the rows from `start` to before `stop`; it has the constants too."""
    rows = {name: array[start:stop] for name, array in dataset.inputs.items()}
    document: dict[str, Any] = json.loads(
        build_request({**prepare_rows(rows, ports), **constants}, binary=False).body
    )
    return document


def build_bodies(
    dataset: Dataset, ports: Sequence[Port], constants: Tensors, rows_at_once: int
) -> list[bytes]:
    """Return requests of so many rows each, other rows in each, some dozen at most."""
    size = min(rows_at_once, len(dataset))
    starts = range(0, len(dataset) - size + 1, size)[:_MOST_BODIES]
    return [
        json.dumps(build_document(dataset, ports, constants, start, start + size)).encode()
        for start in starts
    ]
