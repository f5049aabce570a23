"""How far and how fast it may go: stabilization windows, policies, bounds.

As Kubernetes' HPA has it: pkg/controller/podautoscaler/horizontal.go of its source.
"""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.state import Recommended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from modelservice_autoscaler.algorithm.decision import Limit
    from modelservice_autoscaler.algorithm.spec import AutoscalerSpec, Policy, Rules
    from modelservice_autoscaler.algorithm.state import Change


def stabilize(
    recommended: int,
    replicas: int,
    lowest: tuple[Recommended, ...],
    highest: tuple[Recommended, ...],
) -> int:
    """Return the number nearest to the present one within what was recommended in the windows."""
    up = min((one.replicas for one in lowest), default=recommended)
    down = max((one.replicas for one in highest), default=recommended)
    return min(max(replicas, min(up, recommended)), max(down, recommended))


def remember_lowest(
    before: Iterable[Recommended], recommended: int, now_seconds: float, window_seconds: float
) -> tuple[Recommended, ...]:
    """Add a recommendation; drop those that have left the window or can never be its lowest again."""
    cutoff = now_seconds - window_seconds
    kept = (one for one in before if one.at_seconds > cutoff and one.replicas < recommended)
    return (*kept, Recommended(now_seconds, recommended))


def remember_highest(
    before: Iterable[Recommended], recommended: int, now_seconds: float, window_seconds: float
) -> tuple[Recommended, ...]:
    """Add a recommendation; drop those that have left the window or can never be its highest again."""
    cutoff = now_seconds - window_seconds
    kept = (one for one in before if one.at_seconds > cutoff and one.replicas > recommended)
    return (*kept, Recommended(now_seconds, recommended))


def limit_rate(
    wanted: int, replicas: int, spec: AutoscalerSpec, changes: tuple[Change, ...], now_seconds: float
) -> tuple[int, Limit | None]:
    """Return how far the policies and bounds let it go, and which of them stopped it."""
    if wanted > replicas:
        allowed = max(_highest_allowed(replicas, spec.up, changes, now_seconds), replicas)
        reason: Limit = "ScaleUpRate" if allowed < spec.max_replicas else "MaxReplicas"
        allowed = min(allowed, spec.max_replicas)
        return (allowed, reason) if wanted > allowed else (wanted, None)
    if wanted < replicas:
        allowed = min(_lowest_allowed(replicas, spec.down, changes, now_seconds), replicas)
        reason = "ScaleDownRate" if allowed > spec.min_replicas else "MinReplicas"
        allowed = max(allowed, spec.min_replicas)
        return (allowed, reason) if wanted < allowed else (wanted, None)
    return wanted, None


def _highest_allowed(replicas: int, rules: Rules, changes: tuple[Change, ...], now_seconds: float) -> int:
    def allowed(policy: Policy) -> int:
        start = _at_start_of(policy, replicas, changes, now_seconds)
        grown = start * (100 + policy.value) / 100
        return start + policy.value if policy.type == "Pods" else ceil(grown)

    return _selected(rules, replicas, allowed, max, min)


def _lowest_allowed(replicas: int, rules: Rules, changes: tuple[Change, ...], now_seconds: float) -> int:
    def allowed(policy: Policy) -> int:
        start = _at_start_of(policy, replicas, changes, now_seconds)
        shrunk = start * (100 - policy.value) / 100
        return start - policy.value if policy.type == "Pods" else floor(shrunk)

    return _selected(rules, replicas, allowed, min, max)


def _selected(
    rules: Rules,
    replicas: int,
    allowed: Callable[[Policy], int],
    furthest: Callable[[Iterable[int]], int],
    nearest: Callable[[Iterable[int]], int],
) -> int:
    if rules.select == "Disabled":
        return replicas
    return (nearest if rules.select == "Min" else furthest)(map(allowed, rules.policies))


def _at_start_of(policy: Policy, replicas: int, changes: tuple[Change, ...], now_seconds: float) -> int:
    """Return how many there were when the policy's period began."""
    cutoff = now_seconds - policy.period_seconds
    return replicas - sum(change.replicas for change in changes if change.at_seconds > cutoff)
