"""One infer request between its protocol and its model's lane; every front end goes through here.

The front end decodes the request and says how to encode the outputs; this module submits, times, counts
success and failure, and cancels when the client leaves. Event loop's thread only.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from modelservice_runtime.errors import (
    DeadlineExceededError,
    DeviceLostError,
    InferenceFailedError,
    InputRefusedError,
    ModelUnavailableError,
    OutputTooLargeError,
    OverloadedError,
    ServingError,
    internal_error,
)
from modelservice_runtime.execution.job import InferResult, Job
from modelservice_runtime.execution.offload import LateAnswer, offload
from modelservice_runtime.execution.statistics import Timing
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.tensors import Array, InferRequest

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_REASON_BY_ERROR: dict[type[ServingError], str] = {
    OverloadedError: "REJECTED",
    ModelUnavailableError: "REJECTED",
    DeadlineExceededError: "REJECTED",
    DeviceLostError: "BACKEND",
    InferenceFailedError: "BACKEND",
    InputRefusedError: "BACKEND",
    OutputTooLargeError: "BACKEND",
}


def failure_reason(error: ServingError) -> str:
    """Triton's `reason` label of nv_inference_request_failure."""
    return _REASON_BY_ERROR.get(type(error), "OTHER")


def infer_inline(
    handle: ModelHandle,
    request: InferRequest,
    received_ns: int,
    encode: Callable[[list[Array]], Answer | LateAnswer[Answer]],
) -> Answer | LateAnswer[Answer] | None:
    """Answer at once where the model is fast and free; what else comes back is for `InferCall.go_on`.

    Arguments as of `InferCall`. Raises ServingError, and whatever `encode` raises, uncounted.
    """
    run = handle.lane.run_inline(request)
    if run is None:
        return None
    outputs, started_ns, ended_ns = run
    answer = encode(outputs)
    if isinstance(answer, LateAnswer):
        answer.timing = Timing(0, started_ns - received_ns, ended_ns - started_ns)
        handle.statistics.record_execution(1, ended_ns, Timing(compute_infer_ns=ended_ns - started_ns))
        return answer
    handle.statistics.record_inline(received_ns, started_ns, ended_ns, time.perf_counter_ns())
    return answer


class InferCall(Generic[Answer]):
    """A request to `handle`, received whole at `received_ns` (performance counter).

    `encode` turns the outputs, in the requested order, into the protocol's answer, or into one that a
    thread is to write; its time counts as compute_output, and it may raise. `reply` gets that answer or
    the error, at most once; after `cancel` never.
    """

    __slots__ = ("_decode_ns", "_encode", "_handle", "_job", "_received_ns", "_reply", "_writing")

    def __init__(
        self,
        handle: ModelHandle,
        received_ns: int,
        encode: Callable[[list[Array]], Answer | LateAnswer[Answer]],
        reply: Callable[[Answer | ServingError], None],
    ) -> None:
        self._handle = handle
        self._received_ns = received_ns
        self._encode = encode
        self._reply = reply
        self._decode_ns = 0
        self._job: Job | None = None
        self._writing = False

    def go_on(self, request: InferRequest, late: LateAnswer[Answer] | None) -> None:
        """Run the decoded request in its turn, or write the answer of one that has run already.

        Raises OverloadedError, uncounted.
        """
        if late is None:
            self.enqueue(request)
        else:
            reply = self._reply
            self._forget()
            self._handle.statistics.record_wait(0)
            self._write(late, reply)
            self._handle.statistics.open(self._received_ns)

    def enqueue(self, request: InferRequest) -> None:
        """Run the decoded request in its turn. Raises OverloadedError, uncounted."""
        self._decode_ns = time.perf_counter_ns() - self._received_ns
        self._job = self._handle.lane.submit(request, self._finish)
        self._handle.statistics.open(self._received_ns)

    def cancel(self) -> None:
        """The client has gone: stop what nobody waits for."""
        if self._job is not None:
            self._handle.lane.cancel(self._job)
            self._forget()
        elif not self._writing:
            return
        self._writing = False
        self._handle.statistics.close(self._received_ns)
        record_cancelled(self._handle, self._received_ns)

    def _forget(self) -> None:
        """The job and the callbacks lead back here: a cycle would keep the tensors until it is collected."""
        self._job = None
        del self._encode, self._reply

    def _finish(self, result: InferResult | ServingError) -> None:
        encode, reply = self._encode, self._reply
        self._forget()
        if isinstance(result, ServingError):
            self._fail(result, reply)
            return
        result.timing.compute_input_ns += self._decode_ns
        started_ns = time.perf_counter_ns()
        try:
            answer = encode(result.outputs)
            if isinstance(answer, LateAnswer):
                answer.timing = result.timing
                self._write(answer, reply)
                return
        except Exception as error:  # noqa: BLE001 - counted, logged where it is ours, and told
            self._fail(error, reply)
            return
        self._succeed(answer, result.timing, started_ns, reply)

    def _write(self, late: LateAnswer[Answer], reply: Callable[[Answer | ServingError], None]) -> None:
        """Have a thread write the answer."""
        started_ns = time.perf_counter_ns()

        def written(done: asyncio.Future[Answer]) -> None:
            error = done.exception()
            if not self._writing:  # nobody waits any more
                return
            self._writing = False
            if error is None:
                self._succeed(done.result(), late.timing, started_ns, reply)
            else:
                self._fail(error, reply)

        offload(late.write, written)
        self._writing = True

    def _succeed(
        self, answer: Answer, timing: Timing, started_ns: int, reply: Callable[[Answer | ServingError], None]
    ) -> None:
        ended_ns = time.perf_counter_ns()
        timing.compute_output_ns += ended_ns - started_ns
        self._handle.statistics.close(self._received_ns)
        self._handle.statistics.record_success(self._received_ns, ended_ns, timing)
        reply(answer)

    def _fail(self, error: BaseException, reply: Callable[[Answer | ServingError], None]) -> None:
        self._handle.statistics.close(self._received_ns)
        reply(record_failure(self._handle, self._received_ns, error))


class RunsCall(InferCall[Answer]):
    """A request of several runs, one behind the other: others have their turns between them.

    `encode` gets the outputs of all runs, in their order.
    """

    __slots__ = ("_ends_at", "_outputs", "_rest", "_timing")

    def enqueue_all(self, requests: Sequence[InferRequest], timeout_seconds: float | None) -> None:
        """Run all in their turns, within so many seconds. Raises OverloadedError, uncounted."""
        self._rest = deque(requests)
        self._outputs: list[Array] = []
        self._timing = Timing()
        self._ends_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self.enqueue(self._next())

    def _next(self) -> InferRequest:
        request = self._rest.popleft()
        if self._ends_at is None:
            return request
        return replace(request, timeout_seconds=max(self._ends_at - time.monotonic(), 0.0))

    def _finish(self, result: InferResult | ServingError) -> None:
        if isinstance(result, ServingError):
            self._end(result)
            return
        self._outputs += result.outputs
        self._timing.add(result.timing)
        if not self._rest:
            self._end(InferResult(self._outputs, self._timing))
            return
        try:
            self._job = self._handle.lane.submit(self._next(), self._finish)
        except OverloadedError as error:
            self._end(error)

    def _end(self, result: InferResult | ServingError) -> None:
        self._rest.clear()
        self._outputs = []
        super()._finish(result)


def record_cancelled(handle: ModelHandle, received_ns: int) -> None:
    """Count a request whose client has gone."""
    handle.statistics.record_failure("CANCELED", received_ns, time.perf_counter_ns())


def count_failures(handle: ModelHandle, received_ns: int, work: Callable[[], Answer]) -> Answer:
    """What `work` on a request gives. What it raises is counted, and raised as a ServingError."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - counted, and told
        raise record_failure(handle, received_ns, error) from error.__cause__


def record_failure(handle: ModelHandle, received_ns: int, error: BaseException) -> ServingError:
    """Count a request that failed, in whatever way, and return what its client is told.

    The cause, which the client does not see, goes to the log.
    """
    told = _as_serving_error(handle, error)
    handle.statistics.record_failure(failure_reason(told), received_ns, time.perf_counter_ns())
    if (
        isinstance(told, DeviceLostError | InferenceFailedError | OutputTooLargeError)
        and told.__cause__ is not None
    ):
        log.warning("inference failed", extra={"model": handle.spec.name, "error": str(told.__cause__)})
    return told


def _as_serving_error(handle: ModelHandle, error: BaseException) -> ServingError:
    if isinstance(error, ServingError):
        return error
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # its frames hold what was made so far, and to tell of it takes memory too
        return OutputTooLargeError(
            "there is no memory for an answer, or a request, of this size; send and ask for less at once"
        )
    log.error("internal error", extra={"model": handle.spec.name}, exc_info=error)
    return internal_error()
