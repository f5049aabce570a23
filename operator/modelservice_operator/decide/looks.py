"""Which pods are worth a look, and when: those that are not available, those not compared yet. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.facts.recorded import condition_of
from modelservice_operator.facts.text.times import parse_time

if TYPE_CHECKING:
    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.rollout.model import Plan

_POLL_SECONDS = ((3, 1.0), (7, 2.0), (15, 4.0), (60, 8.0), (600, 15.0))
"""(elapsed, delay): pods that are not available and not watched are looked at 1, 2, 4, 8, then 15 s apart."""
_SLOW_POLL_SECONDS = 60.0
"""After ten minutes a person is needed anyway; a Deployment that heals is seen by the watch at once."""


def has_unavailable_pods(facts: Facts, step: Plan) -> bool:
    """Whether a live revision is short of available pods, or about to be."""
    for name, count in step.replicas.items():
        deployment = facts.history.deployments.get(name)
        if count > 0 and (deployment is None or deployment.available_replicas < count):
            return True
    return False


def find_uncompared(facts: Facts, serving: str) -> str | None:
    """Return the resourceVersion of the serving Deployment where its pods have not been compared at it.

    Every change of pods, a restart of a container too, changes that. None where not all are available.
    """
    deployment = facts.history.deployments.get(serving)
    if deployment is None or deployment.deleting or deployment.observed_generation < deployment.generation:
        return None
    if not 0 < deployment.spec_replicas == deployment.replicas == deployment.available_replicas:
        return None
    model = facts.status.get("model") or {}
    is_known = model.get("comparedAt") == deployment.resource_version
    return None if is_known else deployment.resource_version


def look_after_seconds(facts: Facts, target: str) -> float:
    """Return when to look again at pods that are not available."""
    return poll_delay_seconds(_seconds_since_change(facts, target))


def _seconds_since_change(facts: Facts, target: str) -> float:
    """Return the time since the target's Deployment was made, or since pods became unavailable.

    The conditions say when that was; where they do not say it yet, it was just now.
    """
    marks = (
        (condition_of(facts.status, "Ready"), "False"),
        (condition_of(facts.status, "Progressing"), "True"),
    )
    times = [
        parse_time(condition["lastTransitionTime"])
        for condition, status in marks
        if condition.get("status") == status
    ]
    newest = max((time for time in times if time), default=facts.now)
    deployment = facts.history.deployments.get(target)
    created = parse_time(deployment.created_at) if deployment else facts.now
    return (facts.now - max(created or newest, newest)).total_seconds()


def poll_delay_seconds(elapsed_seconds: float) -> float:
    """Return when to look at pods again, given how long they have been unavailable."""
    return next((delay for until, delay in _POLL_SECONDS if elapsed_seconds < until), _SLOW_POLL_SECONDS)
