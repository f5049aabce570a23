"""A lane runs one model's requests: at once on the event loop, or on its own threads; singly or in batches.

Each model has its own lane, so a slow model never holds up a fast one. A model whose runs take less than
about 200 us runs inline, because a hop to a thread and back costs 60-80 us; a slower one runs on threads,
where ``run`` drops the GIL. Run times are measured at load and while serving, and the choice follows them.
Everything here but ``run_batch`` happens on the event loop's thread, so nothing needs a lock.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from modelservice_runtime.errors import (
    DeadlineExceededError,
    OverloadedError,
    ServingError,
    internal_error,
)
from modelservice_runtime.execution.batch_queue import BatchKey, BatchQueue
from modelservice_runtime.execution.batching import BatchResult, batch_key, batch_rows, run_batch
from modelservice_runtime.execution.job import Done, InferResult, Job, RunningBatch, make_result
from modelservice_runtime.execution.run_time import RunTime
from modelservice_runtime.execution.runner_threads import RunnerThreads
from modelservice_runtime.execution.sharing import Sharing
from modelservice_runtime.execution.statistics import ModelStatistics, Timing
from modelservice_runtime.model import Batching, Model, PreparedRun, WarmUp
from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.tensors import Array, InferRequest

log = logging.getLogger(__name__)

# How long queued batches may keep the event loop busy before everybody else has a turn.
_TURN_SECONDS = 0.001
_BATCH_WEIGHT = 1 / 8
_MAX_RETRY_SECONDS = 60
# Where nothing is batched all requests wait in one row.
_ONE_BY_ONE: BatchKey = ()


# Outputs in the requested order, and when the run started and ended (performance counter).
InlineRun: TypeAlias = tuple[list[Array], int, int]


class Lane:
    """See the module's text."""

    def __init__(
        self,
        model: Model,
        settings: LaneSettings,
        statistics: ModelStatistics,
        loop: asyncio.AbstractEventLoop,
        warm_up: WarmUp,
    ) -> None:
        self._model = model
        self._settings = settings
        self._statistics = statistics
        self._loop = loop
        self._max_request_seconds = settings.max_request_seconds if warm_up.time_varies else None
        self._run_time = RunTime(warm_up, settings.inline_below_seconds, loop.time)
        self._queue: BatchQueue[Job] = BatchQueue()
        # Who may run for longer on the event loop may do so twice: reading and writing for two at once costs
        # less, with a model that drives all else from the CPU's caches.
        self._turn_seconds = max(_TURN_SECONDS, settings.queued_inline_below_seconds)
        self._pending = 0
        # A batch's time on a runner (mean), and when one was started last; both None at first.
        self._batch_seconds: float | None = None
        self._last_start_ns: int | None = None
        self._running: set[RunningBatch] = set()
        self._threads: RunnerThreads[RunningBatch, BatchResult] = RunnerThreads(
            settings.runner_threads, model.spec.name, loop, self._run, self._finish, self._fail
        )
        self._wakeup: asyncio.Handle | None = None
        self._delay_timer: asyncio.TimerHandle | None = None
        self._on_idle: Callable[[], None] | None = None
        self._sharing = Sharing(model, settings.max_batch_size, warm_up, loop)
        self._sharing.changed = self._set_sharing
        self._set_sharing()

    @property
    def pending(self) -> int:
        """Requests that wait or run."""
        return self._pending

    @property
    def runs_inline(self) -> bool:
        """True while the model is fast enough to run on the event loop."""
        return self._run_time.usually_short

    @property
    def batching(self) -> Batching:
        """Whether requests share runs now, and why not."""
        return self._sharing.batching

    @property
    def max_batch_size(self) -> int:
        """Rows that may share a run; 1 when batching is off."""
        return self._max_rows

    def run_inline(self, request: InferRequest) -> InlineRun | None:
        """Run ``request`` here and now, where that is expected to be short and nobody waits; else None.

        Raises ServingErrors of the model. The caller counts the run, by ``ModelStatistics.record_inline``.
        """
        if self._keyed or self._pending or self._running:
            return None
        elements = request.text_bytes
        for array in request.inputs.values():
            elements += array.size
        if not self._run_time.is_short(elements):
            return None
        started_ns = time.perf_counter_ns()
        outputs = self._model.run(request.inputs, request.output_names)
        ended_ns = time.perf_counter_ns()
        self._run_time.observe(ended_ns - started_ns, elements)
        return outputs, started_ns, ended_ns

    def prepare(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> PreparedRun | None:
        """See ``Model.prepare``; None also for a model that does not run on the event loop."""
        if self._keyed or not self.runs_inline:
            return None
        return self._model.prepare(inputs, outputs)

    def run_prepared(self, prepared: PreparedRun, elements: int) -> tuple[int, int] | None:
        """``run_inline`` for inputs that are in place, ``elements`` in all; None also where the run failed.

        Returns when the run started and ended (performance counter).
        """
        if self._keyed or self._pending or self._running or not self._run_time.is_short(elements):
            return None
        started_ns = time.perf_counter_ns()
        if not prepared.run():
            return None
        ended_ns = time.perf_counter_ns()
        self._run_time.observe(ended_ns - started_ns, elements)
        return started_ns, ended_ns

    def submit(self, request: InferRequest, done: Done) -> Job:
        """Run ``request`` in its turn; ``done`` is called once, later.

        Raises OverloadedError when the queue is too long, in requests or in time.
        """
        if self._pending >= self._settings.max_queue_size or len(self._running) >= self._slots:
            self._check_queue()
        job = self._make_job(request, done)
        timeout_seconds = request.timeout_seconds
        if self._max_request_seconds is not None:
            timeout_seconds = min(timeout_seconds or self._max_request_seconds, self._max_request_seconds)
        if timeout_seconds is not None:
            job.timer = self._loop.call_later(timeout_seconds, self._expire, job)
        self._pending += 1
        self._queue.add(job)
        self._wake_up()
        return job

    def start_threads(self, enter: Callable[[], None]) -> None:
        """Start the threads now, each with ``enter``: later there may be no memory for them."""
        self._threads.start(enter)

    def expected_wait_seconds(self) -> float:
        """How long a request that comes now will wait for its run, by what is known; 0 with a free runner."""
        if len(self._running) < self._slots or self._last_start_ns is None:
            return 0.0
        # A run that does not end keeps everybody waiting, whatever earlier ones took.
        stalled_seconds = (time.perf_counter_ns() - self._last_start_ns) / 1e9 if self._queue else 0.0
        if self._batch_seconds is None:
            return stalled_seconds
        batches = len(self._running) + self._queue.rows / self._max_rows
        return max(stalled_seconds, batches * self._batch_seconds / self._settings.runner_threads)

    def cancel(self, job: Job) -> None:
        """The client went away: the job's ``done`` will not be called any more."""
        self._abandon(job)

    def stop_runs(self) -> None:
        """Ask every running batch to end early."""
        for batch in self._running:
            batch.handle.stop()

    def close_when_idle(self, closed: Callable[[], None]) -> None:
        """Release the threads after the last request, then call ``closed``."""

        def close() -> None:
            self._sharing.stop()
            self._threads.stop()
            closed()

        if self._pending == 0:
            close()
        else:
            self._on_idle = close

    def _check_queue(self) -> None:
        settings = self._settings
        if self._pending < settings.max_queue_size and not self._queue:
            return
        wait_seconds = self.expected_wait_seconds()
        if self._pending < settings.max_queue_size and wait_seconds <= settings.max_queue_seconds:
            return
        retry_after_seconds = min(max(math.ceil(wait_seconds), 1), _MAX_RETRY_SECONDS)
        raise OverloadedError(
            f"model '{self._model.spec.name}' has {self._pending} requests waiting, "
            f"for about {wait_seconds:.1f} s; try again later",
            retry_after_seconds,
        )

    def _observe_batch(self, seconds: float) -> None:
        mean = self._batch_seconds
        self._batch_seconds = seconds if mean is None else mean + (seconds - mean) * _BATCH_WEIGHT

    def _set_sharing(self) -> None:
        rows = self._max_rows = self._sharing.batching.max_batch_size
        self._keyed, self._learns = self._sharing.is_open, self._sharing.learns
        # Without batching one more run than threads is handed over, so that a thread that ends a run finds
        # the next one at once. With batching that would only take requests away from a fuller batch.
        self._slots = self._settings.runner_threads + (1 if rows == 1 else 0)

    def _make_job(self, request: InferRequest, done: Done) -> Job:
        spec = self._model.spec
        elements = request.text_bytes + sum([array.size for array in request.inputs.values()])
        if not self._keyed:
            return Job(request, done, elements, _ONE_BY_ONE, 1)
        rows = batch_rows(spec, request.inputs)
        return Job(request, done, elements, batch_key(spec, request) if rows else None, max(rows, 1))

    def _wake_up(self) -> None:
        """Dispatch soon: what arrives in the same turn of the loop can share a batch."""
        if self._wakeup is None and self._queue.rows and len(self._running) < self._slots:
            if self._delay_timer is not None:
                self._delay_timer.cancel()
                self._delay_timer = None
            self._wakeup = self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._wakeup = self._delay_timer = None
        yield_at = self._loop.time() + self._turn_seconds
        while self._queue.rows and len(self._running) < self._slots:
            if self._max_rows == 1:
                jobs = [self._queue.take_one()]
            else:
                bucket, wait_seconds = self._queue.choose(self._max_rows, self._wait_seconds)
                if wait_seconds > 0:
                    self._delay_timer = self._loop.call_later(wait_seconds, self._dispatch)
                    return
                jobs = self._queue.take(self._max_rows, bucket)
            ran_here = self._start(jobs)
            if ran_here and self._loop.time() + self._run_time.run_ns / 1e9 > yield_at:
                break  # other clients have their turn on the event loop
        self._wake_up()

    def _wait_seconds(self, oldest: Job, rows: int) -> float:
        """How long a batch may still wait to fill; its deadline counts from its oldest request."""
        delay_seconds = self._settings.max_delay_seconds
        if delay_seconds == 0 or oldest.key is None or rows >= self._max_rows:
            return 0.0
        return delay_seconds - (time.perf_counter_ns() - oldest.arrived_ns) / 1e9

    def _start(self, jobs: list[Job]) -> bool:
        """Run a batch, here or on a thread; True when it ran here, or could not run, and is finished."""
        try:
            return self._start_run(jobs)
        except Exception:  # the last boundary: a thread that cannot start, for one
            log.exception("internal error before a run", extra={"model": self._model.spec.name})
            self._running = {batch for batch in self._running if batch.jobs is not jobs}
            for job in jobs:
                if not job.finished:
                    self._answer(job, internal_error())
            self._notice_idle()
            return True

    def _start_run(self, jobs: list[Job]) -> bool:
        elements = jobs[0].elements if len(jobs) == 1 else sum([job.elements for job in jobs])
        limit_seconds = self._settings.queued_inline_below_seconds
        runs_here = self._run_time.is_below(elements, limit_seconds) or self._run_time.is_short(elements)
        self._last_start_ns = time.perf_counter_ns()
        if runs_here and len(jobs) == 1:
            self._run_here(jobs[0], self._last_start_ns)
            return True
        batch = RunningBatch(jobs, self._model.new_run())
        self._running.add(batch)
        for job in jobs:
            job.batch = batch
        if runs_here:
            self._run_batch_here(batch)
        else:
            self._threads.submit(batch)
        return runs_here

    def _run_batch_here(self, batch: RunningBatch) -> None:
        try:
            result = self._run(batch)
        except Exception:  # the last boundary, as on a thread
            log.exception("internal error while a batch ran", extra={"model": self._model.spec.name})
            self._fail(batch)
        else:
            self._finish(batch, result)

    def _run_here(self, job: Job, started_ns: int) -> None:
        """Run one request on the event loop. ``run_batch`` without all that only threads and batches need."""
        outcome: InferResult | ServingError
        try:
            outputs = self._model.run(job.request.inputs, job.request.output_names)
        except ServingError as error:
            outcome = error.with_traceback(None)  # whose frames hold the inputs
        except Exception:  # the last boundary, as on a thread
            log.exception("internal error while a model ran", extra={"model": self._model.spec.name})
            outcome = internal_error()
        else:
            ended_ns = time.perf_counter_ns()
            infer_ns = ended_ns - started_ns
            timing = Timing(started_ns - job.arrived_ns, compute_infer_ns=infer_ns)
            self._run_time.observe(infer_ns, job.elements)
            self._observe_batch(infer_ns / 1e9)
            self._statistics.record_execution(job.rows, ended_ns, timing)
            outcome = InferResult(outputs, timing)
        self._answer(job, outcome)
        if self._learns and isinstance(outcome, InferResult):
            self._sharing.learn(job, outcome.outputs, self._run_time.run_ns / 1e9)
        self._notice_idle()

    def _run(self, batch: RunningBatch) -> BatchResult:
        """Called on a runner thread; touches nothing but the batch, and what is known of shapes."""
        jobs = batch.jobs
        if all(job.finished for job in jobs):
            return BatchResult()  # everybody left while the batch waited for the thread
        requests, rows = [job.request for job in jobs], [job.rows for job in jobs]
        shapes = self._sharing.shapes if self._keyed and jobs[0].key is not None else None
        return run_batch(self._model, requests, rows, batch.handle, shapes, jobs[0].key or ())

    def _fail(self, batch: RunningBatch) -> None:
        """A fault of ours; it is in the log."""
        error = internal_error()
        self._finish(batch, BatchResult([error for _ in batch.jobs], started_ns=time.perf_counter_ns()))

    def _finish(self, batch: RunningBatch, result: BatchResult) -> None:
        self._running.discard(batch)
        try:
            self._give_answers(batch, result)
        except Exception:  # the last boundary: what is learned of a run must not cost anybody his answer
            log.exception("internal error behind a run", extra={"model": self._model.spec.name})
        for job in batch.jobs:
            if not job.finished:
                self._answer(job, internal_error())
        batch.jobs.clear()  # jobs know their batch, and a cycle would keep their tensors
        self._notice_idle()
        self._wake_up()

    def _give_answers(self, batch: RunningBatch, result: BatchResult) -> None:
        if result.mismatch:
            self._sharing.decide(Batching(obstacle=result.mismatch))
        if result.executions:
            self._observe_batch((time.perf_counter_ns() - result.started_ns) / 1e9)
        timing = self._record(batch, result)
        for job, outcome in zip(batch.jobs, result.outcomes, strict=False):
            if not job.finished:
                self._answer(job, make_result(outcome, timing, result.started_ns - job.arrived_ns))
        if self._learns and len(batch.jobs) == 1 and result.outcomes:
            outcome = result.outcomes[0]
            if not isinstance(outcome, ServingError):
                self._sharing.learn(batch.jobs[0], outcome, self._run_time.run_ns / 1e9)

    def _record(self, batch: RunningBatch, result: BatchResult) -> Timing:
        infer_ns = 0
        now_ns = time.perf_counter_ns()
        elements = sum([job.elements for job in batch.jobs]) // max(len(result.executions), 1)
        for rows, elapsed_ns in result.executions:
            infer_ns += elapsed_ns
            self._run_time.observe(elapsed_ns, elements)
            self._statistics.record_execution(
                rows, now_ns, Timing(0, result.compute_input_ns, elapsed_ns, result.compute_output_ns)
            )
        return Timing(0, result.compute_input_ns, infer_ns, result.compute_output_ns)

    def _expire(self, job: Job) -> None:
        if self._abandon(job):
            self._tell(job, DeadlineExceededError("the request's timeout passed before the answer was ready"))

    def _abandon(self, job: Job) -> bool:
        """Take a job out of the lane; a run that nobody waits for any more is stopped."""
        if job.finished:
            return False
        if job.batch is None:
            self._queue.remove(job)
        self._leave(job)
        if job.batch is not None and all(other.finished for other in job.batch.jobs):
            job.batch.handle.stop()
        self._notice_idle()
        return True

    def _answer(self, job: Job, outcome: InferResult | ServingError) -> None:
        self._leave(job)
        self._tell(job, outcome)

    def _tell(self, job: Job, outcome: InferResult | ServingError) -> None:
        """The last boundary stands around each job: those behind it get their answers all the same."""
        try:
            job.done(outcome)
        except Exception:
            log.exception("internal error while an answer was given", extra={"model": self._model.spec.name})

    def _leave(self, job: Job) -> None:
        job.finished = True
        self._pending -= 1
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None

    def _notice_idle(self) -> None:
        if self._pending == 0 and self._on_idle is not None:
            on_idle, self._on_idle = self._on_idle, None
            on_idle()
