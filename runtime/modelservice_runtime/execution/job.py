"""One request on its way through a lane, and what comes of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from modelservice_runtime.errors import ServingError
from modelservice_runtime.execution.batch_queue import BatchKey
from modelservice_runtime.execution.statistics import Timing
from modelservice_runtime.model import Run
from modelservice_runtime.tensors import Array, InferRequest

if TYPE_CHECKING:
    import asyncio

# What no priority, or 0, stands for: between the urgent (1 is first) and what can wait.
_DEFAULT_PRIORITY = 5


@dataclass(slots=True)
class InferResult:
    """The outputs in the requested order, and where the time went."""

    outputs: list[Array]
    timing: Timing


Done: TypeAlias = Callable[[InferResult | ServingError], None]


class Job:
    """One request on its way through a lane."""

    __slots__ = (
        "arrived_ns",
        "batch",
        "done",
        "elements",
        "finished",
        "key",
        "priority",
        "request",
        "rows",
        "timer",
    )

    def __init__(
        self, request: InferRequest, done: Done, elements: int, key: BatchKey | None, rows: int
    ) -> None:
        self.request = request
        self.elements = elements
        self.done = done
        self.key = key
        self.rows = rows
        self.priority = request.priority or _DEFAULT_PRIORITY
        self.arrived_ns = time.perf_counter_ns()
        self.finished = False
        self.timer: asyncio.TimerHandle | None = None
        self.batch: RunningBatch | None = None


@dataclass(slots=True, eq=False)
class RunningBatch:
    """Requests that share a run, and the handle to stop it by."""

    jobs: list[Job]
    handle: Run


def make_result(
    outcome: Sequence[Array] | ServingError, timing: Timing, queue_ns: int
) -> InferResult | ServingError:
    """What a job of a batch is told; ``timing`` is the batch's."""
    if isinstance(outcome, ServingError):
        return outcome
    return InferResult(
        list(outcome),
        Timing(queue_ns, timing.compute_input_ns, timing.compute_infer_ns, timing.compute_output_ns),
    )
