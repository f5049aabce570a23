"""What is seen of a member, in its ModelService as read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.fleet.model import Acknowledged, Seen
from modelservice_operator.facts.recorded import condition_of, is_given_up
from modelservice_operator.facts.text.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_seen(service: Mapping[str, Any]) -> Seen:
    """Return what the planner goes by."""
    metadata, spec = service["metadata"], service.get("spec") or {}
    status: Mapping[str, Any] = service.get("status") or {}
    runtime: Mapping[str, Any] = status.get("runtime") or {}
    ready, available = condition_of(status, "Ready"), condition_of(status, "Available")
    return Seen(
        uid=metadata["uid"],
        is_deleting="deletionTimestamp" in metadata,
        is_pinned=bool((spec.get("runtime") or {}).get("pin")),
        runtime=runtime.get("ref", ""),
        image=runtime.get("image", ""),
        is_current=status.get("observedGeneration") == metadata.get("generation"),
        is_ready=ready.get("status") == "True",
        ready_since=parse_time(ready.get("lastTransitionTime")),
        is_available=available.get("status") == "True" or available.get("reason") == "ScaledToZero",
        is_stalled=condition_of(status, "Stalled").get("status") == "True",
        is_given_up=is_given_up(status, str(status.get("targetRevision"))),
        is_degraded=condition_of(status, "Degraded").get("status") == "True",
        reason=ready.get("reason", ""),
        message=ready.get("message", ""),
        acknowledged=_acknowledged(runtime.get("assigned")),
    )


def _acknowledged(assigned: Mapping[str, Any] | None) -> Acknowledged | None:
    if not assigned:
        return None
    return Acknowledged(
        request=assigned["request"], phase=assigned["phase"], message=assigned.get("message", "")
    )
