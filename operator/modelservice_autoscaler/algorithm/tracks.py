"""What is remembered of each pod: the answers of the last half minute, as integrals over time.

Everything becomes a counter here: a level such as memory is integrated, so that every average is a difference
over a duration.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import TYPE_CHECKING, NamedTuple

from modelservice_autoscaler.algorithm.windows import STABLE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modelservice_autoscaler.algorithm.load import GpuLoad, Load, Sample

SMALLEST_GAP_SECONDS = 0.5
"""Answers that follow each other faster replace the one before: so a track has at most 62 points."""


COUNTERS = (
    "uptime", "in_flight", "ended", "arrived", "cpu",
    "memory", "gpu", "gpu_memory", "waiting", "tokens", "kv_cache",
)  # fmt: skip
"""What is counted, in this order: the server's own seconds, requests times seconds, requests twice, seconds
of CPU. Then levels, times seconds: bytes, utilization and used part of the memory of the devices, requests
that wait, tokens in flight, used part of the memory for keys and values."""


class Point(NamedTuple):
    """What was counted until a moment."""

    at_seconds: float
    counters: tuple[float, ...]
    """As in COUNTERS; nan where it is not known."""
    queue: tuple[int, ...]
    running: int
    waiting: int

    @property
    def in_flight(self) -> int:
        """How many requests ran or waited."""
        return self.running + self.waiting


@dataclass(frozen=True, slots=True)
class Track:
    """A pod, ready or gone: since when it is known, and its answers, the newest last."""

    since_seconds: float
    points: tuple[Point, ...] = ()
    last: Load | None = None

    @property
    def end_seconds(self) -> float:
        """When it answered last."""
        return self.points[-1].at_seconds if self.points else self.since_seconds

    @property
    def bounds(self) -> tuple[float, ...]:
        """The bounds of its queue's buckets."""
        return self.last.queue_bounds_seconds if self.last else ()

    @property
    def places(self) -> int:
        """How many requests it can run at once; 1 where it does not say."""
        return self.last.texts.places if self.last and self.last.texts else 1

    def start(self, from_seconds: float) -> Point:
        """Return the counters at a moment, at the earliest those of the first answer.

        Between two answers they grow evenly; the queue is that of the answer before.
        """
        index = bisect_right(self.points, from_seconds, key=_at)
        if index == 0:
            return self.points[0]
        before = self.points[index - 1]
        if index == len(self.points) or before.at_seconds == from_seconds:
            return before
        return _between(before, self.points[index], from_seconds)

    def mean_running(self, from_seconds: float) -> float:
        """Return how many requests ran, on average of the answers since then."""
        running = [point.running for point in self.points if point.at_seconds > from_seconds]
        return sum(running) / len(running)


def observe(
    tracks: Mapping[str, Track],
    pods: Mapping[str, Sample | None],
    now_seconds: float,
    *,
    with_queue: bool,
) -> dict[str, Track]:
    """Return the tracks with what the pods say now; pods that went are kept while their work counts.

    The buckets of the queue are more than all the rest: they are kept `with_queue` only.
    """
    oldest = now_seconds - STABLE_SECONDS
    kept = {uid: track for uid, track in tracks.items() if uid not in pods and track.end_seconds > oldest}
    for uid, sample in pods.items():
        track = tracks.get(uid) or Track(now_seconds)
        kept[uid] = track if sample is None else _extended(track, sample, oldest, with_queue=with_queue)
    return kept


def _extended(track: Track, sample: Sample, oldest_seconds: float, *, with_queue: bool) -> Track:
    """Add an answer; one of a server that has started anew begins a new track."""
    if track.points and sample.at_seconds <= track.end_seconds:
        return track
    if track.last is not None and _went_back(track.last, sample.load):
        track = Track(sample.at_seconds)
    points = (*_without_last_if_close(track.points), _next_point(track, sample, with_queue=with_queue))
    first = max(bisect_right(points, oldest_seconds, key=_at) - 1, 0)
    return replace(track, points=points[first:], last=sample.load)


def _went_back(before: Load, after: Load) -> bool:
    return (
        after.uptime_seconds < before.uptime_seconds
        or after.in_flight_seconds < before.in_flight_seconds
        or after.requests < before.requests
        or after.cpu_seconds < before.cpu_seconds
        or after.queue_bounds_seconds != before.queue_bounds_seconds
        or len(after.queue_counts) != len(before.queue_counts)
        or any(new < old for new, old in zip(after.queue_counts, before.queue_counts, strict=False))
    )


def _without_last_if_close(points: tuple[Point, ...]) -> tuple[Point, ...]:
    close = len(points) > 1 and points[-1].at_seconds - points[-2].at_seconds < SMALLEST_GAP_SECONDS
    return points[:-1] if close else points


def _next_point(track: Track, sample: Sample, *, with_queue: bool) -> Point:
    load = sample.load
    arrived = load.requests + load.running + load.waiting
    counted = (load.uptime_seconds, load.in_flight_seconds, load.requests, arrived, load.cpu_seconds)
    if track.last is None:
        integrals = tuple(nan if isnan(level) else 0.0 for level in _levels(load))
    else:
        point = track.points[-1]
        seconds = load.uptime_seconds - track.last.uptime_seconds
        grown = zip(point.counters[len(counted) :], _levels(track.last), _levels(load), strict=True)
        integrals = tuple(_grown(integral, before, after, seconds) for integral, before, after in grown)
    return Point(
        sample.at_seconds,
        (*counted, *integrals),
        load.queue_counts if with_queue else (),
        load.running,
        load.waiting,
    )


def _levels(load: Load) -> tuple[float, ...]:
    tokens, kv_usage = (load.texts.tokens, load.texts.kv_usage) if load.texts else (nan, nan)
    devices = (_utilization(load.gpus), _used_memory(load.gpus))
    return (load.memory_bytes, *devices, load.waiting, tokens, kv_usage)


def _grown(integral: float, before: float, after: float, seconds: float) -> float:
    """Add a level to its integral; what follows an unknown stretch begins at 0."""
    if isnan(after):
        return nan
    if isnan(integral) or isnan(before):
        return 0.0
    return integral + (before + after) / 2 * seconds


def _utilization(gpus: Iterable[GpuLoad]) -> float:
    known = [gpu.utilization for gpu in gpus if gpu.utilization is not None]
    return sum(known) / len(known) if known else nan


def _used_memory(gpus: Iterable[GpuLoad]) -> float:
    """Return the part of the devices' memory that is in use."""
    known = [
        (gpu.memory_used_bytes, gpu.memory_total_bytes)
        for gpu in gpus
        if gpu.memory_used_bytes is not None and gpu.memory_total_bytes
    ]
    return sum(used for used, _ in known) / sum(total for _, total in known) if known else nan


def _between(before: Point, after: Point, at_seconds: float) -> Point:
    share = (at_seconds - before.at_seconds) / (after.at_seconds - before.at_seconds)
    counters = zip(before.counters, after.counters, strict=True)
    grown = tuple(old + (new - old) * share for old, new in counters)
    return before._replace(at_seconds=at_seconds, counters=grown)


def _at(point: Point) -> float:
    return point.at_seconds
