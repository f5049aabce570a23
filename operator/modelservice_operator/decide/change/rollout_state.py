"""What the planner gets to know, read off the children and the status of one ModelService. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from modelservice_operator.decide.change.record import read_progress
from modelservice_operator.decide.rollout.model import RevisionState, RolloutState
from modelservice_operator.decide.rollout.room.capacity import read_capacity
from modelservice_operator.decide.routing.told import observe_routing
from modelservice_operator.facts import labels, names
from modelservice_operator.facts.observed import ServiceChild
from modelservice_operator.facts.ownership import is_owned
from modelservice_operator.facts.recorded import (
    condition_of,
    is_given_up,
    is_held,
    missed_deadline_seconds,
)
from modelservice_operator.facts.text.times import parse_time

if TYPE_CHECKING:
    from datetime import datetime

    from modelservice_operator.decide.change.steering import Steering
    from modelservice_operator.decide.change.wish import Wish
    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.rollout.model import Progress
    from modelservice_operator.decide.rollout.room.leaving import Leaving
    from modelservice_operator.facts.observed import DeploymentChild


def observe_rollout(
    facts: Facts, wish: Wish, target: str, leaving: Leaving, steering: Steering
) -> RolloutState:
    """Return what the planner may know of the rollout to this target."""
    given_up = is_given_up(facts.status, target) or target in steering.aborted
    has_longer = wish.deadline_seconds > missed_deadline_seconds(facts.status)
    is_open = given_up and target not in steering.aborted
    tried_again = steering.retries or (is_open and has_longer)
    recorded = read_capacity(facts.status, target)
    waits_from_now_on = recorded is not None and recorded.surge is not None and not wish.goes_by_capacity
    is_new = tried_again or waits_from_now_on or facts.status.get("targetRevision") != target
    selected = _selected(facts)
    return RolloutState(
        target=target,
        stable=facts.stable,
        revisions=tuple(_revision_state(name, one) for name, one in facts.history.deployments.items()),
        started_at=_started_at(facts, target, is_new=is_new),
        aborted=given_up and not tried_again,
        leaving=leaving.pods,
        asked_at=None if is_new else parse_time((facts.status.get("rollout") or {}).get("startedAt")),
        down_since=_down_since(facts),
        capacity=recorded if wish.goes_by_capacity and not tried_again else None,
        progress=None if tried_again else _progress(facts),
        evaluation_retries=_evaluation_retries(facts, target) if tried_again else 0,
        selected=selected.revision,
        named=selected.named,
        has_service=selected.leads,
        has_served=target in (facts.status.get("servedRevisions") or ()),
        verb=steering.verb,
        routing=observe_routing(facts.observed, wish.route.existing, facts.history.deployments, facts.now),
    )


class _Selected(NamedTuple):
    """Whom Services lead clients to: `revision` alone, None for all; to nobody unless one `leads`."""

    leads: bool
    revision: str | None = None
    named: frozenset[str] = frozenset()
    """Where they do not agree, or lead to one that is not there: whom one of them leads to alone."""


def _selected(facts: Facts) -> _Selected:
    """Where the two Services do not agree, clients are led to all that one of them leads to.

    A person may have written a name that no revision has, or of one that is gone.
    """
    named = {facts.owner.name, names.pods_service(facts.owner.name)}
    selectors = [
        one.selector
        for one in facts.observed.others
        if isinstance(one, ServiceChild) and one.name in named and is_owned(one, facts.owner.uid)
    ]
    revisions = {selector.get(labels.REVISION) for selector in selectors}
    named_by_some = frozenset(one for one in revisions if one is not None)
    if len(revisions) > 1 or not named_by_some <= facts.history.deployments.keys():
        return _Selected(leads=True, named=named_by_some)
    return _Selected(bool(selectors), revisions.pop() if revisions else None)


def _progress(facts: Facts) -> Progress | None:
    """Return what is recorded; a revision whose record is gone cannot come back."""
    known = read_progress(facts.status)
    if known is None or known.previous is None or facts.history.revision(known.previous) is not None:
        return known
    return replace(known, previous=None, promoted_at=None)


def _evaluation_retries(facts: Facts, target: str) -> int:
    """Return how often the evaluation of the target was asked for again, now that it is tried again."""
    known = read_progress(facts.status)
    is_evaluated = known is not None and known.revision == target and known.evaluation is not None
    return known.evaluation_retries + 1 if known is not None and is_evaluated else 0


def _down_since(facts: Facts) -> datetime | None:
    available = condition_of(facts.status, "Available")
    return parse_time(available.get("lastTransitionTime")) if available.get("status") == "False" else None


def _revision_state(name: str, deployment: DeploymentChild) -> RevisionState:
    return RevisionState(
        name=name,
        wanted=0 if deployment.deleting else deployment.spec_replicas,
        pods=deployment.replicas,
        available=deployment.available_replicas,
        terminating=deployment.terminating_replicas or 0,
        # To be deleted is a generation too, of which the controller has nothing to count.
        settled=deployment.observed_generation >= deployment.generation - int(deployment.deleting),
    )


def _started_at(facts: Facts, target: str, *, is_new: bool) -> datetime | None:
    """Return since when pods of the target are worked on, None where that has not begun.

    The Deployment may be older than the wish for it: A -> B -> A, while pods of A were still stopping.
    """
    deployment = facts.history.deployments.get(target)
    if deployment is None:
        return None
    if is_new or is_held(facts.status):
        return facts.now
    created = parse_time(deployment.created_at)
    progressing = condition_of(facts.status, "Progressing")
    since = parse_time(progressing.get("lastTransitionTime")) if progressing.get("status") == "True" else None
    return max(created, since) if created and since else created
