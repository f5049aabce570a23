"""What gateways have been told, read off the routes, and since when, by the status. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from modelservice_operator.decide.resources.routes import read_backends
from modelservice_operator.decide.rollout.model import Routing
from modelservice_operator.decide.rollout.routing import SETTLE_SECONDS
from modelservice_operator.facts import names
from modelservice_operator.facts.kinds import INGRESSES
from modelservice_operator.facts.observed import ServiceChild
from modelservice_operator.facts.routes import RoutePlan
from modelservice_operator.facts.text.times import format_time, is_to_come, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelservice_operator.facts.observed import DeploymentChild, Observed, RouteChild


class Told(NamedTuple):
    """What all routes of a service say together. They agree but for a moment."""

    plan: RoutePlan
    agrees: bool


def read_told(owner: str, routes: Sequence[RouteChild]) -> Told | None:
    """Return what Gateways are told, None where no route leads from one."""
    plans = [read_backends(owner, one) for one in routes if one.kind != INGRESSES.kind]
    if not plans:
        return None
    if all(plan == plans[0] for plan in plans):
        return Told(plans[0], agrees=True)
    weights: dict[str, int] = {}
    for plan in plans:
        for name, weight in (plan.weights or {}).items():
            weights[name] = max(weight, weights.get(name, 0))
    shown = next((plan.shown for plan in plans if plan.shown), None)
    return Told(RoutePlan(weights=weights or None, shown=shown), agrees=False)


def observe_routing(
    observed: Observed,
    routes: Sequence[RouteChild],
    deployments: Mapping[str, DeploymentChild],
    now: datetime,
) -> Routing | None:
    """Return what the planner may know of routes.

    Gateways go by what they were told when the status has said the same for long enough: it is written after
    the routes are.
    """
    owner = observed.service["metadata"]["name"]
    told = read_told(owner, routes)
    if told is None:
        return None
    recorded = (observed.service.get("status") or {}).get("route") or {}
    known = {one["revision"]: one for one in recorded.get("backends") or ()}
    told_for = _age(recorded.get("since"), now)
    answered_for = {name: _age(one.get("answersSince"), now) for name, one in known.items()}
    is_rest = told.plan == RoutePlan() and not known
    ages = [one for one in (told_for, *answered_for.values()) if one is not None and one < SETTLE_SECONDS]
    services = {one.name for one in observed.others if isinstance(one, ServiceChild)}
    return Routing(
        weights=told.plan.weights,
        shown=told.plan.shown,
        is_settled=told.agrees
        and (is_rest or (_said(known) == told.plan and (told_for is None or told_for >= SETTLE_SECONDS))),
        settles_in_seconds=SETTLE_SECONDS - max(ages) if ages else None,
        steady=frozenset(
            name
            for name, one in deployments.items()
            if (answered_for.get(name) or 0.0) >= SETTLE_SECONDS
            and _answers(one)
            and names.of_revision(owner, name) in services
        ),
    )


def _age(text: object, now: datetime) -> float | None:
    time = parse_time(text)
    return max(0.0, (now - time).total_seconds()) if time else None


def _answers(one: DeploymentChild | None) -> bool:
    return one is not None and min(one.available_replicas, one.spec_replicas) > 0


def _said(known: Mapping[str, Mapping[str, Any]]) -> RoutePlan:
    weights = {name: one["weight"] for name, one in known.items() if "weight" in one}
    shown = next((name for name, one in known.items() if one.get("shown")), None)
    return RoutePlan(weights=weights or None, shown=shown)


def record_told(
    observed: Observed,
    routes: Sequence[RouteChild],
    deployments: Mapping[str, DeploymentChild],
    now: datetime,
) -> dict[str, Any]:
    """Return what the status keeps: `backends` and `since`, nothing where everybody is led to the Service.

    While there is one revision alone nobody needs to know for how long it has answered.
    """
    told = read_told(observed.service["metadata"]["name"], routes)
    if told is None or (told.plan == RoutePlan() and len(deployments) < 2):
        return {}
    before = (observed.service.get("status") or {}).get("route") or {}
    known = {one["revision"]: one for one in before.get("backends") or ()}
    weights = told.plan.weights or {}
    backends = []
    for name in sorted({*weights, *deployments}):
        since = _kept(known.get(name, {}).get("answersSince"), now)
        fields = {
            "revision": name,
            "weight": weights.get(name),
            "shown": told.plan.shown == name or None,
            "answersSince": since if _answers(deployments.get(name)) else None,
        }
        backends.append({field: value for field, value in fields.items() if value is not None})
    # What has been told for ever has no time.
    is_new = bool(known or weights) and _said(known) != told.plan
    if is_new:
        return {"backends": backends, "since": format_time(now)}
    return {"backends": backends, **({"since": _kept(before["since"], now)} if before.get("since") else {})}


def _kept(since: object, now: datetime) -> str:
    """Return since when something is so: now, where that is not known, or is a time to come."""
    return format_time(now) if since is None or is_to_come(since, now) else str(since)
