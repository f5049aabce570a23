"""The six conditions of a ModelService: which hold, why, and since when. Pure.

`Ready` sums up, `Available` says that it answers now, `Progressing` that it is on the way, `Degraded` that it
needs a person. `Reconciling` and `Stalled` are those of kstatus (sigs.k8s.io/cli-utils): never both True.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.explain.verdict import (
    PAUSED,
    Verdict,
    View,
    find_failure,
    given_up_verdict,
    is_ready,
    progress_verdict,
    ready_verdict,
)
from modelservice_operator.facts.recorded import (
    ABORTED,
    DEADLINE_EXCEEDED,
    INSUFFICIENT_CAPACITY,
    condition_of,
)
from modelservice_operator.facts.text.times import format_time, is_to_come

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


CONTENT_CHANGED = "ModelContentChanged"
AUTOSCALING_INACTIVE = "AutoscalingInactive"
_LONGEST_MESSAGE = 32_768
"""The API's limit: what is wrong with a spec may be longer, and then no status could be written at all."""


class Condition(msgspec.Struct, frozen=True):
    """One condition; `status` is a plain truth value here."""

    type: str
    status: bool
    reason: str
    message: str = ""


def compute_conditions(view: View) -> tuple[Condition, ...]:
    """Return all six conditions, in the order in which people read them."""
    ready = is_ready(view)
    # A pod that an autoscaler adds, or one that was replaced, may fail: what serves is not degraded by it.
    failure = None if ready else find_failure(view)
    verdict = ready_verdict(view) if ready else failure or progress_verdict(view)
    progressing = _progressing(view, verdict)
    is_stalled = not ready and verdict.is_final
    # Of a ready service that an autoscaler gives more pods nobody who waits for it need wait longer.
    is_reconciling = not ready and not is_stalled
    return (
        Condition("Ready", ready, verdict.reason, verdict.message),
        _available(view),
        progressing,
        _degraded(view, failure),
        _for_tools("Reconciling", is_reconciling, verdict, "AsDesired"),
        _for_tools("Stalled", is_stalled, verdict, "NotStalled"),
    )


def stamp(
    conditions: Sequence[Condition], old: Mapping[str, Any], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return conditions as status stores them; a time stays as long as the condition's status does.

    One to come is of a clock that was wrong: deadlines that go by it would never end.
    """
    text = format_time(now)
    stamped = []
    for condition in conditions:
        status = "True" if condition.status else "False"
        known = condition_of(old, condition.type)
        since = known.get("lastTransitionTime") if known.get("status") == status else None
        if is_to_come(since, now):
            since = None
        stamped.append(
            {
                "type": condition.type,
                "status": status,
                "observedGeneration": generation,
                "lastTransitionTime": since or text,
                "reason": condition.reason,
                "message": condition.message[:_LONGEST_MESSAGE],
            }
        )
    return stamped


def _for_tools(kind: str, status: bool, verdict: Verdict, otherwise: str) -> Condition:
    """A condition of kstatus: where it holds, tools show what it says and not what `Ready` does."""
    return (
        Condition(kind, True, verdict.reason, verdict.message)
        if status
        else Condition(kind, False, otherwise)
    )


def _available(view: View) -> Condition:
    """What a client would find: an available pod, behind a Service of ours that leads to it."""
    if view.available > 0 and view.obstacle is not None:
        return Condition("Available", False, view.obstacle.reason, view.obstacle.message)
    if view.available > 0:
        return Condition(
            "Available", True, "ReplicasAvailable", f"{view.available} replicas answer requests."
        )
    if view.phase is None:
        reason = view.runtime_problem.reason if view.runtime_problem else "InvalidSpec"
        return Condition("Available", False, reason, "There is no revision that could answer.")
    if view.wanted == 0 and view.problems is None:
        return Condition("Available", False, "ScaledToZero", "No replicas are wanted.")
    return Condition("Available", False, "NoReplicaAvailable", "No replica answers requests.")


def _progressing(view: View, verdict: Verdict) -> Condition:
    if view.phase is None:
        reason = "InvalidSpec" if view.problems else "RuntimeUnresolved"
        return Condition("Progressing", False, reason, "There is no revision to roll out.")
    if view.phase == "Aborted" and view.aborted:
        gate = view.progress.reason if view.progress else ""
        return Condition("Progressing", False, gate or ABORTED, f"Revision {view.target} was aborted.")
    if view.phase == "Aborted" or view.overdue:
        return Condition("Progressing", False, DEADLINE_EXCEEDED, f"Revision {view.target} made no progress.")
    if view.held:
        return Condition("Progressing", False, INSUFFICIENT_CAPACITY, f"Revision {view.target} has no room.")
    if view.phase == "Paused" and verdict.reason == PAUSED:
        return Condition("Progressing", True, PAUSED, verdict.message)
    if view.phase != "Complete" or view.has_old_pods:
        return Condition(
            "Progressing", True, "RolloutInProgress", f"Revision {view.target} is being rolled out."
        )
    if not view.is_settled or view.target_available < view.wanted:
        step = f" {view.cause.message}" if view.cause else ""
        return Condition("Progressing", True, "Scaling", f"{view.wanted} replicas are wanted.{step}")
    return Condition("Progressing", False, "Complete", f"Revision {view.target} is rolled out.")


def _degraded(view: View, failure: Verdict | None) -> Condition:
    if view.phase == "Aborted":
        # Remembers the cause, whatever else is wrong meanwhile.
        failure = given_up_verdict(view)
    if failure is not None and failure.is_failure:
        return Condition("Degraded", True, failure.reason, failure.message)
    if view.content_changed:
        return Condition("Degraded", True, CONTENT_CHANGED, view.content_changed)
    if view.inactive:
        return Condition("Degraded", True, AUTOSCALING_INACTIVE, view.inactive)
    return Condition("Degraded", False, "AsExpected")
