"""What a look says: how much each signal asks for, over the stable window and over that of bursts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.decision import Reading
from modelservice_autoscaler.algorithm.replicas import propose_replicas
from modelservice_autoscaler.algorithm.signals import build_window, group_pods
from modelservice_autoscaler.algorithm.windows import BURST_FACTOR, BURST_SECONDS, STABLE_SECONDS
from modelservice_autoscaler.algorithm.wording import Asked, describe_missing

if TYPE_CHECKING:
    from modelservice_autoscaler.algorithm.decision import Look
    from modelservice_autoscaler.algorithm.signals import Pods, Usage
    from modelservice_autoscaler.algorithm.spec import AutoscalerSpec, Signal
    from modelservice_autoscaler.algorithm.state import State

_BURSTING = frozenset({"Concurrency", "RequestRate"})
"""Signals of what is asked for. Those of how busy a pod is end where the pod does, and jump by themselves."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the signals say."""

    readings: tuple[Reading, ...]
    stable: tuple[Asked, ...]
    burst: tuple[Asked, ...]
    is_burst: bool
    """Whether the last seconds ask for twice as many pods as are ready."""
    is_whole: bool
    """Whether every signal is known."""
    missing: str | None

    def top(self, counts_burst: bool) -> Asked | None:
        """Return what asks for most; None where nothing is known."""
        asked = (*self.stable, *self.burst) if counts_burst else self.stable
        return max(asked, key=lambda one: one.replicas, default=None)


def weigh(spec: AutoscalerSpec, look: Look, state: State) -> Evidence:
    """Return what the pods' answers say at the moment of the last look."""
    pods = group_pods(state.tracks, look.pods, look.replicas, state.looked_seconds)
    usages = _measure(spec.signals, state, pods, STABLE_SECONDS)
    stable = _ask(usages, pods, look.replicas)
    bursting = tuple(signal for signal in spec.signals if signal.type in _BURSTING)
    burst = _ask(_measure(bursting, state, pods, BURST_SECONDS), pods, look.replicas, BURST_SECONDS)
    return Evidence(
        readings=tuple(_reading(signal, usage) for signal, usage in usages),
        stable=stable,
        burst=burst,
        is_burst=any(one.usage.total >= BURST_FACTOR * pods.ready * one.signal.target for one in burst),
        is_whole=len(stable) == len(usages),
        missing=describe_missing(pods, usages),
    )


def _measure(
    signals: tuple[Signal, ...], state: State, pods: Pods, seconds: float
) -> tuple[tuple[Signal, Usage | None], ...]:
    if not signals:
        return ()
    since = state.looked_seconds if state.since_seconds is None else state.since_seconds
    window = build_window(seconds, state.looked_seconds, since, state.tracks, pods)
    return tuple((signal, window.measure(signal)) for signal in signals)


def _ask(
    usages: tuple[tuple[Signal, Usage | None], ...],
    pods: Pods,
    replicas: int,
    over_seconds: float | None = None,
) -> tuple[Asked, ...]:
    return tuple(
        Asked(signal, usage, propose_replicas(signal, usage, pods.unready, replicas), over_seconds)
        for signal, usage in usages
        if usage is not None
    )


def _reading(signal: Signal, usage: Usage | None) -> Reading:
    if usage is None:
        return Reading(signal, None, None)
    pods = 1 if signal.type == "QueueTime" else usage.answering
    return Reading(signal, usage.total / pods, usage.total)
