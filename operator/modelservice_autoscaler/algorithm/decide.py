"""The algorithm: a look, and what is remembered of earlier ones, become a number of replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.decision import Decision

if TYPE_CHECKING:
    from modelservice_autoscaler.algorithm.decision import Look
    from modelservice_autoscaler.algorithm.spec import AutoscalerSpec
    from modelservice_autoscaler.algorithm.state import State


def decide(spec: AutoscalerSpec, look: Look, state: State, now_seconds: float) -> Decision:
    """Return how many replicas there should be, and the state for the next look.

    To be called every 1 to 2 seconds. At 0 replicas nothing is decided: `desired` is 0.

    Args:
        spec: What is wished.
        look: The service as it is now.
        state: Of the last decision; `EMPTY` before the first.
        now_seconds: The time by the monotonic clock by which the samples were taken.

    """
    del now_seconds
    desired = look.replicas and min(max(look.replicas, spec.min_replicas), spec.max_replicas)
    return Decision(look.replicas, desired, "", None, None, (), state)
