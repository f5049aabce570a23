"""The status of a ModelService: computed as a whole, from what is observed and what was decided. Pure.

Equal input gives equal output, so a status that did not change is not written again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from modelservice_operator.decide.rollout.history import read_history
from modelservice_operator.decide.runtimes import image_of, runtime_news
from modelservice_operator.explain.conditions import (
    CONTENT_CHANGED,
    View,
    compute_conditions,
    stamp,
)
from modelservice_operator.explain.diagnose import Situation, diagnose, first_report, loaded_models
from modelservice_operator.explain.reach import find_obstacle
from modelservice_operator.facts import labels, names
from modelservice_operator.facts.recorded import DEADLINE_EXCEEDED, condition_of, is_given_up
from modelservice_operator.facts.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelservice_operator.decide.decide import Decision
    from modelservice_operator.decide.revision import Revision
    from modelservice_operator.explain.diagnose import Cause, LoadedModel
    from modelservice_operator.facts.observed import ApplyFailure, DeploymentChild, Observed, ReportedModel

_DEFAULT_DEADLINE_SECONDS = 600
_SAID = ("batching", "leftOutOutputs")
"""Fields of `status.model` that only servers can tell."""
_LARGEST_BATCH = 2**31 - 1
_LONGEST_OBSTACLE = 1024
_LONGEST_NAME = 253
_MOST_OUTPUTS = 64


@dataclass(frozen=True, slots=True)
class Transition:
    """Something worth a Kubernetes Event: it happened now, and did not hold before."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


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
    deployments = read_history(observed).deployments
    models = _models(observed, decision)
    view = _view(observed, decision, failures, deployments, models)
    generation = int(metadata.get("generation") or 0)
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "url": names.url(metadata["name"], metadata["namespace"], _model_name(decision, metadata["name"])),
        "replicas": sum(one.replicas for one in deployments.values()),
        "readyReplicas": sum(one.ready_replicas for one in deployments.values()),
        "availableReplicas": sum(one.available_replicas for one in deployments.values()),
        "selector": f"{labels.NAME}={metadata['name']}",
        "stableRevision": decision.stable,
        "targetRevision": decision.target.name if decision.target else None,
        "missedDeadlineSeconds": _missed_deadline(view),
        "traffic": _traffic(decision, deployments),
        "model": _served_model(observed, decision, old, models),
        "runtime": _runtime(decision.target, observed.runtimes),
        "conditions": stamp(compute_conditions(view), old, generation, now),
    }
    return {field: value for field, value in status.items() if value is not None}


def _view(
    observed: Observed,
    decision: Decision,
    failures: Sequence[ApplyFailure],
    deployments: Mapping[str, DeploymentChild],
    models: Sequence[LoadedModel] | None,
) -> View:
    target = decision.target.name if decision.target else ""
    target_deployment = deployments.get(target)
    rollout = decision.service.spec.rollout if decision.service else None
    old = observed.service.get("status") or {}
    others = [one for name, one in deployments.items() if name != target]
    return View(
        old=old,
        generation=int(observed.service["metadata"].get("generation") or 0),
        problems=decision.problems,
        runtime_problem=decision.runtime_problem,
        failures=failures,
        phase=decision.plan.phase if decision.plan else None,
        overdue=bool(decision.plan and decision.plan.overdue),
        target=target,
        stable=decision.stable,
        wanted=decision.replicas,
        needed=_needed(decision),
        available=sum(one.available_replicas for one in deployments.values()),
        obstacle=find_obstacle(observed, failures),
        target_available=min(target_deployment.available_replicas, target_deployment.spec_replicas)
        if target_deployment
        else 0,
        is_settled=_is_settled(target_deployment, decision.replicas),
        has_old_pods=any(one.replicas or one.spec_replicas for one in others),
        has_pods=any(one.replicas or one.spec_replicas for one in deployments.values()),
        deadline_seconds=rollout.progress_deadline_seconds if rollout else _DEFAULT_DEADLINE_SECONDS,
        cause=_cause(observed, decision, deployments),
        inactive=decision.inactive,
        content_changed=_content_changed(decision, old, models),
    )


def _missed_deadline(view: View) -> int | None:
    """Return the deadline for which the target was given up: only a longer one tries it again."""
    if view.phase != "Aborted":
        return None
    known = view.old.get("missedDeadlineSeconds") if is_given_up(view.old, view.target) else None
    return known if isinstance(known, int) else view.deadline_seconds


def _needed(decision: Decision) -> int:
    """With autoscaling the minimum is enough: an autoscaler that adds pods makes nothing unready."""
    autoscaling = decision.service.spec.autoscaling if decision.service else None
    return min(autoscaling.min_replicas, decision.replicas) if autoscaling else decision.replicas


def _is_settled(deployment: DeploymentChild | None, replicas: int) -> bool:
    return (
        deployment is not None
        and deployment.spec_replicas == replicas
        and deployment.observed_generation >= deployment.generation
    )


def _cause(
    observed: Observed, decision: Decision, deployments: Mapping[str, DeploymentChild]
) -> Cause | None:
    """Return why pods are not available: the target's, else those of the revision that serves."""
    if decision.replicas == 0:
        return None
    for revision in (decision.target, decision.serving):
        if revision is not None:
            situation = _situation(observed, decision, deployments, revision)
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
) -> Situation:
    others = (one for name, one in deployments.items() if name != revision.name)
    spec = decision.service.spec if decision.service else None
    surges = spec is not None and spec.rollout.max_surge not in (0, "0%")
    name = observed.service["metadata"]["name"]
    runtime, serving = revision.snapshot.runtime, decision.serving
    return Situation(
        service=name,
        runtime=runtime.name,
        keeps_runtime=decision.stable is not None
        and serving is not None
        and serving.snapshot.runtime.requested == runtime.requested,
        is_surge=surges and any(one.replicas or one.spec_replicas for one in others),
        has_policy=any((one.kind, one.name) == ("NetworkPolicy", name) for one in observed.others),
    )


def _models(observed: Observed, decision: Decision) -> tuple[LoadedModel, ...] | None:
    """Return the models that the serving revision's pods report, None where no pods were read."""
    if observed.pods is None or decision.serving is None:
        return None
    return loaded_models(observed.pods, decision.serving.name, observed.pod_reports)


def _serving_before(old: Mapping[str, Any]) -> object:
    return old.get("stableRevision") or old.get("targetRevision")


def _served_model(
    observed: Observed, decision: Decision, old: Mapping[str, Any], models: Sequence[LoadedModel] | None
) -> dict[str, Any] | None:
    """Return the model of the serving revision; what pods said once is kept while it serves."""
    if decision.serving is None:
        return None
    inputs = decision.serving.snapshot.inputs.get("model", {})
    known = _known_model(decision, old)
    recorded = _recorded(decision, old, models)
    same = next((one for one in models or () if recorded and not one.differs(*recorded)), None)
    said = first_report(observed.pods or (), decision.serving.name, observed.pod_reports)
    model = {
        "sha256": recorded[0] if recorded else None,
        "externalDataSha256": (recorded[1] if recorded else None)
        or (same.external_data_sha256 if same else None),
        "sizeBytes": (same.size_bytes if same else None) or known.get("sizeBytes"),
        "version": inputs.get("version"),
        **({name: known.get(name) for name in _SAID} if said is None else _said(said)),
        "comparedAt": observed.compared_at or known.get("comparedAt"),
    }
    return {field: value for field, value in model.items() if value is not None} or None


def _known_model(decision: Decision, old: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the old status of the model, nothing where another revision served."""
    is_same = decision.serving is not None and _serving_before(old) == decision.serving.name
    return (old.get("model") or {}) if is_same else {}


def _recorded(
    decision: Decision, old: Mapping[str, Any], models: Sequence[LoadedModel] | None
) -> tuple[str, str | None] | None:
    """Return the digests that stand for the serving revision: the first that were ever seen.

    What the spec asks for is not seen before a pod had it: the store may have another file.
    """
    known = _known_model(decision, old)
    if known.get("sha256"):
        return str(known["sha256"]), known.get("externalDataSha256")
    inputs = decision.serving.snapshot.inputs.get("model", {}) if decision.serving else {}
    if inputs.get("sha256") and (models or decision.stable is not None):
        return str(inputs["sha256"]), None
    return (models[0].sha256, models[0].external_data_sha256) if models else None


def _said(model: ReportedModel) -> dict[str, Any]:
    """Return what a server says about itself as status has it; what it may say is bounded there."""
    batching = model.batching
    stated = {
        "maxBatchSize": max(1, min(batching.max_batch_size, _LARGEST_BATCH)),
        "obstacle": batching.obstacle and redact(batching.obstacle)[:_LONGEST_OBSTACLE],
        "source": batching.source and batching.source[:_LONGEST_NAME],
    }
    left_out = [name[:_LONGEST_NAME] for name in dict.fromkeys(model.left_out_outputs)][:_MOST_OUTPUTS]
    return {
        "batching": {field: value for field, value in stated.items() if value},
        "leftOutOutputs": left_out or None,
    }


def _model_name(decision: Decision, default: str) -> str:
    """Return the name that the serving revision gives the model in the protocols."""
    inputs = decision.serving.snapshot.inputs if decision.serving else {}
    return str(inputs.get("model", {}).get("name") or default)


def _content_changed(
    decision: Decision, old: Mapping[str, Any], models: Sequence[LoadedModel] | None
) -> str | None:
    """Return the complaint about pods that serve another model than their revision, until looked at again."""
    if decision.serving is None:
        return None
    if not models:
        known = condition_of(old, "Degraded")
        is_known = known.get("reason") == CONTENT_CHANGED and _serving_before(old) == decision.serving.name
        return str(known.get("message")) if is_known else None
    recorded = _recorded(decision, old, models)
    others = [one for one in models if recorded and one.differs(*recorded)]
    if not others or recorded is None:
        return None
    name = decision.serving.name
    if len(others) < len(models):
        return (
            f"Pods of revision {name} loaded different files from the same address "
            f"(sha256 {', '.join(_digests(models))}): set spec.model.sha256 to the right one."
        )
    return (
        f"The files behind the address of revision {name} have changed: its pods serve sha256 "
        f"{', '.join(_digests(others))}, and {recorded[0]} was rolled out. Set spec.model.sha256 to the "
        "right one, or change spec.model.version to roll out what is there now."
    )


def _digests(models: Sequence[LoadedModel]) -> list[str]:
    """Return what tells the models apart."""
    texts = [one.sha256 for one in models]
    if len(set(texts)) == len(texts):
        return texts
    return [f"{one.sha256} with external data {one.external_data_sha256}" for one in models]


def _runtime(target: Revision | None, runtimes: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if target is None:
        return None
    runtime, uses_gpu = target.snapshot.runtime, bool(target.snapshot.inputs.get("gpu"))
    image = image_of(runtime, uses_gpu=uses_gpu)
    status = {"ref": runtime.name, "image": image}
    news = runtime_news(runtime, runtimes, uses_gpu=uses_gpu)
    if news is None:
        return status
    newer = {} if news.image == image else {"newerImage": news.image}
    return {**status, **newer, "message": news.message}


def _traffic(decision: Decision, deployments: Mapping[str, DeploymentChild]) -> list[dict[str, Any]]:
    """Return the shares of the traffic: those headed for, and those of the available pods."""
    desired = decision.plan.weights if decision.plan else {}
    available = {name: one.available_replicas for name, one in deployments.items() if one.available_replicas}
    actual = percentages(available)
    return [
        {"revision": name, "desired": desired.get(name, 0), "actual": actual.get(name, 0)}
        for name in sorted({*desired, *available})
    ]


def percentages(counts: Mapping[str, int]) -> dict[str, int]:
    """Return whole percentages that sum up to 100 (largest remainder); nothing where all counts are 0."""
    total = sum(counts.values())
    if total == 0:
        return {}
    shares = {name: count * 100 // total for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (-(counts[name] * 100 % total), name))
    for name in by_remainder[: 100 - sum(shares.values())]:
        shares[name] += 1
    return shares


def compute_transitions(
    old_status: Mapping[str, Any], new_status: Mapping[str, Any]
) -> tuple[Transition, ...]:
    """Return what changed between two statuses and is worth an Event."""
    found = []
    target = new_status.get("targetRevision")
    if target and target != old_status.get("targetRevision"):
        found.append(Transition("Normal", "RolloutStarted", f"Revision {target} is being rolled out."))
    stable = new_status.get("stableRevision")
    if stable and stable != old_status.get("stableRevision"):
        found.append(Transition("Normal", "RolloutComplete", f"Revision {stable} is the stable one."))
    found += _condition_transitions(old_status, new_status)
    return tuple(found)


def _condition_transitions(old_status: Mapping[str, Any], new_status: Mapping[str, Any]) -> list[Transition]:
    found = []
    before, after = (condition_of(status, "Degraded") for status in (old_status, new_status))
    given_up = _is_overdue(new_status) and not _is_overdue(old_status)
    if after.get("status") == "True" and (before.get("reason") != after.get("reason") or given_up):
        reason = DEADLINE_EXCEEDED if given_up else str(after.get("reason"))
        found.append(Transition("Warning", reason, str(after.get("message"))))
    # Pods of another revision have not shown yet whether they do better.
    is_same_target = new_status.get("targetRevision") == old_status.get("targetRevision")
    if before.get("status") == "True" and after.get("status") == "False" and is_same_target:
        found.append(Transition("Normal", "Recovered", f"Solved: {before.get('reason')}."))
    before, after = (condition_of(status, "Ready") for status in (old_status, new_status))
    if after.get("status") == "True" and before.get("status") != "True":
        found.append(Transition("Normal", str(after.get("reason")), str(after.get("message"))))
    return found


def _is_overdue(status: Mapping[str, Any]) -> bool:
    return bool(condition_of(status, "Progressing").get("reason") == DEADLINE_EXCEEDED)
