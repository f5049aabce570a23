"""Which children are written now, and which of those that exist have to go. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.autoscaling.engine import OBJECTS
from modelservice_operator.decide.rollout.history import forgotten
from modelservice_operator.facts import labels, names
from modelservice_operator.facts.ownership import is_owned

if TYPE_CHECKING:
    from modelservice_operator.decide.change.wish import Wish
    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.rollout.model import Plan, RolloutState
    from modelservice_operator.facts.observed import Child


def startable(
    children: tuple[dict[str, Any], ...], state: RolloutState, step: Plan
) -> tuple[dict[str, Any], ...]:
    """Leave out the target's Deployment while clients have to be led away from it first.

    It is made with its first pods, one decision later, and not without any now.
    """
    is_led_away = step.selector not in (None, state.target) and step.selector != state.selected
    if not is_led_away or state.has(state.target) or step.replicas.get(state.target):
        return children
    return tuple(one for one in children if not _is_deployment_of(one, state.target))


def _is_deployment_of(child: dict[str, Any], revision: str) -> bool:
    named = child["metadata"]["labels"].get(labels.REVISION)
    return bool(child["kind"] == "Deployment" and named == revision)


def writable(facts: Facts, children: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Leave out children that are being deleted: they are made anew when they are gone."""
    deleting = {_place(child) for child in _owned(facts) if child.deleting}
    return tuple(child for child in children if (child["kind"], child["metadata"]["name"]) not in deleting)


def _place(child: Child) -> tuple[str, str]:
    return child.kind, child.name


def _owned(facts: Facts) -> list[Child]:
    observed = facts.observed
    children: tuple[Child, ...] = (*observed.deployments, *observed.others)
    return [child for child in children if is_owned(child, facts.owner.uid)]


def retired(facts: Facts, wish: Wish, step: Plan, children: tuple[dict[str, Any], ...]) -> tuple[Child, ...]:
    """Return the owned children that nobody wants any more.

    A Deployment without a snapshot cannot be scaled: it goes as a whole when its last pod may go.
    """
    wanted = {(child["kind"], child["metadata"]["name"]) for child in children}
    busy = {name for name, count in step.replicas.items() if count > 0}
    kept = {_place(one) for name, one in facts.history.deployments.items() if name in busy}
    if wish.spec is None:
        # What the spec says about autoscaling cannot be read: an autoscaler that exists stays.
        kept |= {_place(one) for one in _owned(facts) if one.kind in OBJECTS.values()}
        kept |= {_place(one) for one in _owned(facts) if one.name == names.explainer(facts.owner.name)}
    if wish.route.problem is not None:
        kept |= {_place(one) for one in wish.route.existing}
    surplus = [one for one in _owned(facts) if not one.deleting and _place(one) not in wanted | kept]
    if wish.spec is None:
        return tuple(surplus)
    previous = step.progress.previous if step.progress else None
    live = {
        *step.replicas,
        previous or "",
        *facts.history.deployments,
        facts.stable or "",
        wish.target.name if wish.target else "",
    }
    return (*surplus, *forgotten(facts.history, live, wish.spec.rollout.revision_history_limit))
