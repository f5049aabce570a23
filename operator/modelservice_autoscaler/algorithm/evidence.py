"""What a look says: how much each signal asks for, over the stable window and over that of bursts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.decision import Reading
from modelservice_autoscaler.algorithm.kinds import kind_of
from modelservice_autoscaler.algorithm.pods import group_pods
from modelservice_autoscaler.algorithm.replicas import propose_replicas
from modelservice_autoscaler.algorithm.signals import build_window
from modelservice_autoscaler.algorithm.windows import BURST_FACTOR, BURST_SECONDS, STABLE_SECONDS
from modelservice_autoscaler.algorithm.wording import Asked, describe_missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelservice_autoscaler.algorithm.decision import Look
    from modelservice_autoscaler.algorithm.signals import Usage, Window
    from modelservice_autoscaler.algorithm.spec import AutoscalerSpec, Signal, Tolerance
    from modelservice_autoscaler.algorithm.state import State


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
    pods = group_pods(state, look.pods, look.replicas)
    stable, last = (build_window(seconds, state, pods) for seconds in (STABLE_SECONDS, BURST_SECONDS))
    usages = [(signal, stable.measure(signal, last)) for signal in spec.signals]
    asked = _ask(stable, usages, look.replicas, spec.tolerance)
    latest = [(signal, last.measure(signal, last)) for signal in spec.signals]
    recent = _ask(last, latest, look.replicas, spec.tolerance)
    burst = tuple(one for one in recent if kind_of(one.signal).bursts)
    return Evidence(
        readings=tuple(_reading(signal, usage) for signal, usage in usages),
        stable=tuple(_agreed(one, recent, look.replicas) for one in asked),
        burst=burst,
        is_burst=any(one.usage.total >= BURST_FACTOR * pods.ready * one.signal.target for one in burst),
        is_whole=len(asked) == len(usages),
        missing=describe_missing(pods, usages),
    )


def _agreed(asked: Asked, recent: tuple[Asked, ...], replicas: int) -> Asked:
    """Ask for more only as far as the last seconds do: an average still holds what has been worked off."""
    now = next((one.replicas for one in recent if one.signal == asked.signal), asked.replicas)
    if asked.replicas <= max(now, replicas):
        return asked
    return asked._replace(replicas=max(now, replicas))


def _ask(
    window: Window, usages: Iterable[tuple[Signal, Usage | None]], replicas: int, tolerance: Tolerance
) -> tuple[Asked, ...]:
    asked = []
    for signal, usage in usages:
        if usage is not None:
            proposed = propose_replicas(signal, usage, window.pods.unready, replicas, tolerance)
            if kind_of(signal).is_queue:
                # That there is no queue does not say that pods have nothing to do.
                proposed = max(proposed, min(window.busy_pods(), replicas))
            asked.append(Asked(signal, usage, proposed, window.seconds))
    return tuple(asked)


def _reading(signal: Signal, usage: Usage | None) -> Reading:
    if usage is None:
        return Reading(signal, None, None)
    pods = 1 if kind_of(signal).is_of_all_pods else usage.answering
    return Reading(signal, usage.total / pods, usage.total, usage.missing)
