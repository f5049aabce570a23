"""The answer of `GET /load`, from bytes. Pods belong to users: whatever they send must do no harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from modelservice_autoscaler.algorithm.load import GpuLoad, Load, TextLoad

_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e18)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_MOST_BUCKETS = 64
_MOST_GPUS = 16


class _Queue(msgspec.Struct):
    bounds: Annotated[tuple[_Amount, ...], msgspec.Meta(max_length=_MOST_BUCKETS)] = ()
    counts: Annotated[tuple[_Count, ...], msgspec.Meta(max_length=_MOST_BUCKETS + 1)] = ()


class _Gpu(msgspec.Struct, rename="camel"):
    utilization: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    memory_used_bytes: _Count | None = None
    memory_total_bytes: _Count | None = None


class _Texts(msgspec.Struct, rename="camel"):
    tokens_in_flight: _Amount
    kv_cache_usage: Annotated[float, msgspec.Meta(ge=0, le=1)]
    max_sequences: Annotated[int, msgspec.Meta(ge=1, le=2**31)]

    def load(self) -> TextLoad:
        return TextLoad(self.tokens_in_flight, self.kv_cache_usage, self.max_sequences)


class _Answer(msgspec.Struct, rename="camel"):
    uptime_seconds: _Amount
    running: _Count
    waiting: _Count
    in_flight_seconds: _Amount
    requests: _Amount
    idle_seconds: _Amount
    cpu_seconds: _Amount
    memory_bytes: _Amount
    queue_seconds: _Queue = msgspec.field(default_factory=_Queue)
    gpus: Annotated[tuple[_Gpu, ...], msgspec.Meta(max_length=_MOST_GPUS)] = ()
    generation: _Texts | None = None


_DECODER = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a pod said."""

    load: Load
    idle_seconds: float
    """Since when no inference request was in it."""


def parse_answer(raw: bytes) -> Answer:
    """Return what a pod said; ValueError where it is no such answer."""
    try:
        said = _DECODER.decode(raw)
    except UnicodeDecodeError as error:
        raise ValueError(f"its answer is no JSON: {error}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"its answer cannot be read: {error}") from error
    bounds, counts = said.queue_seconds.bounds, said.queue_seconds.counts
    if counts and len(counts) != len(bounds) + 1:
        raise ValueError(f"its answer has {len(counts)} counts for {len(bounds)} bounds")
    texts = said.generation
    load = Load(
        uptime_seconds=said.uptime_seconds,
        running=said.running,
        waiting=said.waiting,
        in_flight_seconds=said.in_flight_seconds,
        requests=said.requests,
        cpu_seconds=said.cpu_seconds,
        memory_bytes=said.memory_bytes,
        queue_bounds_seconds=bounds,
        queue_counts=counts,
        gpus=tuple(
            GpuLoad(one.utilization, one.memory_used_bytes, one.memory_total_bytes) for one in said.gpus
        ),
        texts=None if texts is None else texts.load(),
    )
    return Answer(load, said.idle_seconds)
