"""What a rollout finds out about room for its surge, step by step, and how status keeps it. Pure.

A pod of the surge that finds no room is given some time. Then the surge is cut down to the pods that do have
room, for the rest of this rollout: that is recorded first, and the planner goes by the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from modelservice_operator.decide.rollout.model import Capacity
from modelservice_operator.decide.rollout.room.deadlines import PROBE_AGAIN_SECONDS, seconds_since
from modelservice_operator.decide.rollout.room.limits import compute_limits
from modelservice_operator.facts.text.times import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from modelservice_operator.decide.rollout.model import Probe, RevisionState, RolloutSpec, RolloutState
    from modelservice_operator.decide.rollout.room.limits import Limits

LONGEST_MESSAGE = 1024


class Shortage(NamedTuple):
    """Pods of the target that find no room, though they would where old pods are.

    `is_being_mended` says that a cluster autoscaler makes room.
    """

    pods: int
    message: str
    is_being_mended: bool = False


def next_capacity(
    known: Capacity | None, probe: Probe | None, shortage: Shortage | None, now: datetime
) -> Capacity | None:
    """Return what is known after a look at the pods, None where there is nothing to remember."""
    decided = known if known is not None and known.surge is not None else None
    if probe is None or shortage is None:
        missing = shortage.pods if shortage else 0
        return replace(decided, missing=missing, short_since=None) if decided else None
    # A time to come is of a clock that was wrong.
    since = min((known.short_since if known else None) or now, now)
    found = replace(known or Capacity(), missing=shortage.pods, short_since=since, message=shortage.message)
    if shortage.is_being_mended or (now - since).total_seconds() < probe.seconds:
        return found
    surge = max(0, probe.surplus - shortage.pods)
    return replace(found, short_since=None, surge=surge, replicas=probe.replicas, decided_at=now)


def read_capacity(status: Mapping[str, Any], target: str) -> Capacity | None:
    """Return what the status has recorded of the rollout to this target."""
    known = (status.get("rollout") or {}).get("capacity") or {}
    if known.get("revision") != target:
        return None
    return Capacity(
        missing=known.get("missingPods") or 0,
        short_since=parse_time(known.get("shortSince")),
        surge=known.get("surge"),
        replicas=known.get("replicas"),
        decided_at=parse_time(known.get("decidedAt")),
        message=known.get("message") or "",
    )


def write_capacity(capacity: Capacity, target: str) -> dict[str, Any]:
    """Return `status.rollout.capacity`."""
    fields = {
        "revision": target,
        "missingPods": capacity.missing or None,
        "shortSince": format_time(capacity.short_since) if capacity.short_since else None,
        "surge": capacity.surge,
        "replicas": capacity.replicas,
        "decidedAt": format_time(capacity.decided_at) if capacity.decided_at else None,
        "message": capacity.message[:LONGEST_MESSAGE] or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def known_capacity(spec: RolloutSpec, observed: RolloutState, now: datetime) -> Capacity | None:
    """Return what is recorded, unless it is time to look for room again."""
    known = observed.capacity
    if known is None or known.decided_at is None:
        return known
    if known.replicas is not None and spec.replicas < known.replicas:
        # Pods that are not wanted any more leave their room to the surge.
        return None
    # A time to come is of a clock that was wrong.
    is_recent = 0 <= seconds_since(known.decided_at, now) < PROBE_AGAIN_SECONDS
    is_stuck = _leaves_no_way(compute_limits(spec, known))
    return None if is_stuck and not is_recent else known


def _leaves_no_way(limits: Limits) -> bool:
    return limits.surge == limits.unavailable == 0


def is_held(
    spec: RolloutSpec,
    limits: Limits,
    target: RevisionState,
    capacity: Capacity | None,
    states: Iterable[RevisionState],
) -> bool:
    """Whether no pod of the target has room, and none of the others may go; BlueGreen needs room for all."""
    missing = capacity.missing if capacity else 0
    return (
        _leaves_no_way(limits)
        and (target.wanted <= missing or spec.strategy == "BlueGreen")
        and any(state.wanted for state in states if state.name != target.name)
    )
