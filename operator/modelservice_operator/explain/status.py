"""The status of a ModelService: computed as a whole, from what is observed and what was decided. Pure.

Equal input gives equal output, so a status that did not change is not written again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.change.runtime_update import write_update
from modelservice_operator.decide.revision import is_encrypted, recorded_domain
from modelservice_operator.decide.rollout.history import read_history
from modelservice_operator.decide.rollout.traffic import percentages
from modelservice_operator.decide.runtimes import runtime_news
from modelservice_operator.explain.autoscaling import autoscaling_condition, autoscaling_status
from modelservice_operator.explain.conditions import (
    compute_conditions,
    stamp,
)
from modelservice_operator.explain.diagnose import Situation, diagnose
from modelservice_operator.explain.explainer import explainer_status
from modelservice_operator.explain.loaded import content_changed, models_of, served_model
from modelservice_operator.explain.reach import find_obstacle, selected_revision
from modelservice_operator.explain.rollout.gates import judge_gates
from modelservice_operator.explain.rollout.outcomes import compute_outcomes
from modelservice_operator.explain.rollout.record import evaluations, rollout_status
from modelservice_operator.explain.rollout.room import (
    describe_no_room,
    describe_surge,
    find_room,
)
from modelservice_operator.explain.routing import route_condition, route_status
from modelservice_operator.explain.standby import standby_status
from modelservice_operator.explain.verdict import View
from modelservice_operator.facts import labels, names
from modelservice_operator.facts.kinds import ROUTE_KINDS
from modelservice_operator.facts.recorded import is_given_up, served_revisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.decide.revision import RecordedRuntime, Revision
    from modelservice_operator.explain.diagnose import Cause, LoadedModel
    from modelservice_operator.explain.rollout.gates import Judged
    from modelservice_operator.explain.rollout.room import Room
    from modelservice_operator.facts.observed import ApplyFailure, DeploymentChild, Observed

_DEFAULT_DEADLINE_SECONDS = 600


def compute_status(
    observed: Observed, decision: Decision, failures: Sequence[ApplyFailure], now: datetime
) -> dict[str, Any]:
    """Return the whole status.

    `failures` are the writes of this reconciliation that were refused. Of a service that is being deleted
    the status stays as it is.
    """
    metadata = observed.service["metadata"]
    old = observed.service.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return dict(old)
    history = read_history(observed)
    deployments = history.deployments
    models = models_of(observed, decision)
    room = find_room(observed, decision, now)
    judged = judge_gates(observed, decision, now)
    view = _view(observed, decision, failures, models, room, judged)
    conditions = compute_conditions(view) + autoscaling_condition(observed, decision, view)
    conditions += route_condition(observed, decision, failures)
    reached = _reached(decision, deployments)
    generation = int(metadata.get("generation") or 0)
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "url": _url(metadata["name"], metadata["namespace"], decision.serving),
        "replicas": sum(one.replicas for one in reached),
        "readyReplicas": sum(one.ready_replicas for one in reached),
        "availableReplicas": sum(one.available_replicas for one in reached),
        "selector": _selector(metadata["name"], decision),
        "stableRevision": decision.stable,
        "servedRevisions": served_revisions(old, decision.stable, history.records),
        "targetRevision": decision.target.name if decision.target else None,
        "abortedRevisions": list(decision.steering.aborted) or None if decision.steering else None,
        "missedDeadlineSeconds": _missed_deadline(view),
        "traffic": _traffic(decision, deployments),
        "rollout": rollout_status(observed, decision, room.capacity, judged, now),
        "evaluations": evaluations(old, judged),
        "model": served_model(observed, decision, old, models),
        "runtime": _runtime(decision, observed.runtimes),
        # Written by the autoscaler alone: what stays the same is in no patch of ours.
        "autoscaler": old.get("autoscaler") if _is_scaled(decision) else None,
        "autoscaling": (autoscaling_status(decision) or {}) | standby_status(observed, decision) or None,
        "route": route_status(observed, decision, deployments, now),
        "explainer": explainer_status(observed, decision),
        "conditions": stamp(conditions, old, generation, now),
    }
    status["outcomes"] = compute_outcomes(old, status, history.records, now)
    return {field: value for field, value in status.items() if value is not None}


def _is_scaled(decision: Decision) -> bool:
    """Whether somebody may steer; what cannot be read changes nothing."""
    return decision.service is None or decision.service.spec.autoscaling is not None


def _reached(decision: Decision, deployments: Mapping[str, DeploymentChild]) -> list[DeploymentChild]:
    """Return the Deployments whose pods clients are led to: those that an autoscaler may count."""
    selected = decision.plan.selector if decision.plan else None
    return [one for name, one in deployments.items() if selected in (None, name)]


def _selector(name: str, decision: Decision) -> str:
    selected = decision.plan.selector if decision.plan else None
    return f"{labels.NAME}={name}" + (f",{labels.REVISION}={selected}" if selected else "")


def _view(
    observed: Observed,
    decision: Decision,
    failures: Sequence[ApplyFailure],
    models: Sequence[LoadedModel] | None,
    room: Room,
    judged: Judged | None,
) -> View:
    deployments = read_history(observed).deployments
    target = decision.target.name if decision.target else ""
    target_deployment = deployments.get(target)
    rollout = decision.service.spec.rollout if decision.service else None
    old = observed.service.get("status") or {}
    lingering = decision.plan.lingering if decision.plan else frozenset()
    remaining = {name: one for name, one in deployments.items() if name not in lingering}
    selected = selected_revision(observed)
    return View(
        old=old,
        generation=int(observed.service["metadata"].get("generation") or 0),
        problems=decision.problems,
        runtime_problem=decision.runtime_problem,
        failures=_of_the_service(failures, decision),
        phase=decision.plan.phase if decision.plan else None,
        overdue=bool(decision.plan and decision.plan.overdue),
        target=target,
        stable=decision.stable,
        wanted=decision.replicas,
        needed=_needed(decision),
        available=sum(
            one.available_replicas for name, one in deployments.items() if selected in (None, name)
        ),
        progress=decision.plan.progress if decision.plan else None,
        evaluation=judged.progress.message if judged and decision.evaluating else None,
        obstacle=find_obstacle(observed, failures),
        target_available=min(target_deployment.available_replicas, target_deployment.spec_replicas)
        if target_deployment
        else 0,
        is_settled=_is_settled(target_deployment, decision.replicas),
        has_old_pods=_has_old_pods(decision, remaining, target),
        has_pods=_have_pods(remaining.values()),
        deadline_seconds=rollout.progress_deadline_seconds if rollout else _DEFAULT_DEADLINE_SECONDS,
        cause=_cause(observed, decision, deployments, room),
        aborted=bool(decision.steering and target in decision.steering.aborted),
        inactive=decision.inactive,
        standby=decision.standby,
        held=bool(decision.plan and decision.plan.held),
        no_room=describe_no_room(decision),
        content_changed=content_changed(decision, old, models),
    )


def _of_the_service(failures: Sequence[ApplyFailure], decision: Decision) -> tuple[ApplyFailure, ...]:
    """Leave out what was refused of a route: its own condition says it, unless a change waits for it."""
    is_waiting = decision.plan is not None and decision.plan.is_under_way
    return tuple(one for one in failures if is_waiting or one.kind not in ROUTE_KINDS)


def _has_old_pods(decision: Decision, remaining: Mapping[str, DeploymentChild], target: str) -> bool:
    """Whether pods of other revisions are in the way of Ready: not those that clients are led away from."""
    plan = decision.plan
    if plan is not None and plan.phase == "Complete" and plan.selector is not None:
        return False
    return _have_pods(one for name, one in remaining.items() if name != target)


def _have_pods(deployments: Iterable[DeploymentChild]) -> bool:
    return any(one.replicas or one.spec_replicas for one in deployments)


def _missed_deadline(view: View) -> int | None:
    """Return the deadline for which the target was given up: only a longer one tries it again."""
    if view.phase != "Aborted" or view.aborted:
        return None
    known = view.old.get("missedDeadlineSeconds") if is_given_up(view.old, view.target) else None
    return known if isinstance(known, int) else view.deadline_seconds


def _needed(decision: Decision) -> int:
    """With autoscaling the minimum is enough: an autoscaler that adds pods makes nothing unready.

    One that may sleep has to answer all the same while it is awake.
    """
    autoscaling = decision.service.spec.autoscaling if decision.service else None
    return min(max(1, autoscaling.min_replicas), decision.replicas) if autoscaling else decision.replicas


def _is_settled(deployment: DeploymentChild | None, replicas: int) -> bool:
    return (
        deployment is not None
        and deployment.spec_replicas == replicas
        and deployment.observed_generation >= deployment.generation
    )


def _cause(
    observed: Observed,
    decision: Decision,
    deployments: Mapping[str, DeploymentChild],
    room: Room,
) -> Cause | None:
    """Return why pods are not available: the target's, else those of the revision that serves."""
    if decision.replicas == 0:
        return None
    for revision in (decision.target, decision.serving):
        if revision is not None:
            situation = _situation(observed, decision, deployments, revision, room)
            deployment = deployments.get(revision.name)
            found = diagnose(revision.name, observed.pods or (), observed.pod_events, deployment, situation)
            if found is not None:
                return found
    return None


def _situation(
    observed: Observed,
    decision: Decision,
    deployments: Mapping[str, DeploymentChild],
    revision: Revision,
    room: Room,
) -> Situation:
    others = (one for name, one in deployments.items() if name != revision.name)
    is_rollout = any(one.replicas or one.spec_replicas for one in others)
    name = observed.service["metadata"]["name"]
    runtime, serving = revision.snapshot.runtime, decision.serving
    return Situation(
        service=name,
        runtime=runtime.name,
        keeps_runtime=decision.stable is not None
        and serving is not None
        and serving.snapshot.runtime.requested == runtime.requested,
        surge=describe_surge(decision, deployments.values(), room)
        if is_rollout and revision is decision.target
        else "None",
        nodes=observed.nodes,
        has_policy=any((one.kind, one.name) == ("NetworkPolicy", name) for one in observed.others),
    )


def _url(name: str, namespace: str, serving: Revision | None) -> str:
    """Return the address of the model, by the name and the scheme that the serving revision has."""
    if serving is None:
        return names.url(name, namespace, name, is_encrypted=False)
    model = str(serving.snapshot.inputs.get("model", {}).get("name") or name)
    return names.url(name, namespace, model, is_encrypted=is_encrypted(serving.snapshot))


def _runtime(decision: Decision, runtimes: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    target = decision.target
    if target is None:
        return None
    runtime, domain = target.snapshot.runtime, recorded_domain(target.snapshot)
    image = runtime.image_for(domain)
    status: dict[str, Any] = {"ref": runtime.name, "image": image, **_stable_image(decision, runtime, image)}
    if decision.updates.asked is not None:
        status["update"] = write_update(decision.updates.asked)
    if decision.updates.assigned is not None:
        status["assigned"] = write_update(decision.updates.assigned)
    news = runtime_news(runtime, runtimes, domain)
    if news is None:
        return status
    newer = {} if news.image == image else {"newerImage": news.image}
    return {**status, **newer, "message": news.message}


def _stable_image(decision: Decision, runtime: RecordedRuntime, image: str) -> dict[str, str]:
    """Return what the pods have to which a change that is given up comes back."""
    if decision.stable is None or decision.serving is None:
        return {}
    snapshot = decision.serving.snapshot
    stable = snapshot.runtime.image_for(recorded_domain(snapshot))
    return {"stableImage": stable} if snapshot.runtime.name == runtime.name and stable != image else {}


def _traffic(decision: Decision, deployments: Mapping[str, DeploymentChild]) -> list[dict[str, Any]]:
    """Return the shares of the traffic: those that should be, and those of the pods that clients find."""
    desired = decision.plan.weights if decision.plan else {}
    available = {
        one.revision: one.available_replicas
        for one in _reached(decision, deployments)
        if one.available_replicas
    }
    actual = percentages(available)
    return [
        {"revision": name, "desired": desired.get(name, 0), "actual": actual.get(name, 0)}
        for name in sorted({*desired, *available})
    ]
