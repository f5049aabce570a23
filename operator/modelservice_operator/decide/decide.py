"""The decision of one reconciliation: from what is observed to what shall exist. Pure.

The steps: read the revisions that exist, parse the spec, resolve the runtime, name the target revision, plan
the rollout, build the children, find what has to go. A spec that cannot be used stops nothing: the target
that was accepted last, or the stable revision, is kept alive as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from modelservice_operator.api import (
    STRICT_NETWORK_POLICY,
    ChildMetadata,
    InvalidSpec,
    ModelService,
    NetworkPolicySpec,
    Rollout,
    parse_model_service,
    parse_part,
)
from modelservice_operator.decide.autoscaling.beginning import (
    LOOK_AGAIN_SECONDS,
    find_beginning,
    is_steered,
    wanted_replicas,
)
from modelservice_operator.decide.autoscaling.engine import build_object, find_scaling
from modelservice_operator.decide.autoscaling.inactivity import find_inactivity
from modelservice_operator.decide.change.assigned import FIELD, Updates, find_assigned
from modelservice_operator.decide.change.evaluating import find_evaluating
from modelservice_operator.decide.change.measuring import request_of
from modelservice_operator.decide.change.runtime_update import find_update, read_record, read_update
from modelservice_operator.decide.change.wish import Wish, raw_replicas
from modelservice_operator.decide.course import Course, find_course
from modelservice_operator.decide.decision import Decision
from modelservice_operator.decide.decision_facts import Facts
from modelservice_operator.decide.looks import find_uncompared, look_after_seconds
from modelservice_operator.decide.resources.children import Family, build_children
from modelservice_operator.decide.resources.claim_template import find_obstacle
from modelservice_operator.decide.resources.explainer import Explainer, find_explainer, model_name
from modelservice_operator.decide.resources.metadata import Owner
from modelservice_operator.decide.resources.pod.template import PodBuilder, PodInputs, build_pod_template
from modelservice_operator.decide.revision import (
    Revision,
    Snapshot,
    image_domain,
    is_encrypted,
    revision_inputs,
    revision_name,
)
from modelservice_operator.decide.rollout.history import (
    read_history,
    stable_revision,
)
from modelservice_operator.decide.rollout.newer import find_newer
from modelservice_operator.decide.rollout.room.deadlines import soonest
from modelservice_operator.decide.routing.wanted import build_routes, find_route
from modelservice_operator.decide.runtimes import RuntimeProblem, RuntimeRequest, resolve_runtime
from modelservice_operator.decide.standby.read import is_load_untold
from modelservice_operator.decide.standby.wakening import find_wakening
from modelservice_operator.decide.written import retired, startable, writable
from modelservice_operator.facts.recorded import condition_of
from modelservice_operator.facts.remembered import remembered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.decide.autoscaling.engine import Scaling
    from modelservice_operator.decide.change.evaluating import Evaluating
    from modelservice_operator.decide.revision import RecordedRuntime
    from modelservice_operator.decide.rollout.model import Plan
    from modelservice_operator.facts.observed import Observed

_NO_METADATA, _NO_POLICY = ChildMetadata(), NetworkPolicySpec()
_VERSIONS = frozenset({"resourceVersion", "managedFields"})


def decide(
    observed: Observed,
    now: datetime,
    *,
    build_pod: PodBuilder = build_pod_template,
    network_policy: NetworkPolicySpec = STRICT_NETWORK_POLICY,
) -> Decision:
    """Return what to do about one ModelService.

    `build_pod` makes the templates of new revisions; `network_policy` is for what a spec leaves out of its
    own.
    """
    metadata = observed.service["metadata"]
    if metadata.get("deletionTimestamp"):
        return Decision()
    facts = _observe_facts(observed, now, network_policy)
    try:
        service = _parse(_without_versions(observed.service), facts.accepted is not None)
    except InvalidSpec as problems:
        return _decide(facts, _last_wish(facts, problems))
    asked = RuntimeRequest(ref=service.spec.runtime.ref, domain=image_domain(service.spec.gpu))
    updates = _find_updates(facts, service, asked)
    target = _target(facts, service, build_pod, asked, updates.runtime)
    problem = target if isinstance(target, RuntimeProblem) else None
    deployments = tuple(facts.history.deployments.values())
    beginning = find_wakening(service.spec, observed) or find_beginning(service.spec, observed, deployments)
    return _decide(
        facts,
        Wish(
            service=service,
            target=facts.accepted if isinstance(target, RuntimeProblem) else target,
            replicas=beginning.replicas if beginning else wanted_replicas(service.spec),
            rollout=service.spec.rollout,
            route=find_route(observed, service.spec),
            beginning=beginning,
            runtime_problem=problem,
            updates=updates if isinstance(target, RuntimeProblem) else updates.heading_for(target.name),
        ),
    )


@remembered(256)
def _parse(service: Mapping[str, Any], is_stored: bool) -> ModelService:
    return parse_model_service(service, is_stored=is_stored)


def _without_versions(service: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what every write changes, ours too."""
    metadata = {key: value for key, value in service["metadata"].items() if key not in _VERSIONS}
    return {**service, "metadata": metadata, "status": None}


def _last_wish(facts: Facts, problems: InvalidSpec) -> Wish:
    """Return what goes on while the spec is invalid: the change that was begun, as far as it says how."""
    written = facts.observed.service.get("spec")
    is_said = isinstance(written, dict) and written.get("rollout") is not None
    rollout = parse_part(facts.observed.service, "rollout", Rollout) if is_said else Rollout()
    is_at_rest = facts.accepted is None or facts.accepted.name == facts.stable
    return Wish(
        target=facts.accepted,
        replicas=raw_replicas(facts.observed) if rollout is not None or is_at_rest else None,
        problems=problems,
        updates=Updates(asked=read_update(facts.status), assigned=read_record(facts.status, FIELD)),
        rollout=rollout or Rollout(),
        route=find_route(facts.observed, None),
    )


def _observe_facts(observed: Observed, now: datetime, network_policy: NetworkPolicySpec) -> Facts:
    metadata = observed.service["metadata"]
    # Read apart from the rest: an invalid spec must change no label and close no port.
    labelled = parse_part(observed.service, "childMetadata", ChildMetadata) or _NO_METADATA
    policy = parse_part(observed.service, "networkPolicy", NetworkPolicySpec) or _NO_POLICY
    status = observed.service.get("status") or {}
    history = read_history(observed)
    return Facts(
        observed=observed,
        owner=Owner(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            child_metadata=labelled,
        ),
        network_policy=policy.over(network_policy),
        status=status,
        history=history,
        stable=stable_revision(status, history),
        now=now,
    )


def _find_updates(facts: Facts, service: ModelService, asked: RuntimeRequest) -> Updates:
    """Return who wants another runtime: a person, a RuntimeRollout."""
    update = find_update(facts, asked)
    is_pinned = service.spec.runtime.pin
    return Updates(asked=update, assigned=find_assigned(facts, asked, is_pinned=is_pinned, asked=update))


def _target(
    facts: Facts,
    service: ModelService,
    build_pod: PodBuilder,
    asked: RuntimeRequest,
    taken: RecordedRuntime | None,
) -> Revision | RuntimeProblem:
    """Return the revision of the current spec; its template is built only if it is not recorded yet."""
    spec, history = service.spec, facts.history
    accepted = facts.accepted
    stable = history.revision(facts.stable)
    runtime = taken or resolve_runtime(
        asked,
        facts.observed.runtimes,
        stable=stable.snapshot.runtime if stable else None,
        target=accepted.snapshot.runtime if accepted else None,
    )
    if isinstance(runtime, RuntimeProblem):
        return runtime
    obstacle = find_obstacle(spec.gpu, facts.observed.cluster)
    if obstacle is not None:
        return obstacle
    inputs = revision_inputs(spec)
    name = revision_name(inputs, runtime)
    newer = find_newer(accepted, name, facts.observed.service["metadata"])
    if newer is not None:
        return newer
    known = history.revision(name)
    if known is not None:
        return history.adopt(name, known.snapshot)
    pod = PodInputs(service=facts.owner.name, revision=name, spec=spec, runtime=runtime)
    return history.adopt(name, Snapshot(inputs=inputs, runtime=runtime, template=build_pod(pod)))


def _decide(facts: Facts, wish: Wish) -> Decision:
    target = wish.target
    if target is None:
        return Decision(service=wish.service, problems=wish.problems, runtime_problem=wish.runtime_problem)
    course = find_course(facts, wish, target)
    wish, step = course.wish, course.step
    scaling, beginning = _scaling(facts, wish), wish.beginning
    explainer, evaluating = _explainer(facts, wish, step.stable), find_evaluating(facts, wish, step)
    family = _family(facts, course, scaling, explainer, evaluating)
    children = (*startable(build_children(family), course.state, step), *_routes(facts, course, explainer))
    decision = Decision(
        service=wish.service,
        problems=wish.problems,
        runtime_problem=wish.runtime_problem,
        desired=writable(facts, children),
        retire=retired(facts, wish, step, children),
        plan=step,
        steering=course.steering,
        updates=wish.updates.when_stable(step.stable),
        target=target,
        stable=step.stable,
        evaluating=evaluating,
        measures=request_of(wish, step, facts),
        serving=target if step.stable in (None, target.name) else facts.history.revision(step.stable),
        replicas=sum(step.replicas.values()) if wish.replicas is None else wish.replicas,
        standby=course.switch,
        begin_with=beginning.replicas if beginning and beginning.is_certain else None,
        scaling=scaling,
        route=wish.route,
        explainer=explainer,
        uncompared=find_uncompared(facts, step.stable or target.name),
    )
    return _with_looks(decision, facts, course)


def _with_looks(decision: Decision, facts: Facts, course: Course) -> Decision:
    """Return the decision with what has to be looked at, and when."""
    step, beginning, scaling = course.step, course.wish.beginning, decision.scaling
    assert decision.target is not None
    is_by_hpa = scaling is not None and scaling.engine == "HPA" and scaling.autoscaling is not None
    inactivity = find_inactivity(facts.autoscaler if is_by_hpa else None, facts.status, facts.now)
    is_ready = condition_of(facts.status, "Ready").get("status") == "True"
    return replace(
        decision,
        inactive=inactivity.message if inactivity and not inactivity.due_in_seconds else None,
        # Also once on the way to ready: the pods report which model they loaded.
        wants_pods=course.waits
        or step.verifies
        or decision.measures is not None
        or is_load_untold(facts.status, facts.now)
        or (decision.uncompared is not None and not is_ready),
        look_after_seconds=look_after_seconds(facts, decision.target.name) if course.waits else None,
        requeue_after_seconds=soonest(
            step.requeue_after_seconds,
            course.switch.requeue_after_seconds,
            course.leaving.recheck_seconds if step.waits_for_leaving else None,
            inactivity.due_in_seconds or None if inactivity else None,
            LOOK_AGAIN_SECONDS if beginning and not beginning.is_certain else None,
            # Once that is in the status, the runtime from before is what is wanted.
            LOOK_AGAIN_SECONDS if decision.updates.goes_on and step.phase == "Aborted" else None,
        ),
    )


def _scaling(facts: Facts, wish: Wish) -> Scaling | None:
    """Return who steers; it would act on the number that the spec says, so what runs is recorded first."""
    if wish.spec is not None and wish.spec.autoscaling is None:
        return None
    autoscaling = wish.spec.autoscaling if wish.spec else None
    is_begun = wish.beginning is None or is_steered(facts.status, facts.autoscaler)
    return find_scaling(autoscaling, facts.status, facts.observed.cluster, is_begun=is_begun)


def _family(
    facts: Facts,
    course: Course,
    scaling: Scaling | None,
    explainer: Explainer | None,
    evaluating: Evaluating | None,
) -> Family:
    observed, target, step = facts.observed, course.wish.target, course.step
    assert target is not None
    activators = observed.surroundings.activators
    told = scaling.awake() if scaling is not None and course.switch.is_sleepless else scaling
    return Family(
        owner=facts.owner,
        live=_live(facts, target, step),
        autoscaler=build_object(told, facts.owner, observed.others, observed.cluster),
        network_policy=facts.network_policy,
        is_encrypted=_is_encrypted(facts, target, step),
        components=observed.cluster.components,
        selected=step.selector,
        preview=step.preview,
        standby=course.switch.slice,
        activator_namespace=activators.namespace if activators else "",
        evaluation=evaluating.job if evaluating else None,
        explainer=explainer,
    )


def _routes(facts: Facts, course: Course, explainer: Explainer | None) -> list[Any]:
    explained = model_name(facts.owner.name, explainer) if explainer else None
    kinds = facts.observed.cluster.kinds
    return build_routes(facts.owner, course.wish.route, course.step.route, kinds, explained)


def _explainer(facts: Facts, wish: Wish, stable: str | None) -> Explainer | None:
    """Return the explainer of the revision that serves; the target until there is a stable one."""
    serving = facts.history.revision(stable) or wish.target
    return None if serving is None else find_explainer(facts.observed.service, wish.spec, serving)


def _is_encrypted(facts: Facts, target: Revision, step: Plan) -> bool:
    """Whether clients speak TLS: to the revision that they are led to, else to the stable one."""
    leading = facts.history.revision(step.selector or step.stable) or target
    return is_encrypted(leading.snapshot)


def _live(facts: Facts, target: Revision, step: Plan) -> list[tuple[Revision, int]]:
    """Return the revisions whose Deployments are applied: those with a snapshot to apply them from."""
    live = []
    for name, count in sorted(step.replicas.items()):
        revision = target if name == target.name else facts.history.revision(name)
        if revision is not None:
            live.append((revision, count))
    return live
