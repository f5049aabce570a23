"""The one reason that stands for the state of a ModelService, chosen among all that hold. Pure.

The order of choice is here; what the six conditions make of it is in `conditions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.rollout.steps import (
    ANALYSIS_FAILED,
    CONTRACT_BROKEN,
    EVALUATION_FAILED,
    EVALUATION_INCONCLUSIVE,
    ROLLED_BACK,
)
from modelservice_operator.facts.recorded import (
    ABORTED,
    DEADLINE_EXCEEDED,
    INSUFFICIENT_CAPACITY,
    condition_of,
    is_aborted,
    is_given_up,
)
from modelservice_operator.facts.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.api import InvalidSpec
    from modelservice_operator.decide.rollout.model import Phase, Progress
    from modelservice_operator.decide.runtimes import RuntimeProblem
    from modelservice_operator.decide.standby.switch import Switch
    from modelservice_operator.explain.diagnose import Cause
    from modelservice_operator.explain.reach import Obstacle
    from modelservice_operator.facts.observed import ApplyFailure

PAUSED = "RolloutPaused"
"""Reason of Ready=False while a rollout waits for a time or a person."""
_HEALS = " The pods start by themselves then, within about two minutes."
"""Added to a cause while its pods are being tried: a revision that was given up has none.

The kubelet tries a volume again after at most 122 s (its exponentialbackoff.go)."""
_REMEDIES = {
    "QuotaExceeded": "Ask for a larger ResourceQuota.",
    "Forbidden": "Correct what it names, or allow the operator to write it.",
    "Rejected": "Correct what it names.",
}
"""What to do where the API server refused a write: its sentence says only what is wrong."""

_GATES = {
    EVALUATION_FAILED: "does worse than it may on the data of its evaluation and got no pod",
    EVALUATION_INCONCLUSIVE: "could not show in its evaluation that it is good enough and got no pod",
    CONTRACT_BROKEN: (
        "takes or gives something else than clients use and got no traffic (spec.rollout.contract: Warn "
        "lets it pass)"
    ),
    ANALYSIS_FAILED: "did worse than it may in an analysis and was aborted",
    ROLLED_BACK: "did worse than it may after the change and was taken back",
}
WAITS = {
    "PauseStep": "waits at a step",
    "Requested": "was paused",
    "Inconclusive": (
        "waits: an analysis could say nothing, for want of requests or data (send it requests, lower "
        "minRequests, or say resume or promote)"
    ),
    "AwaitingPromotion": "is ready behind the preview Service and waits for its promotion",
    "Preview": "is ready behind the preview Service for a while",
}


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that conditions follow from."""

    old: Mapping[str, Any]
    """The status before."""
    generation: int
    problems: InvalidSpec | None
    runtime_problem: RuntimeProblem | None
    failures: Sequence[ApplyFailure]
    phase: Phase | None
    """None where no revision can be made yet."""
    overdue: bool
    target: str
    stable: str | None
    wanted: int
    needed: int
    """Available pods without which the service is not ready: fewer than `wanted` with autoscaling."""
    available: int
    """Available pods of all revisions."""
    obstacle: Obstacle | None
    """Why clients do not reach available pods."""
    target_available: int
    is_settled: bool
    """The target's Deployment has the wanted replicas and its controller has seen them."""
    has_old_pods: bool
    has_pods: bool
    deadline_seconds: int
    cause: Cause | None
    progress: Progress | None
    """Steps and gates of the rollout."""
    evaluation: str | None
    """What the evaluation of the target waits for, where one goes on."""
    held: bool
    """Nothing of the target may be tried: its pod has no room beside the only one that serves."""
    no_room: str | None
    """What said that there is no room for the surge, where the rollout does without it."""
    aborted: bool
    """Somebody aborted the target."""
    inactive: str | None
    """Why the autoscaler of pods that are ready does not work."""
    standby: Switch | None
    """Who leads clients: the pods, or the activator."""
    content_changed: str | None
    """Why the pods of one revision cannot be trusted to serve the same model."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The one reason that stands for the whole state.

    `is_failure` says that a person is needed, `is_final` that nothing will change without one.
    """

    reason: str
    message: str
    is_failure: bool = False
    is_final: bool = False


def is_ready(view: View) -> bool:
    """Whether the service is what its spec asks for, and answers."""
    if view.problems or view.runtime_problem or view.phase != "Complete" or _blocking(view):
        return False
    if view.wanted == 0:
        return not view.has_pods and (not _sleeps(view) or _is_covered(view))
    is_rolled_out = view.is_settled and view.target_available >= view.needed and not view.has_old_pods
    return is_rolled_out and view.obstacle is None


def _sleeps(view: View) -> bool:
    """Whether a request is to wake it."""
    return view.standby is not None and view.standby.phase == "Asleep"


def _is_covered(view: View) -> bool:
    """Whether the activator stands in for its pods."""
    return view.standby is not None and view.standby.standby_since is not None and not view.standby.problem


def _blocking(view: View) -> ApplyFailure | None:
    """Return the refused write that speaks against Ready.

    A hiccup that passes by itself does not, while the service was ready for this very generation.
    """
    final = next((failure for failure in view.failures if not failure.transient), None)
    if final is not None or not view.failures:
        return final
    ready = condition_of(view.old, "Ready")
    was_ready = ready.get("status") == "True" and ready.get("observedGeneration") == view.generation
    return None if was_ready else view.failures[0]


def ready_verdict(view: View) -> Verdict:
    """Return what is said of a service that is ready."""
    if view.wanted == 0 and _sleeps(view):
        return Verdict(
            reason="ScaledToZero", message="No replica runs while nobody asks: a request wakes it."
        )
    if view.wanted == 0:
        return Verdict(reason="ScaledToZero", message="No replicas are wanted: raise spec.replicas to serve.")
    return Verdict(reason="Ready", message=f"{_count(view)} replicas are available.")


def _count(view: View) -> str:
    return f"{view.target_available} of {view.wanted}"


def find_failure(view: View) -> Verdict | None:
    """Return the first that needs a person: spec, runtime, writes, rollout, pods, Service, in this order."""
    if view.problems is not None:
        return _final("InvalidSpec", f"The spec is invalid{_serving_on(view)}: {view.problems}")
    if view.runtime_problem is not None:
        return _final(view.runtime_problem.reason, view.runtime_problem.message)
    refused = _blocking(view)
    if refused is not None:
        return _refused(refused)
    if view.phase == "Aborted":
        return given_up_verdict(view)
    if view.held:
        return _final(INSUFFICIENT_CAPACITY, _without_room(view))
    if view.overdue:
        return _overdue(view)
    if view.cause is not None and view.cause.failing:
        return Verdict(reason=view.cause.reason, message=_said(view.cause), is_failure=True)
    if view.wanted and view.obstacle is not None and view.obstacle.needs_person:
        return _final(view.obstacle.reason, view.obstacle.message)
    return None


def _said(cause: Cause) -> str:
    """What is wrong with pods that are being tried."""
    return cause.message + (_HEALS if cause.heals else "")


def _refused(failure: ApplyFailure) -> Verdict:
    message = redact(failure.message)
    if failure.name not in message:
        # Our own sentences name the object already; the API server's often do not.
        message = f"{failure.kind} {failure.name!r} cannot be written: {message}"
    needs_person = not failure.transient
    remedy = _REMEDIES.get(failure.reason)
    if remedy is not None:
        message = f"{message.rstrip('.')}. {remedy} It is tried again within 5 minutes."
    return Verdict(reason=failure.reason, message=message, is_failure=needs_person, is_final=needs_person)


def _final(reason: str, message: str) -> Verdict:
    return Verdict(reason=reason, message=message, is_failure=True, is_final=True)


def _serving_on(view: View) -> str:
    serving = view.stable or (view.target if view.available else None)
    return f" (revision {serving} serves on)" if serving else ""


def given_up_verdict(view: View) -> Verdict:
    """The cause was seen while there were pods: once they are gone, the old status is all that knows it."""
    if view.aborted:
        return _aborted_verdict(view)
    if is_given_up(view.old, view.target):
        known = condition_of(view.old, "Degraded")
        if known.get("status") == "True":
            return _final(str(known.get("reason")), str(known.get("message")))
    reason, why = _last_cause(view)
    return _final(
        reason,
        f"Revision {view.target} did not become available in {view.deadline_seconds} s and was given up; "
        f"revision {view.stable} serves on. To try it again raise spec.rollout.progressDeadlineSeconds; "
        f"to try another, change the spec.{why}",
    )


def _aborted_verdict(view: View) -> Verdict:
    known = condition_of(view.old, "Degraded")
    if view.progress is not None and view.progress.reason:
        return _gate_verdict(view, view.progress)
    is_same_target = view.old.get("targetRevision") == view.target
    if is_same_target and is_aborted(view.old, view.target) and known.get("reason") == ABORTED:
        return _final(ABORTED, str(known.get("message")))
    # What is said of a missed deadline names other ways out.
    _, why = ("", "") if is_given_up(view.old, view.target) else _last_cause(view)
    return _final(
        ABORTED,
        f"Revision {view.target} was aborted; revision {view.stable} serves on. To try it again use "
        "'modelservice rollout retry'; to be rid of it, put the spec back ('modelservice rollout undo')."
        f"{why}",
    )


def _gate_verdict(view: View, progress: Progress) -> Verdict:
    """A gate has stopped the target."""
    return _final(
        progress.reason,
        f"Revision {view.target} {_GATES.get(progress.reason, 'was stopped')}; {_who_serves(view)}. "
        f"{progress.message.rstrip('.')}. To try it again use 'modelservice rollout retry'"
        f"{_or_edit(progress)}{_or_undo(view)}.",
    )


def _who_serves(view: View) -> str:
    return f"revision {view.stable} serves on" if view.stable else "nothing has served before it"


def _or_undo(view: View) -> str:
    return "; to be rid of it, put the spec back ('modelservice rollout undo')" if view.stable else ""


def _or_edit(progress: Progress) -> str:
    is_evaluation = progress.reason in (EVALUATION_FAILED, EVALUATION_INCONCLUSIVE)
    return ", or change spec.rollout.evaluation" if is_evaluation else ""


def _last_cause(view: View) -> tuple[str, str]:
    """Return (reason, sentence) of what kept the target from becoming available."""
    if view.cause is not None and view.cause.failing:
        return view.cause.reason, f" Cause: {view.cause.message}"
    known = condition_of(view.old, "Degraded")
    is_of_target = view.old.get("targetRevision") == view.target and known.get("reason") != "InvalidSpec"
    if is_of_target and known.get("status") == "True":
        return str(known.get("reason")), f" Cause: {str(known.get('message')).removesuffix(_HEALS)}"
    return DEADLINE_EXCEEDED, f" Last seen: {view.cause.message}" if view.cause else ""


def _without_room(view: View) -> str:
    said = f" ({view.no_room.rstrip('.')})" if view.no_room else ""
    beside, missing, first = "the only pod that serves", "one more pod", "the old pod stops"
    if view.wanted > 1:
        # Several pods are in need of leave only where a whole second set is wanted.
        beside, missing = "the pods that serve", f"{view.wanted} more pods, or take another strategy"
        first = "the old pods stop"
    return (
        f"Revision {view.target} finds no room beside {beside}{said}. Make room for {missing}; or set "
        f"spec.rollout.allowDowntime: true, then {first} before anything new starts and nothing answers "
        "meanwhile. It is tried again every 10 minutes."
    )


def _one_first(view: View) -> str:
    if view.no_room is None:
        return ""
    said = view.no_room.rstrip(".")
    return f" There is no room for one more pod, so old pods stop before new ones start: {said}."


def _overdue(view: View) -> Verdict:
    """Past the deadline with nothing else to serve: it is never given up, so mending it heals."""
    if view.cause is not None and view.cause.failing:
        return _final(view.cause.reason, _said(view.cause))
    step = f" {view.cause.message}" if view.cause else ""
    return _final(
        DEADLINE_EXCEEDED,
        f"Revision {view.target} did not become available in {view.deadline_seconds} s: "
        f"{_count(view)} replicas are available.{step} It is still being tried; if it needs longer, raise "
        "spec.rollout.progressDeadlineSeconds.",
    )


def progress_verdict(view: View) -> Verdict:
    """Return what is said of a service that is neither ready nor in need of a person."""
    step = f" {view.cause.message}" if view.cause else ""
    if view.progress is not None and view.progress.paused and view.phase == "Paused":
        waits = WAITS[view.progress.paused]
        message = f"Revision {view.target} {waits}; {_count(view)} replicas are its own.{step}"
        return Verdict(reason=PAUSED, message=message)
    if view.evaluation is not None:
        so_far = f": {view.evaluation.rstrip('.')}." if view.evaluation else "."
        message = f"Revision {view.target} is evaluated before it gets a pod{so_far}"
        return Verdict(reason="RolloutInProgress", message=message)
    if view.phase != "Complete":
        message = f"Revision {view.target}: {_count(view)} replicas are available.{step}{_one_first(view)}"
        return Verdict(reason="RolloutInProgress", message=message)
    if view.has_old_pods and view.target_available >= view.needed:
        message = f"Revision {view.target} is available; pods of earlier revisions are still stopping."
        return Verdict(reason="RolloutInProgress", message=message)
    if view.wanted == 0 and not view.has_pods:
        said = view.standby.problem if view.standby else None
        why = f"{said}. Look at its Deployment" if said else "the activator is being told"
        message = f"No replica runs, and no request can wake it: {why}."
        return Verdict(reason="ActivatorUnavailable", message=message)
    if view.wanted == 0:
        return Verdict(reason="ScalingToZero", message="Pods are still stopping.")
    if view.obstacle is not None and view.target_available >= view.needed:
        return Verdict(reason=view.obstacle.reason, message=view.obstacle.message)
    return Verdict(reason="ReplicasUnavailable", message=f"{_count(view)} replicas are available.{step}")
