"""How many pods a rollout may have above the wanted number, and how many may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from modelservice_operator.decide.rollout.model import Capacity, RolloutSpec


class Limits(NamedTuple):
    """The bounds of a step, in pods.

    `is_tight` says that there is room for these pods and no more: one that is being stopped holds its place
    until it is gone. `at_once` says that new pods start only when no old one is left.
    """

    surge: int
    unavailable: int
    is_tight: bool = False
    at_once: bool = False


def compute_limits(spec: RolloutSpec, capacity: Capacity | None, *, is_down: bool = False) -> Limits:
    """Return the limits that the spec sets, less the surge for which there is no room.

    Without a surge a pod has to go first. Where it is the only one, that needs leave, or that nothing answers
    anyway (`is_down`).
    """
    if spec.strategy == "Recreate":
        return Limits(0, spec.replicas, is_tight=True, at_once=True)
    if spec.strategy == "BlueGreen":
        return _whole_set(spec, capacity, is_down=is_down)
    surge, unavailable = max_surge_pods(spec), max_unavailable_pods(spec)
    if capacity is None or capacity.surge is None or capacity.surge >= surge:
        return Limits(surge, unavailable, is_tight=surge == 0)
    may_go = spec.replicas > 1 or spec.allow_downtime or is_down
    if capacity.surge == 0 and may_go:
        unavailable = max(unavailable, 1)
    return Limits(capacity.surge, unavailable, is_tight=True)


def _whole_set(spec: RolloutSpec, capacity: Capacity | None, *, is_down: bool) -> Limits:
    """Return the limits of a BlueGreen: a second set of pods, or where there is no room for it, none."""
    if capacity is None or capacity.surge is None or capacity.surge >= spec.replicas:
        return Limits(spec.replicas, 0)
    if spec.allow_downtime or is_down:
        return Limits(0, spec.replicas, is_tight=True, at_once=True)
    return Limits(0, 0, is_tight=True)


def max_surge_pods(spec: RolloutSpec) -> int:
    """Pods allowed above `replicas`; a percentage is rounded up, as in Deployments."""
    return _resolve(spec.max_surge, spec.replicas, round_up=True)


def max_unavailable_pods(spec: RolloutSpec) -> int:
    """Pods allowed to be missing; a percentage is rounded down; 1 where the surge is 0 too."""
    unavailable = _resolve(spec.max_unavailable, spec.replicas, round_up=False)
    return max(unavailable, 1) if max_surge_pods(spec) == 0 else unavailable


def _resolve(value: int | str, replicas: int, *, round_up: bool) -> int:
    if isinstance(value, int):
        return value
    hundredths = int(value.removesuffix("%")) * replicas
    return -(-hundredths // 100) if round_up else hundredths // 100
