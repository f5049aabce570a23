"""What a pod says of itself when it is asked how busy it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """How busy one device is; None where the driver does not tell."""

    utilization: float | None = None
    """0 to 1."""
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TextLoad:
    """How busy models are that generate text."""

    tokens: float
    """Of prompts that wait or were read, and those that were generated, of all requests under way."""
    kv_usage: float
    """Which share of the memory for keys and values is in use, 0 to 1."""
    places: int
    """Requests that can run at once."""


@dataclass(frozen=True, slots=True)
class Load:
    """The answer of `GET /load`. Counters run from the start of the server on; the rest is as of now."""

    uptime_seconds: float
    running: int
    """Requests that run now."""
    waiting: int
    """Requests that wait now."""
    in_flight_seconds: float
    """Integral of the requests that ran or waited."""
    requests: float
    """Requests that ended."""
    cpu_seconds: float
    memory_bytes: float
    queue_bounds_seconds: tuple[float, ...] = ()
    """Upper bounds of the buckets, ascending; a last bucket has none."""
    queue_counts: tuple[int, ...] = ()
    """Requests by how long they waited, per bucket: one more than there are bounds."""
    gpus: tuple[GpuLoad, ...] = ()
    texts: TextLoad | None = None
    """None where no model generates text, or the server is older."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A load and when the pod was asked for it, by a monotonic clock."""

    at_seconds: float
    load: Load
