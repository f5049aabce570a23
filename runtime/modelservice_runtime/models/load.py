"""How busy a process is with its models' requests: the numbers that autoscalers look at; pure.

Cumulative numbers, so that two looks give averages over the time between them, whoever else looks and however
late. Few enough to be asked for every second.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from modelservice_runtime.execution.statistics import QUEUE_BUCKETS_SECONDS, ModelStatistics
from modelservice_runtime.generation.values import GenerativeModel
from modelservice_runtime.models.repository import ModelHandle


@dataclass(slots=True)
class Load:
    """All models of a process, or of several together; times are those of the performance counter.

    `resident_bytes` is 0 where the container's own figure is known. The last four are of models that generate
    text: `text_tokens` those of prompts and answers under way, `kv_used_tokens` of the `kv_tokens` that there
    is memory for, and how many texts run at once.
    """

    running: int = 0
    waiting: int = 0
    in_flight_ns: int = 0
    requests: int = 0
    last_end_ns: int = 0
    queue_counts: list[int] = field(default_factory=lambda: [0] * (len(QUEUE_BUCKETS_SECONDS) + 1))
    cpu_seconds: float = 0.0
    resident_bytes: int = 0
    text_tokens: int = 0
    kv_used_tokens: float = 0.0
    kv_tokens: int = 0
    max_sequences: int = 0

    def add(self, other: "Load") -> None:
        """Count what `other` counts too."""
        self.running += other.running
        self.waiting += other.waiting
        self.in_flight_ns += other.in_flight_ns
        self.requests += other.requests
        self.last_end_ns = max(self.last_end_ns, other.last_end_ns)
        self.queue_counts = [
            one + two for one, two in zip(self.queue_counts, other.queue_counts, strict=True)
        ]
        self.cpu_seconds += other.cpu_seconds
        self.resident_bytes += other.resident_bytes
        self.text_tokens += other.text_tokens
        self.kv_used_tokens += other.kv_used_tokens
        self.kv_tokens += other.kv_tokens
        self.max_sequences += other.max_sequences


class LoadSource(Protocol):
    """Where loads come from."""

    def gather(self, done: Callable[[Load], None]) -> None:
        """Call `done` with the load of all processes, now or later."""


def sum_loads(loads: Iterable[Load]) -> Load:
    """The load of several processes."""
    total = Load()
    for load in loads:
        total.add(load)
    return total


def model_load(
    handles: Iterable[ModelHandle], now_ns: int, generative: Iterable[GenerativeModel] = ()
) -> Load:
    """What the requests to these models make, at `now_ns`."""
    tensors = [_load_of(handle.statistics, handle.lane.waiting, now_ns) for handle in handles]
    texts = [_load_of_texts(model, now_ns) for model in generative]
    return sum_loads([*tensors, *texts])


def past_load(load: Load) -> Load:
    """What remains of the load of a process that has ended: what it counted up to then."""
    return replace(
        load,
        running=0,
        waiting=0,
        resident_bytes=0,
        text_tokens=0,
        kv_used_tokens=0.0,
        kv_tokens=0,
        max_sequences=0,
    )


def plain_load(load: Load) -> dict[str, Any]:
    """As JSON values."""
    return asdict(load)


def parse_load(plain: Mapping[str, Any]) -> Load:
    """The reverse of `plain_load`."""
    return Load(**plain)


def _load_of(statistics: ModelStatistics, waiting: int, now_ns: int) -> Load:
    return Load(
        # What is decoded or written on a thread counts as running.
        running=statistics.open_count - waiting,
        waiting=waiting,
        in_flight_ns=statistics.in_flight_ns(now_ns),
        requests=statistics.request_count,
        last_end_ns=statistics.last_end_ns or 0,
        queue_counts=statistics.queue_counts,
    )


def _load_of_texts(model: GenerativeModel, now_ns: int) -> Load:
    lane = model.lane
    kv_tokens = lane.limits.max_sequences * lane.limits.max_context_tokens
    return replace(
        _load_of(model.requests, lane.waiting, now_ns),
        text_tokens=lane.tokens_in_flight,
        kv_used_tokens=lane.kv_usage * kv_tokens,
        kv_tokens=kv_tokens,
        max_sequences=lane.limits.max_sequences,
    )
