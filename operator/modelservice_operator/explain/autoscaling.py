"""What steers the number of pods, as the status tells it: the engine, its last decision and why. Pure.

Measured values change all the time. They are told as they were when the engine decided, so that a service at
rest is not written again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from modelservice_operator.decide.autoscaling.beginning import find_autoscaler
from modelservice_operator.decide.autoscaling.engine import OBJECTS
from modelservice_operator.decide.autoscaling.inactivity import describe_failure
from modelservice_operator.decide.change.wish import raw_replicas
from modelservice_operator.decide.resources.autoscaler import SIGNALS
from modelservice_operator.explain.conditions import Condition
from modelservice_operator.explain.diagnose.room import PREEMPTION
from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.observed import ScaledObjectChild
from modelservice_operator.facts.recorded import INSUFFICIENT_CAPACITY, SCALE_REFUSED, condition_of
from modelservice_operator.facts.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from modelservice_operator.api import Autoscaling
    from modelservice_operator.decide.autoscaling.engine import Obstacle, Scaling
    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.decide.standby.switch import Switch
    from modelservice_operator.explain.diagnose import Cause
    from modelservice_operator.explain.verdict import View
    from modelservice_operator.facts.observed import Observed

AUTOSCALING_ACTIVE = "AutoscalingActive"
NO_DECISION = "NoDecisionYet"
_STAYS = "The number of pods stays as it is"
_OBSTACLES: Mapping[Obstacle, str] = {
    "KedaMissing": (
        "the cluster serves no ScaledObjects. Install KEDA, or set spec.autoscaling.provider to Auto or "
        "Builtin."
    ),
    "AutoscalerMissing": (
        "modelservice-autoscaler is not installed. Set autoscaler.enabled in the chart's values; CPU, Memory "
        "and External go by provider HPA without it."
    ),
    "AutoscalerSilent": (
        "nothing has been heard of modelservice-autoscaler for a minute. Look at its Deployment, in the "
        "operator's namespace."
    ),
}
_LIMITS = {
    "MaxReplicas": "More than spec.autoscaling.maxReplicas ({most}) are not allowed.",
    "MinReplicas": "Fewer than spec.autoscaling.minReplicas ({fewest}) are not allowed.",
    "ScaleUpRate": "It may go up no faster (spec.autoscaling.behavior.scaleUp).",
    "ScaleDownRate": "It may go down no faster (spec.autoscaling.behavior.scaleDown).",
    "Stabilized": "It goes on when that has held for the stabilization window.",
}
_LIMITS_OF_HPA = {
    "TooManyReplicas": "MaxReplicas",
    "TooFewReplicas": "MinReplicas",
    "ScaleUpLimit": "ScaleUpRate",
    "ScaleDownLimit": "ScaleDownRate",
}
_MEASURED = " Measured then: "


class _Facts(msgspec.Struct, frozen=True):
    """What the sentences are made of."""

    scaling: Scaling
    observed: Observed
    view: View

    @property
    def name(self) -> str:
        return str(self.observed.service["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.observed.service["metadata"]["uid"])

    @property
    def asked(self) -> object:
        """What `/scale` says."""
        return raw_replicas(self.observed)

    @property
    def autoscaling(self) -> Autoscaling | None:
        return self.scaling.autoscaling


def autoscaling_status(decision: Decision) -> dict[str, Any] | None:
    """Return `status.autoscaling`, None where nobody steers."""
    if decision.scaling is None:
        return None
    requests = _pod_requests(decision, decision.scaling)
    return {"engine": decision.scaling.engine} | ({"podRequests": requests} if requests else {})


def _pod_requests(decision: Decision, scaling: Scaling) -> dict[str, str]:
    """Return the requests of which a target of Builtin is a percentage; an HPA looks at the pods."""
    if scaling.engine != "Builtin" or scaling.autoscaling is None or decision.serving is None:
        return {}
    (container, *_) = decision.serving.snapshot.template["spec"]["containers"]
    resources = container.get("resources") or {}
    # A limit without a request is a request too.
    requested = (resources.get("limits") or {}) | (resources.get("requests") or {})
    wanted = {
        one.type.lower() for one in scaling.autoscaling.metrics if one.target.average_utilization is not None
    }
    return {name: requested[name] for name in ("cpu", "memory") if name in wanted and name in requested}


def autoscaling_condition(observed: Observed, decision: Decision, view: View) -> tuple[Condition, ...]:
    """Return the condition AutoscalingActive, nothing where nobody steers."""
    if decision.scaling is None:
        return ()
    facts = _Facts(decision.scaling, observed, view)
    found = (
        _refused(facts)
        or _hindered(facts)
        or _at_rest(facts)
        or _waking(facts, decision.standby)
        or {"Builtin": _by_builtin, "HPA": _by_hpa, "Keda": _by_keda}[decision.scaling.engine](facts)
    )
    more = _without_ours(facts) + _without_sleep(decision.standby)
    return (_as_told(_with_room(_add(found, more), facts), view.old),)


def _without_ours(facts: _Facts) -> str:
    """Say that nobody takes the last pod: an HPA does not go to zero, modelservice-autoscaler does."""
    wanted, cluster = facts.autoscaling, facts.observed.cluster
    if facts.scaling.engine != "HPA" or wanted is None or wanted.min_replicas > 0:
        return ""
    if not cluster.scaler_address:
        return " Nobody takes the last pod: modelservice-autoscaler is not installed."
    if cluster.is_autoscaler_silent:
        return " Nobody takes the last pod: nothing has been heard of modelservice-autoscaler for a minute."
    return ""


def _without_sleep(switch: Switch | None) -> str:
    """Say why it cannot sleep, or why no request can wake it."""
    if switch is None or switch.problem is None:
        return ""
    effect = "No request can wake it" if switch.phase == "Asleep" else "It keeps one pod or more"
    return f" {effect}: {switch.problem}."


def _add(said: Condition, more: str) -> Condition:
    """Put a sentence in front of what was measured."""
    lead, mark, measured = said.message.partition(_MEASURED)
    return replace(said, message=f"{lead}{more}{mark}{measured}".strip())


def _say(status: bool, reason: str, message: str) -> Condition:
    return Condition(AUTOSCALING_ACTIVE, status, reason, message)


def _refused(facts: _Facts) -> Condition | None:
    """What the engine is told by cannot be written: often it is somebody else's."""
    for failure in facts.view.failures:
        if failure.kind in OBJECTS.values() and not failure.transient:
            return _say(False, failure.reason, f"{redact(failure.message)}. {_STAYS}.")
    return None


def _hindered(facts: _Facts) -> Condition | None:
    obstacle = facts.scaling.obstacle
    if obstacle is None:
        return None
    return _say(False, obstacle, f"{_STAYS}: {_OBSTACLES[obstacle]}")


def _at_rest(facts: _Facts) -> Condition | None:
    if facts.view.wanted > 0:
        return None
    if facts.autoscaling is not None and facts.autoscaling.min_replicas > 0:
        return _say(False, "SwitchedOff", "spec.replicas is 0: scale to 1 or more to switch it on.")
    return _say(True, "Asleep", f"{facts.scaling.engine}: nobody asks, so no pod runs; a request wakes it.")


def _waking(facts: _Facts, switch: Switch | None) -> Condition | None:
    if switch is None or switch.phase != "Waking":
        return None
    engine = facts.scaling.engine
    return _say(True, "Waking", f"{engine}: a request, or somebody, woke it; no pod leads clients yet.")


def _by_builtin(facts: _Facts) -> Condition:
    told = facts.view.old.get("autoscaler")
    if not told:
        return _say(False, NO_DECISION, "Builtin: modelservice-autoscaler has not decided yet.")
    if facts.asked is not None and told.get("desired") != facts.asked:
        # A request that woke it, or a person: the last decision was about something else.
        text = f"Builtin: {facts.asked} wanted, by somebody else; modelservice-autoscaler goes on from there."
        return _say(True, "Scaling", text)
    missing, limit = str(told.get("missing") or ""), told.get("limit")
    said = redact(str(told.get("message") or "")).rstrip(".")
    message = f"Builtin: {said or _steps(told)}.{_limit(limit, facts)}"
    if missing.startswith(SCALE_REFUSED):
        sentence = redact(missing.removeprefix(SCALE_REFUSED)).rstrip(".")
        return _say(False, "Forbidden", f"{_STAYS}, the API server refuses another: {sentence}. {message}")
    if missing:
        return _say(True, "DataMissing", f"{message} Missing: {redact(missing).rstrip('.')}.")
    return _say(True, limit or "Scaling", message)


def _steps(told: Mapping[str, Any]) -> str:
    return f"{told.get('replicas')} -> {told.get('desired')}"


def _by_hpa(facts: _Facts) -> Condition:
    child = find_autoscaler(facts.observed.others, facts.uid)
    failing = next(iter(child.failing), None) if child else None
    if failing is not None:
        return _say(False, str(failing.get("reason")), describe_failure(str(failing.get("message"))))
    if child is None or "ScalingActive" not in child.reasons:
        return _say(False, NO_DECISION, "HPA: the HorizontalPodAutoscaler has not decided yet.")
    limit = _LIMITS_OF_HPA.get(child.reasons.get("ScalingLimited", ""))
    lead = f"HPA: {child.desired} wanted.{_limit(limit, facts)}"
    measured = ", ".join(_measured(child.metrics, facts.autoscaling))
    return _say(True, limit or "Scaling", f"{lead}{_MEASURED}{measured}." if measured else lead)


def _by_keda(facts: _Facts) -> Condition:
    name = facts.name
    child = next(
        (
            one
            for one in facts.observed.others
            if isinstance(one, ScaledObjectChild) and one.owner_uid == facts.uid
        ),
        None,
    )
    said = {str(one["type"]): one for one in child.conditions} if child else {}
    ready = said.get("Ready", {})
    if ready.get("status") == "False":
        message = redact(str(ready.get("message") or "")).rstrip(".")
        text = f"{_STAYS}: KEDA says of ScaledObject {name!r}: {message}."
        return _say(False, str(ready.get("reason") or "NotReady"), text)
    if ready.get("status") != "True":
        text = f"KEDA has said nothing of ScaledObject {name!r} yet: it does within seconds where it runs."
        return _say(False, NO_DECISION, text)
    if said.get("Paused", {}).get("status") == "True":
        return _say(False, "Paused", f"{_STAYS}: ScaledObject {name!r} is paused by an annotation.")
    wanted = f"Keda: {facts.view.wanted} wanted"
    if said.get("Fallback", {}).get("status") == "True":
        return _say(True, "DataMissing", f"{wanted}, by the fallback: its triggers give no values.")
    is_active = said.get("Active", {}).get("status") == "True"
    return _say(True, "Scaling", f"{wanted}, its triggers are {'' if is_active else 'not '}active.")


def _limit(limit: str | None, facts: _Facts) -> str:
    scaling = facts.autoscaling
    if limit not in _LIMITS or scaling is None:
        return ""
    said = _LIMITS[limit].format(most=scaling.max_replicas, fewest=max(1, scaling.min_replicas))
    return f" {said}"


def _measured(metrics: Sequence[Mapping[str, Any]], autoscaling: Autoscaling | None) -> Iterator[str]:
    """Yield what an HPA measured, beside what it steers to."""
    targets = {one.type: one.target for one in autoscaling.metrics} if autoscaling else {}
    for metric in metrics:
        found = next((one for one in metric.values() if isinstance(one, dict)), {})
        name = str(found.get("name") or (found.get("metric") or {}).get("name"))
        kind = SIGNALS.get(name, "External" if metric.get("type") == "External" else name)
        target = targets.get(kind.split()[0])  # type: ignore[call-overload]
        current = found.get("current") or {}
        percent, value = current.get("averageUtilization"), current.get("averageValue")
        if percent is not None:
            yield f"{kind} {percent} %{_aim(target and target.average_utilization, ' %')}"
        elif value is not None or current.get("value") is not None:
            aim = target and (target.average_value or target.value or target.average_utilization)
            yield f"{kind} {value or current['value']}{_aim(aim)}"


def _aim(target: object, unit: str = "") -> str:
    return f" of {target}{unit}" if target else ""


def _with_room(found: Condition, facts: _Facts) -> Condition:
    """Add that there is no room for what is wanted: no engine can do anything about that."""
    view = facts.view
    run, wanted = view.available, view.wanted
    if not found.status or run >= wanted or view.phase != "Complete":
        return found
    if facts.observed.pods is None:
        # Not looked at this time: what was seen last still holds, or is soon seen not to.
        told = condition_of(view.old, AUTOSCALING_ACTIVE)
        is_known = told.get("reason") == INSUFFICIENT_CAPACITY
        return (
            _say(True, INSUFFICIENT_CAPACITY, str(told.get("message")))
            if is_known and str(told.get("message")).startswith(f"{wanted} wanted, ")
            else found
        )
    sentence = _without_room(view.cause, facts.observed, run, wanted)
    if sentence is None:
        return found
    message = f"{wanted} wanted, {run} run: {sentence} {found.message.partition(_MEASURED)[0]}"
    return _say(True, INSUFFICIENT_CAPACITY, message)


def _without_room(cause: Cause | None, observed: Observed, run: int, wanted: int) -> str | None:
    """Return what says that pods find no room, None where they are only on their way."""
    if cause is None or cause.reason == "Scheduling":
        return None
    missing = wanted - run
    if cause.reason == "QuotaExceeded":
        return f"the namespace has no room for {missing} more. {cause.message}"
    homeless = [
        scheduled
        for pod in observed.pods or ()
        if (scheduled := podlib.condition(pod, "PodScheduled")).get("reason") == "Unschedulable"
        and "deletionTimestamp" not in pod["metadata"]
    ]
    if not homeless:
        return None
    said = PREEMPTION.sub("", redact(str(homeless[0].get("message") or "")))
    if cause.reason == "Unschedulable" and not run:
        said = cause.message
    elif run:
        # The spec is right: pods of the same kind do run.
        said = f"{said.rstrip('.')}. Add nodes, or lower spec.autoscaling.maxReplicas."
    return f"no node has room for {min(len(homeless), missing)} more. {said}"


def _as_told(found: Condition, old: Mapping[str, Any]) -> Condition:
    """Keep what was measured when the engine decided, for as long as it decides nothing else."""
    lead, _, measured = found.message.partition(_MEASURED)
    told = str(condition_of(old, AUTOSCALING_ACTIVE).get("message") or "")
    if measured and told.startswith(lead + _MEASURED):
        return _say(found.status, found.reason, told)
    return found
