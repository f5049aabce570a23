"""Merging requests into one run and splitting the answers again; pure but for the call of the model.

Only requests with the same key go together: equal shapes behind the first dimension and equal output sets
(datatypes are equal by the model's signature). Rows keep their order. A failing batch is retried singly, so
one bad request does not fail its neighbours.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from modelservice_runtime.batch_queue import BatchKey
from modelservice_runtime.errors import ServingError
from modelservice_runtime.model import Model, ModelSpec, Run
from modelservice_runtime.tensors import Array, InferRequest

Outcome: TypeAlias = list[Array] | ServingError


class RowMismatchError(Exception):
    """A model gave another number of rows than it got: its batches cannot be split."""


@dataclass(slots=True)
class BatchResult:
    """What became of a batch: one outcome for each request, and what the model was really asked.

    ``started_ns`` is the performance counter's time; ``executions`` holds (rows, nanoseconds in the model) of
    every run; ``rows_mismatched`` tells that the model must not be batched any more.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    executions: list[tuple[int, int]] = field(default_factory=list)
    started_ns: int = 0
    compute_input_ns: int = 0
    compute_output_ns: int = 0
    rows_mismatched: bool = False


def batch_rows(spec: ModelSpec, inputs: Mapping[str, Array]) -> int:
    """Rows that all inputs agree on in their first dimension; 0 where they do not, or have none."""
    rows = -1
    for tensor in spec.inputs:
        shape = inputs[tensor.name].shape
        if not shape or (rows not in (-1, shape[0])):
            return 0
        rows = shape[0]
    return max(rows, 0)


def batch_key(spec: ModelSpec, request: InferRequest) -> BatchKey:
    """What must be equal for two requests to share a run."""
    shapes = tuple([request.inputs[tensor.name].shape[1:] for tensor in spec.inputs])
    return (shapes, tuple(request.output_names))


def merge_inputs(spec: ModelSpec, requests: Sequence[InferRequest]) -> dict[str, Array]:
    """Concatenate each input along the first dimension; a single request's arrays are not copied."""
    if len(requests) == 1:
        return requests[0].inputs
    return {
        tensor.name: np.concatenate([request.inputs[tensor.name] for request in requests])
        for tensor in spec.inputs
    }


def split_outputs(outputs: Sequence[Array], rows: Sequence[int]) -> list[list[Array]]:
    """Cut every output into consecutive pieces of ``rows``; views, no copies.

    Raises RowMismatchError when an output's first dimension is not the sum of ``rows``.
    """
    total = sum(rows)
    for output in outputs:
        if output.ndim == 0 or output.shape[0] != total:
            raise RowMismatchError(f"{total} rows went in, an output of shape {list(output.shape)} came out")
    pieces: list[list[Array]] = []
    start = 0
    for count in rows:
        pieces.append([output[start : start + count] for output in outputs])
        start += count
    return pieces


def run_batch(
    model: Model, requests: Sequence[InferRequest], rows: Sequence[int], handle: Run | None
) -> BatchResult:
    """Run the requests together, or singly when that fails. Never raises a ServingError."""
    result = BatchResult(started_ns=time.perf_counter_ns())
    if len(requests) > 1 and _run_together(model, requests, rows, handle, result):
        return result
    for request, count in zip(requests, rows, strict=True):
        try:
            result.outcomes.append(_timed_run(model, request.inputs, request, count, handle, result))
        except ServingError as error:
            # Without the traceback, whose frames hold the result and the inputs.
            result.outcomes.append(error.with_traceback(None))
    return result


def _run_together(
    model: Model,
    requests: Sequence[InferRequest],
    rows: Sequence[int],
    handle: Run | None,
    result: BatchResult,
) -> bool:
    started_ns = time.perf_counter_ns()
    merged = merge_inputs(model.spec, requests)
    result.compute_input_ns = time.perf_counter_ns() - started_ns
    try:
        outputs = _timed_run(model, merged, requests[0], sum(rows), handle, result)
        ended_ns = time.perf_counter_ns()
        result.outcomes.extend(split_outputs(outputs, rows))
    except RowMismatchError:
        result.rows_mismatched = True
        return False
    except ServingError:
        return False
    result.compute_output_ns = time.perf_counter_ns() - ended_ns
    return True


def _timed_run(
    model: Model,
    inputs: Mapping[str, Array],
    request: InferRequest,
    rows: int,
    handle: Run | None,
    result: BatchResult,
) -> list[Array]:
    started_ns = time.perf_counter_ns()
    outputs = model.run(inputs, request.output_names, handle)
    result.executions.append((rows, time.perf_counter_ns() - started_ns))
    return outputs
