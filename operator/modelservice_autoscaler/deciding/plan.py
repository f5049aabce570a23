"""What is to be done about a service after a look. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.recorded import SCALE_REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_autoscaler.algorithm.decision import Decision
    from modelservice_autoscaler.watching.services import Service

LONGEST_MESSAGE = 512
"""As the API has it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods a service shall have, and what is said of it."""

    desired: int
    message: str = ""
    limit: str | None = None
    missing: str | None = None


def is_followed(service: Service) -> bool:
    """Whether its pods have to be looked at by whoever leads.

    At 0 replicas it sleeps, and a request wakes it, or a person switched it off: neither is ours to end.
    """
    return (
        not service.deleting and service.replicas > 0 and (service.engine == "Builtin" or service.may_sleep)
    )


def plan(service: Service, decision: Decision, idle_seconds: float | None) -> Plan | None:
    """Return what to do; None where somebody else decides, and it does not go to sleep.

    Args:
        service: That is followed.
        decision: What the algorithm says of it.
        idle_seconds: Since when no pod has had a request; None where one of them may have.

    """
    limit = service.idle_seconds
    is_idle = limit is not None and idle_seconds is not None and idle_seconds >= limit
    # While a change goes on, pods that clients do not find yet may be waited for.
    if service.may_sleep and is_idle and service.is_complete:
        return Plan(0, f"No request for {limit} s: {service.replicas} -> 0")
    if service.engine != "Builtin":
        return None
    return Plan(decision.desired, decision.message, decision.limit, decision.missing)


def refused(plan: Plan, replicas: int, sentence: str) -> Plan:
    """Return what comes of a plan that the API server refuses: the replicas stay, its sentence is told."""
    return replace(plan, desired=replicas, limit=None, missing=f"{SCALE_REFUSED}{sentence}")


def build_report(plan: Plan, replicas: int, now: datetime) -> dict[str, Any]:
    """Return `status.autoscaler` as a merge patch needs it: null where something does not hold."""
    return {
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "replicas": replicas,
        "desired": plan.desired,
        "message": _shorten(plan.message) or "",
        "limit": plan.limit,
        "missing": _shorten(plan.missing),
    }


def is_told(plan: Plan, told: Mapping[str, Any] | None) -> bool:
    """Whether the status tells what hinders it now; what was measured changes with each look."""
    if told is None:
        return False
    return (told.get("limit"), told.get("missing")) == (plan.limit, _shorten(plan.missing))


def _shorten(text: str | None) -> str | None:
    if text is None or len(text) <= LONGEST_MESSAGE:
        return text
    return text[: LONGEST_MESSAGE - 3] + "..."
