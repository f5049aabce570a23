"""Merging requests into one run and splitting the answers again; pure but for the call of the model.

Only requests with the same key go together: equal shapes behind the first dimension and equal output sets
(datatypes are equal by the model's signature). Rows keep their order. A failing batch is retried singly, so
one bad request does not fail its neighbours.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from modelservice_runtime.errors import ServingError
from modelservice_runtime.model import Model, ModelSpec, Run
from modelservice_runtime.tensors import Array, InferRequest

BatchKey: TypeAlias = tuple[object, ...]
Outcome: TypeAlias = list[Array] | ServingError


class RowMismatchError(Exception):
    """A model gave another number of rows than it got: its batches cannot be split."""


class Batchable(Protocol):
    """What the queue needs to know of an entry."""

    @property
    def key(self) -> BatchKey | None:
        """Entries with equal keys may run together; None runs alone."""

    @property
    def rows(self) -> int:
        """Rows of the first dimension, at least 1."""


Entry = TypeVar("Entry", bound=Batchable)


class BatchQueue(Generic[Entry]):
    """Waiting entries, by key. Keys take turns; within a key it is first come, first served."""

    def __init__(self) -> None:
        self._buckets: dict[object, deque[Entry]] = {}

    def __bool__(self) -> bool:
        return bool(self._buckets)

    def add(self, entry: Entry) -> None:
        """Append ``entry``; without a key it gets a bucket of its own."""
        self._buckets.setdefault(_bucket_name(entry), deque()).append(entry)

    def remove(self, entry: Entry) -> bool:
        """Forget a waiting entry; False when it is not waiting."""
        bucket = self._buckets.get(_bucket_name(entry))
        if bucket is None or entry not in bucket:
            return False
        bucket.remove(entry)
        if not bucket:
            del self._buckets[_bucket_name(entry)]
        return True

    def choose(self, limit: int, wait_seconds: Callable[[Entry, int], float]) -> tuple[object, float]:
        """Find whose turn it is: the first bucket that need not wait, else the one that waits the least.

        ``wait_seconds`` gets a bucket's oldest entry and the rows that ``take`` would return. Returns what
        ``take`` wants, and the seconds to wait (0: none). The queue must not be empty.
        """
        waits: list[tuple[float, object]] = []
        for name, bucket in self._buckets.items():
            seconds = wait_seconds(bucket[0], _rows_to_take(bucket, limit))
            if seconds <= 0:
                return name, 0.0
            waits.append((seconds, name))
        seconds, name = min(waits, key=lambda wait: wait[0])
        return name, seconds

    def take(self, limit: int, name: object) -> list[Entry]:
        """Remove a bucket's first entries, of at most ``limit`` rows in sum (but at least one entry)."""
        bucket = self._buckets.pop(name)
        taken = [bucket.popleft()]
        rows = taken[0].rows
        while bucket and rows + bucket[0].rows <= limit:
            rows += bucket[0].rows
            taken.append(bucket.popleft())
        if bucket:
            self._buckets[name] = bucket  # to the end: the next key has its turn
        return taken


def _rows_to_take(bucket: Iterable[Batchable], limit: int) -> int:
    rows = 0
    for entry in bucket:
        if rows and rows + entry.rows > limit:
            break
        rows += entry.rows
    return rows


def _bucket_name(entry: Batchable) -> object:
    return id(entry) if entry.key is None else entry.key


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
            result.outcomes.append(error)
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
