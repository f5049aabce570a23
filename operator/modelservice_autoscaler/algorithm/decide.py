"""The algorithm: a look, and what is remembered of earlier ones, become a number of replicas.

1. Each signal is averaged over the stable window and asks for replicas (`replicas`); the one that asks for
   most counts. Where one is not known, the others can only ask for more.
2. A burst: where the last seconds ask for twice as many pods as are ready, they count too (`windows`).
3. Stabilization windows, policies and bounds say how far it goes (`behavior`).
4. Nothing goes while data is missing, soon after a burst, and before a whole window was seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.behavior import (
    limit_rate,
    remember_highest,
    remember_lowest,
    stabilize,
)
from modelservice_autoscaler.algorithm.decision import Decision
from modelservice_autoscaler.algorithm.evidence import weigh
from modelservice_autoscaler.algorithm.kinds import kind_of
from modelservice_autoscaler.algorithm.spec import BURST_POLICY
from modelservice_autoscaler.algorithm.state import EMPTY, Recommended
from modelservice_autoscaler.algorithm.tracks import observe
from modelservice_autoscaler.algorithm.windows import BURST_HOLD_SECONDS, GAP_SECONDS, STABLE_SECONDS
from modelservice_autoscaler.algorithm.wording import describe

if TYPE_CHECKING:
    from modelservice_autoscaler.algorithm.decision import Limit, Look
    from modelservice_autoscaler.algorithm.evidence import Evidence
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
    if look.replicas == 0:
        return Decision(0, 0, "no replicas are wanted", None, None, (), EMPTY)
    state = _looked(spec, look, state, now_seconds)
    evidence = weigh(spec, look, state)
    if evidence.is_burst:
        state = replace(state, burst_seconds=now_seconds)
    bounded = min(max(look.replicas, spec.min_replicas), spec.max_replicas)
    if bounded != look.replicas:
        return _into_bounds(look.replicas, bounded, evidence, state)
    top = evidence.top(counts_burst=_is_after_burst(state))
    # Nobody asks at all: whether the last pod goes is not decided here.
    recommended = max(top.replicas, 1) if top else look.replicas
    if not evidence.is_whole:
        recommended = max(recommended, look.replicas)
    state = _remembered(spec, state, recommended)
    desired, limit = _steer(spec, evidence, state, look.replicas, recommended)
    message = describe(top, look.replicas, desired) if top else "nothing is known yet"
    return Decision(look.replicas, desired, message, limit, evidence.missing, evidence.readings, state)


def _looked(spec: AutoscalerSpec, look: Look, state: State, now_seconds: float) -> State:
    """Take in the answers. After a gap everything begins anew: what happened in it is not known."""
    had_gap = now_seconds - state.looked_seconds >= GAP_SECONDS
    with_queue = any(kind_of(signal).counter is None for signal in spec.signals)
    before = {} if had_gap else state.tracks
    tracks = observe(before, look.pods, now_seconds, with_queue=with_queue)
    state = replace(state, tracks=tracks, looked_seconds=now_seconds)
    if not had_gap:
        return state
    first = (Recommended(now_seconds, look.replicas),)
    return replace(state, since_seconds=now_seconds, lowest=first, highest=first)


def _into_bounds(replicas: int, bounded: int, evidence: Evidence, state: State) -> Decision:
    """Go where the bounds are, at once and whatever the signals say."""
    limit: Limit = "MaxReplicas" if bounded < replicas else "MinReplicas"
    message = f"{limit[0].lower()}{limit[1:]} is {bounded}: {replicas} -> {bounded}"
    return Decision(replicas, bounded, message, limit, evidence.missing, evidence.readings, state)


def _remembered(spec: AutoscalerSpec, state: State, recommended: int) -> State:
    now, up, down = state.looked_seconds, spec.up.stabilization_seconds, spec.down.stabilization_seconds
    return replace(
        state,
        lowest=remember_lowest(state.lowest, recommended, now, up),
        highest=remember_highest(state.highest, recommended, now, down),
    )


def _steer(
    spec: AutoscalerSpec, evidence: Evidence, state: State, replicas: int, recommended: int
) -> tuple[int, Limit | None]:
    """Return how far it goes towards what is recommended, and what stops it."""
    # Also a moment later: pods that are there at once are half of what a step needs, and no burst any more.
    if _is_after_burst(state) and spec.up.policies_are_default:
        spec = replace(spec, up=replace(spec.up, policies=(*spec.up.policies, BURST_POLICY)))
    wanted = stabilize(recommended, replicas, state.lowest, state.highest)
    desired, limit = limit_rate(wanted, replicas, spec, state.changes, state.looked_seconds)
    if desired < replicas and not _may_shrink(evidence, state):
        return replicas, "Stabilized"
    if recommended < desired <= spec.min_replicas:
        # It will not go further when the window is over.
        return desired, "MinReplicas"
    return desired, limit or ("Stabilized" if wanted != recommended else None)


def _may_shrink(evidence: Evidence, state: State) -> bool:
    has_seen_a_window = state.looked_seconds - state.since_seconds >= STABLE_SECONDS
    return evidence.missing is None and has_seen_a_window and not _is_after_burst(state)


def _is_after_burst(state: State) -> bool:
    return state.looked_seconds - state.burst_seconds < BURST_HOLD_SECONDS
