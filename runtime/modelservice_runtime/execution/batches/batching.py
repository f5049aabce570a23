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

from modelservice_runtime.errors import ServingError
from modelservice_runtime.execution.batches.batch_queue import BatchKey
from modelservice_runtime.execution.batches.output_shapes import OutputShapes
from modelservice_runtime.execution.finite import are_finite
from modelservice_runtime.model import Model, ModelSpec, Run
from modelservice_runtime.tensors import Array, InferRequest

Outcome: TypeAlias = list[Array] | ServingError

SHAPES_VARY = "the shape of an output behind its first dimension depends on the values of a request"


class RowMismatchError(Exception):
    """A batch's outputs are not those of its requests one below the other; the sentence says how it shows."""


@dataclass(slots=True)
class BatchResult:
    """What became of a batch: one outcome for each request, and what the model was really asked.

    `started_ns` is the performance counter's time; `executions` holds (rows, nanoseconds in the model) of
    every run; `mismatch` says why the model must not be batched any more. `nonfinite` are the outcomes, by
    their places, that hold NaN or infinite numbers.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    nonfinite: set[int] = field(default_factory=set)
    executions: list[tuple[int, int]] = field(default_factory=list)
    started_ns: int = 0
    compute_input_ns: int = 0
    compute_output_ns: int = 0
    mismatch: str | None = None


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
    """Cut every output into consecutive pieces of `rows`; views, no copies.

    Raises RowMismatchError when an output's first dimension is not the sum of `rows`.
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
    model: Model,
    requests: Sequence[InferRequest],
    rows: Sequence[int],
    handle: Run | None,
    shapes: OutputShapes | None = None,
    key: BatchKey = (),
) -> BatchResult:
    """Run the requests together, or singly when that fails. Never raises a ServingError.

    `shapes` is what single runs gave so far, where requests of this `key` may share a run: as long as
    that is nothing, one of them runs alone.
    """
    result = BatchResult(started_ns=time.perf_counter_ns())
    batch = _Batch(model, handle, shapes, key, result)
    count = len(requests)
    while count - len(result.outcomes) > 1 and result.mismatch is None:
        done = len(result.outcomes)
        if batch.knows_shapes(requests[0]):
            if batch.run_together(requests[done:], rows[done:]):
                return result
            break
        batch.run_alone(requests[done], rows[done])
    for done in range(len(result.outcomes), count):
        batch.run_alone(requests[done], rows[done])
    return result


@dataclass(slots=True)
class _Batch:
    """The runs of one batch."""

    model: Model
    handle: Run | None
    shapes: OutputShapes | None
    key: BatchKey
    result: BatchResult

    def knows_shapes(self, request: InferRequest) -> bool:
        return self.shapes is None or self.shapes.knows(self.key, request.output_names)

    def run_alone(self, request: InferRequest, rows: int) -> None:
        try:
            outputs = self._run(request.inputs, request, rows)
        except ServingError as error:
            # Without the traceback, whose frames hold the result and the inputs.
            self.result.outcomes.append(error.with_traceback(None))
            return
        self._give(outputs, request)
        if self.shapes is not None and not self.shapes.learn(self.key, outputs):
            self.result.mismatch = SHAPES_VARY

    def run_together(self, requests: Sequence[InferRequest], rows: Sequence[int]) -> bool:
        """Whether that worked; nothing is lost where it did not."""
        result = self.result
        started_ns = time.perf_counter_ns()
        try:
            merged = merge_inputs(self.model.spec, requests)
            result.compute_input_ns = time.perf_counter_ns() - started_ns
            outputs = self._run(merged, requests[0], sum(rows))
            ended_ns = time.perf_counter_ns()
            pieces = split_outputs(outputs, rows)
            if self.shapes is not None and not self.shapes.fit(self.key, outputs):
                raise RowMismatchError(SHAPES_VARY)
        except RowMismatchError as mismatch:
            result.mismatch = str(mismatch)
            return False
        except (ServingError, MemoryError):
            return False
        if are_finite(self.model.spec, requests[0].output_names, outputs):
            result.outcomes.extend(pieces)
        else:
            for piece, request in zip(pieces, requests, strict=True):
                self._give(piece, request)
        result.compute_output_ns = time.perf_counter_ns() - ended_ns
        return True

    def _give(self, outputs: list[Array], request: InferRequest) -> None:
        if not are_finite(self.model.spec, request.output_names, outputs):
            self.result.nonfinite.add(len(self.result.outcomes))
        self.result.outcomes.append(outputs)

    def _run(self, inputs: Mapping[str, Array], request: InferRequest, rows: int) -> list[Array]:
        started_ns = time.perf_counter_ns()
        outputs = self.model.run(inputs, request.output_names, self.handle)
        self.result.executions.append((rows, time.perf_counter_ns() - started_ns))
        return outputs
