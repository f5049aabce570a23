"""The types of signals: where each is read, and what follows from it. Another type is one more row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.tracks import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_autoscaler.algorithm.spec import Signal


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of signal."""

    counter: int | None
    """Where it is in COUNTERS; None where it is the 95th percentile of the waits, a value of all pods."""
    unit: str = ""
    """As sentences write it; `B` for bytes."""
    is_in_flight: bool = False
    """Whether it counts what requests in flight bring along: it grows for as long as a queue does."""
    is_queue: bool = False
    """Whether it counts only what waits: that nothing does says nothing of how busy the pods are."""
    is_held: bool = False
    """Whether each pod holds it for itself: it does not move to others when they come."""
    bursts: bool = False
    """Whether it is what is asked for. How busy a pod is ends where the pod does, and jumps by itself."""

    @property
    def is_of_all_pods(self) -> bool:
        """Whether it is one value, and no sum over the pods."""
        return self.counter is None


def kind_of(signal: Signal) -> Kind:
    """Return what is known of a signal's type."""
    return _KINDS[signal.type, signal.part]


def _read(counter: str) -> int:
    return COUNTERS.index(counter)


_KINDS: Mapping[tuple[str, str], Kind] = {
    ("Concurrency", "Utilization"): Kind(_read("in_flight"), is_in_flight=True, bursts=True),
    ("TokensInFlight", "Utilization"): Kind(_read("tokens"), " tokens", is_in_flight=True, bursts=True),
    ("RequestRate", "Utilization"): Kind(_read("arrived"), " requests a second", bursts=True),
    ("WaitingRequests", "Utilization"): Kind(_read("waiting"), is_queue=True),
    ("QueueTime", "Utilization"): Kind(None, " s", is_queue=True),
    ("CPU", "Utilization"): Kind(_read("cpu"), " cores"),
    ("Memory", "Utilization"): Kind(_read("memory"), "B", is_held=True),
    ("GPU", "Utilization"): Kind(_read("gpu")),
    ("GPU", "Memory"): Kind(_read("gpu_memory"), is_held=True),
    ("KVCache", "Utilization"): Kind(_read("kv_cache")),
}
