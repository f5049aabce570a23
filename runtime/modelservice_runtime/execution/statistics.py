"""Counts and times of one model version, kept as plain numbers so that the request path stays short.

Read by `observe.metrics` (Prometheus) and by the statistics routes. Written on the event
loop's thread only.
"""

import time
from bisect import bisect_left
from dataclasses import dataclass, field

# Upper bounds in seconds: from an inline run of a tiny model to a slow batch on a large one. Each is less
# than 1.5 times the one before, and (up to 10 s) what takes twice as long falls into a bucket whose bound is
# 1.75 times as high: who compares quantiles, as a rollout does, sees that, and no step over one bound.
DURATION_BUCKETS_SECONDS = (
    0.00002, 0.000025, 0.000035, 0.00005, 0.00007,
    0.0001, 0.00014, 0.0002, 0.00025, 0.00035, 0.0005, 0.0007,
    0.001, 0.0014, 0.002, 0.0025, 0.0035, 0.005, 0.007,
    0.01, 0.014, 0.02, 0.025, 0.035, 0.05, 0.07,
    0.1, 0.14, 0.2, 0.25, 0.35, 0.5, 0.7,
    1.0, 1.4, 2.0, 2.5, 3.5, 5.0, 7.0,
    10.0, 14.0, 20.0, 25.0, 30.0,
)  # fmt: skip
_BUCKETS_NS = tuple(int(seconds * 1e9) for seconds in DURATION_BUCKETS_SECONDS)

# Upper bounds in seconds of waits for a run, close to each other where people set targets.
QUEUE_BUCKETS_SECONDS = (
    0.001, 0.002, 0.005,
    0.01, 0.015, 0.02, 0.035, 0.05, 0.07,
    0.1, 0.15, 0.2, 0.35, 0.5, 0.7,
    1.0, 1.5, 2.0, 3.5, 5.0, 7.0,
    10.0, 20.0, 30.0,
)  # fmt: skip
_QUEUE_BUCKETS_NS = tuple(int(seconds * 1e9) for seconds in QUEUE_BUCKETS_SECONDS)

_SUMS = (
    "success_count",
    "success_ns",
    "queue_ns",
    "compute_input_ns",
    "compute_infer_ns",
    "compute_output_ns",
    "fail_ns",
    "nonfinite_count",
    "waited_ns",
)

# How requests come: the Open Inference Protocol and TensorFlow Serving's, over HTTP and gRPC.
PROTOCOLS = ("oip-rest", "oip-grpc", "tfs-rest", "tfs-grpc")

# Triton's reasons of nv_inference_request_failure.
FAILURE_REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")


@dataclass(slots=True)
class Timing:
    """Where one request spent its time, in nanoseconds."""

    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0

    def add(self, other: "Timing") -> None:
        """Count what `other` counted too."""
        self.queue_ns += other.queue_ns
        self.compute_input_ns += other.compute_input_ns
        self.compute_infer_ns += other.compute_infer_ns
        self.compute_output_ns += other.compute_output_ns


@dataclass(slots=True)
class BatchStatistics:
    """Runs of one batch size."""

    count: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0

    def add(self, other: "BatchStatistics") -> None:
        """Count what `other` counted too."""
        self.count += other.count
        self.compute_input_ns += other.compute_input_ns
        self.compute_infer_ns += other.compute_infer_ns
        self.compute_output_ns += other.compute_output_ns


@dataclass(slots=True)
class ModelStatistics:
    """Everything counted for one model version since it was loaded."""

    success_count: int = 0
    success_ns: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    fail_ns: int = 0
    nonfinite_count: int = 0
    """Requests whose outputs held NaN or infinite numbers."""
    arrivals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROTOCOLS, 0))
    """Requests by protocol, counted when it is known that they are for this model."""
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAILURE_REASONS, 0))
    batches: dict[int, BatchStatistics] = field(default_factory=dict)
    duration_counts: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS_NS) + 1))
    queue_counts: list[int] = field(default_factory=lambda: [0] * (len(_QUEUE_BUCKETS_NS) + 1))
    """Requests by how long they waited for a run, whatever became of them; the first has who ran at once."""
    waited_ns: int = 0
    last_run_ns: int | None = None
    last_end_ns: int | None = None
    """When the last request was answered or failed, by the performance counter."""
    open_count: int = 0
    """Requests not answered yet; those answered in one go never show, for nobody looks meanwhile."""
    open_received_ns: int = 0
    """The sum of the times at which they were received."""

    @property
    def request_count(self) -> int:
        """Requests that ended, answered or failed."""
        return self.success_count + sum(self.failures.values())

    def in_flight_ns(self, now_ns: int) -> int:
        """The integral of the requests in flight over time, each from its last byte in to its answer."""
        return self.duration_sum_ns + self.open_count * now_ns - self.open_received_ns

    @property
    def execution_count(self) -> int:
        """Runs of the model."""
        return sum(batch.count for batch in self.batches.values())

    @property
    def inference_count(self) -> int:
        """Rows that went through the model."""
        return sum(rows * batch.count for rows, batch in self.batches.items())

    @property
    def duration_sum_ns(self) -> int:
        """Time of all requests, answered and failed."""
        return self.success_ns + self.fail_ns

    @property
    def last_inference_ms(self) -> int:
        """End of the last run, in milliseconds since 1970; 0 before the first."""
        if self.last_run_ns is None:
            return 0
        return int(time.time() * 1e3 - (time.perf_counter_ns() - self.last_run_ns) / 1e6)

    def add(self, other: "ModelStatistics") -> None:
        """Count everything that `other` counted too."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for protocol, count in other.arrivals.items():
            self.arrivals[protocol] = self.arrivals.get(protocol, 0) + count
        for reason, count in other.failures.items():
            self.failures[reason] = self.failures.get(reason, 0) + count
        self.duration_counts = [
            one + two for one, two in zip(self.duration_counts, other.duration_counts, strict=True)
        ]
        for rows, batch in other.batches.items():
            self.batches.setdefault(rows, BatchStatistics()).add(batch)
        self.queue_counts = [
            one + two for one, two in zip(self.queue_counts, other.queue_counts, strict=True)
        ]
        self.last_run_ns = _latest(self.last_run_ns, other.last_run_ns)
        self.last_end_ns = _latest(self.last_end_ns, other.last_end_ns)

    def open(self, received_ns: int) -> None:
        """A request will be answered later; `close` it when it is, with the same time."""
        self.open_count += 1
        self.open_received_ns += received_ns

    def close(self, received_ns: int) -> None:
        """The reverse of `open`."""
        self.open_count -= 1
        self.open_received_ns -= received_ns

    def record_wait(self, wait_ns: int) -> None:
        """Count a request that waits no more for its run, also one that gave up."""
        self.queue_counts[bisect_left(_QUEUE_BUCKETS_NS, wait_ns)] += 1
        self.waited_ns += wait_ns

    def record_success(self, received_ns: int, answered_ns: int, timing: Timing) -> None:
        """Count an answered request, by the times of its last byte in and of its answer."""
        request_ns = answered_ns - received_ns
        self.last_end_ns = answered_ns
        self.success_count += 1
        self.success_ns += request_ns
        self.queue_ns += timing.queue_ns
        self.compute_input_ns += timing.compute_input_ns
        self.compute_infer_ns += timing.compute_infer_ns
        self.compute_output_ns += timing.compute_output_ns
        self.duration_counts[bisect_left(_BUCKETS_NS, request_ns)] += 1

    def record_inline(self, received_ns: int, started_ns: int, ran_ns: int, answered_ns: int) -> None:
        """Count a request that was decoded, run alone and answered in one go, by the time of each step."""
        request_ns = answered_ns - received_ns
        infer_ns = ran_ns - started_ns
        self.success_count += 1
        self.success_ns += request_ns
        self.compute_input_ns += started_ns - received_ns
        self.compute_infer_ns += infer_ns
        self.compute_output_ns += answered_ns - ran_ns
        self.duration_counts[bisect_left(_BUCKETS_NS, request_ns)] += 1
        self.queue_counts[0] += 1
        self.last_run_ns = ran_ns
        self.last_end_ns = answered_ns
        batch = self.batches.get(1)
        if batch is None:
            batch = self.batches[1] = BatchStatistics()
        batch.count += 1
        batch.compute_infer_ns += infer_ns

    def record_failure(self, reason: str, received_ns: int, failed_ns: int) -> None:
        """Count a failed request; `reason` is one of FAILURE_REASONS."""
        request_ns = failed_ns - received_ns
        self.last_end_ns = failed_ns
        self.failures[reason] += 1
        self.fail_ns += request_ns
        self.duration_counts[bisect_left(_BUCKETS_NS, request_ns)] += 1

    def record_execution(self, rows: int, ended_ns: int, timing: Timing) -> None:
        """Count one run of `rows` rows, which ended at `ended_ns` (performance counter)."""
        self.last_run_ns = ended_ns
        batch = self.batches.get(rows)
        if batch is None:
            batch = self.batches[rows] = BatchStatistics()
        batch.count += 1
        batch.compute_input_ns += timing.compute_input_ns
        batch.compute_infer_ns += timing.compute_infer_ns
        batch.compute_output_ns += timing.compute_output_ns


def _latest(one: int | None, two: int | None) -> int | None:
    return max((time_ns for time_ns in (one, two) if time_ns is not None), default=None)
