"""How busy a pod was between two looks, and several pods together. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

from modelservice_autoscaler.algorithm.load import GpuLoad, Load
from modelservice_autoscaler.algorithm.signals import quantile as quantile_of_waits
from modelservice_operator.work.measure.counts import DURATIONS, Counts
from modelservice_operator.work.measure.kinds import quantile


@dataclass(frozen=True, slots=True)
class Look:
    """What a pod said at one moment: its load, and the requests that it has counted."""

    load: Load
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Means over the time between two looks, and of memory and GPUs what the second one told.

    Of several pods: sums, and the quantiles of all their requests.
    """

    running: int
    waiting: int
    concurrency: float
    """Requests that ran or waited."""
    requests_per_second: float
    cpu_cores: float
    memory_bytes: float
    counts: Counts = field(default_factory=Counts)
    """Requests that ended, and how long they took."""
    waits: Mapping[float, int] = field(default_factory=dict)
    """Requests that waited so long, by the upper bound of their bucket in seconds."""
    gpus: tuple[GpuLoad, ...] = ()

    @property
    def p99_seconds(self) -> float | None:
        """The time that 99 of 100 requests took at most; None without requests."""
        return quantile(0.99, self.counts.histogram(DURATIONS))

    @property
    def queue_p95_seconds(self) -> float | None:
        """The time that 95 of 100 requests waited at most; None where none did."""
        return quantile_of_waits(self.waits, 0.95) if any(self.waits.values()) else None

    @property
    def gpu_utilization(self) -> float | None:
        """The mean of the devices that tell theirs, from 0 to 1."""
        told = [gpu.utilization for gpu in self.gpus if gpu.utilization is not None]
        return sum(told) / len(told) if told else None

    @property
    def gpu_memory(self) -> float | None:
        """The share of all devices' memory that is in use, from 0 to 1."""
        used = sum(gpu.memory_used_bytes or 0 for gpu in self.gpus)
        total = sum(gpu.memory_total_bytes or 0 for gpu in self.gpus)
        return used / total if total else None


def busy_between(before: Look, now: Look) -> Busy | None:
    """What a pod did from one look to the next; None where its server has started again meanwhile."""
    then, load = before.load, now.load
    seconds = load.uptime_seconds - then.uptime_seconds
    if seconds <= 0:
        return None
    return Busy(
        running=load.running,
        waiting=load.waiting,
        concurrency=max(load.in_flight_seconds - then.in_flight_seconds, 0.0) / seconds,
        requests_per_second=max(load.requests - then.requests, 0.0) / seconds,
        cpu_cores=max(load.cpu_seconds - then.cpu_seconds, 0.0) / seconds,
        memory_bytes=load.memory_bytes,
        counts=now.counts.since(before.counts),
        waits=_waits(then, load),
        gpus=load.gpus,
    )


def busy_together(pods: Iterable[Busy]) -> Busy | None:
    """All pods as one; None where there is none."""
    found = list(pods)
    if not found:
        return None
    waits: Counter[float] = Counter()
    for one in found:
        waits.update(one.waits)
    return Busy(
        running=sum(one.running for one in found),
        waiting=sum(one.waiting for one in found),
        concurrency=math.fsum(one.concurrency for one in found),
        requests_per_second=math.fsum(one.requests_per_second for one in found),
        cpu_cores=math.fsum(one.cpu_cores for one in found),
        memory_bytes=math.fsum(one.memory_bytes for one in found),
        counts=reduce(Counts.plus, (one.counts for one in found)),
        waits=dict(waits),
        gpus=tuple(gpu for one in found for gpu in one.gpus),
    )


def _waits(then: Load, now: Load) -> dict[float, int]:
    """What was counted between; nothing where the bounds have changed or a count fell."""
    bounds = (*now.queue_bounds_seconds, math.inf)
    if then.queue_bounds_seconds != now.queue_bounds_seconds or len(bounds) != len(now.queue_counts):
        return {}
    grown = [two - one for one, two in zip(then.queue_counts, now.queue_counts, strict=True)]
    return {} if min(grown) < 0 else dict(zip(bounds, grown, strict=True))
