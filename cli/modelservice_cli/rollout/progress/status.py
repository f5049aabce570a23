"""`rollout status`: how far a change is, and what holds it up. Pure.

The operator's status is the source: the root cause and the remedy are its sentences. Pods add which of them
it is about.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from modelservice_cli.rollout.facts import Facts, Object
from modelservice_cli.rollout.pods import PodTrouble, pod_troubles
from modelservice_cli.rollout.report import Part, Table, one_line
from modelservice_operator.facts.recorded import condition_of, is_given_up

State = Literal["Unobserved", "Progressing", "Complete", "Degraded", "Stalled", "GivenUp"]
"""Degraded: complete, but something needs a person. Stalled: it goes on only when a person acts."""
EXIT_CODES: Mapping[State, int] = {"Complete": 0, "Degraded": 1, "Stalled": 1, "GivenUp": 1}
"""States in which a change has come to its end."""
_PODS_SHOWN = 10
_UNKNOWN = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionStatus:
    """One revision that has pods, or shall have; None is what the user may not read."""

    revision: str
    role: str
    wanted: int | None
    ready: int | None
    available: int | None
    weight: int
    """Percent of the traffic that it is to get."""
    traffic: int
    """Percent of the available pods that are its own."""
    model: str | None
    image: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """What `-o json` prints; everything else is drawn from it."""

    name: str
    namespace: str
    generation: int
    state: State
    reason: str
    message: str
    """The one root cause, and the remedy."""
    replicas: int | None
    """Pods that the spec asks for."""
    revisions: tuple[RevisionStatus, ...]
    conditions: tuple[Object, ...]
    pods: tuple[PodTrouble, ...]
    """Those that are not ready."""
    unreadable: tuple[str, ...]
    """What the user may not read."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def rollout_status(facts: Facts) -> RolloutStatus:
    """Return how far the change is."""
    state, reason, message = _judge(facts)
    return RolloutStatus(
        name=facts.name,
        namespace=facts.namespace,
        generation=_generation(facts),
        state=state,
        reason=reason,
        message=message,
        replicas=facts.spec.get("replicas"),
        revisions=tuple(_revision(facts, one) for one in _shown_revisions(facts)),
        conditions=tuple(facts.status.get("conditions") or ()),
        pods=pod_troubles(facts),
        unreadable=facts.unreadable,
    )


def _generation(facts: Facts) -> int:
    return int(facts.service["metadata"].get("generation") or 0)


def _judge(facts: Facts) -> tuple[State, str, str]:
    status, generation = facts.status, _generation(facts)
    if status.get("observedGeneration") != generation:
        return (
            "Unobserved",
            "NotObserved",
            f"The operator has not seen generation {generation} yet. If this stays so, see whether it runs.",
        )
    ready, degraded = condition_of(status, "Ready"), condition_of(status, "Degraded")
    reason, message = str(ready.get("reason", "")), str(ready.get("message", ""))
    if ready.get("status") == "True":
        if degraded.get("status") != "True":
            return "Complete", reason, message
        return "Degraded", str(degraded.get("reason")), str(degraded.get("message"))
    if condition_of(status, "Stalled").get("status") != "True":
        return "Progressing", reason, message
    is_over = is_given_up(status, facts.target or "")
    return ("GivenUp" if is_over else "Stalled"), reason, message


def _shown_revisions(facts: Facts) -> list[str]:
    """Stable first, the target last, those that are leaving in between."""
    traffic = [one["revision"] for one in facts.status.get("traffic") or ()]
    found = {*traffic, *(facts.deployments or {}), *filter(None, (facts.stable, facts.target))}
    rank = {facts.target: 2, facts.stable: 0}
    return sorted(found, key=lambda one: (rank.get(one, 1), one))


def _revision(facts: Facts, revision: str) -> RevisionStatus:
    shares = {one["revision"]: one for one in facts.status.get("traffic") or ()}
    share = shares.get(revision) or {}
    record = facts.record(revision)
    counts = _counts(facts, revision)
    return RevisionStatus(
        revision=revision,
        role=facts.role(revision) or "leaving",
        **counts,
        weight=share.get("desired", 0),
        traffic=share.get("actual", 0),
        model=record.model if record else None,
        image=record.image if record else None,
    )


def _counts(facts: Facts, revision: str) -> dict[str, int | None]:
    if facts.deployments is None:
        return {"wanted": None, "ready": None, "available": None}
    deployment = facts.deployments.get(revision) or {"spec": {"replicas": 0}}
    counted = deployment.get("status") or {}
    return {
        "wanted": deployment["spec"].get("replicas", 1),
        "ready": counted.get("readyReplicas", 0),
        "available": counted.get("availableReplicas", 0),
    }


def status_report(status: RolloutStatus) -> list[Part]:
    """Return the status for people."""
    said = f"\n{status.reason}: {one_line(status.message)}" if status.message else ""
    parts: list[Part] = [f"{status.name} in namespace {status.namespace}: {_STATES[status.state]}{said}"]
    if status.revisions:
        parts.append(_revision_table(status))
    if status.conditions:
        parts.append(_condition_table(status))
    if status.pods:
        parts.append(_pod_table(status))
    if status.unreadable:
        parts.append(
            f"You may not read {', '.join(status.unreadable)} here: what they would tell is missing."
        )
    return parts


_STATES: Mapping[State, str] = {
    "Unobserved": "not seen by the operator yet",
    "Progressing": "in progress",
    "Complete": "complete",
    "Degraded": "complete, but it needs you",
    "Stalled": "it needs you",
    "GivenUp": "given up, it needs you",
}


def _revision_table(status: RolloutStatus) -> Table:
    return Table(
        ("REVISION", "ROLE", "WANTED", "READY", "AVAILABLE", "TRAFFIC", "GOAL", "MODEL"),
        tuple(
            (
                one.revision,
                one.role,
                *(
                    _UNKNOWN if count is None else str(count)
                    for count in (one.wanted, one.ready, one.available)
                ),
                f"{one.traffic}%",
                f"{one.weight}%",
                one.model or _UNKNOWN,
            )
            for one in status.revisions
        ),
    )


def _condition_table(status: RolloutStatus) -> Table:
    """Those that people read; Reconciling and Stalled repeat them for tools."""
    conditions = [one for one in status.conditions if one["type"] not in ("Reconciling", "Stalled")]
    return Table(
        ("CONDITION", "HOLDS", "SINCE", "WHY"),
        tuple(
            (
                str(one["type"]),
                {"True": "yes", "False": "no"}.get(one["status"], "unknown"),
                str(one.get("lastTransitionTime", "")),
                _why(one, status.message),
            )
            for one in conditions
        ),
    )


def _why(condition: Object, said: str) -> str:
    """The reason, with the message unless it has been said at the top."""
    message = condition.get("message")
    return f"{condition['reason']}: {message}" if message and message != said else str(condition["reason"])


def _pod_table(status: RolloutStatus) -> Table:
    rows = [(one.pod, one.revision, one.phase, _pod_why(one, status.reason)) for one in status.pods]
    more = len(rows) - _PODS_SHOWN
    shown = rows[:_PODS_SHOWN] + ([(f"and {more} more", "", "", "")] if more > 0 else [])
    return Table(("POD NOT READY", "REVISION", "PHASE", "WHY"), tuple(shown))


def _pod_why(pod: PodTrouble, said: str) -> str:
    """The reason, with the message unless that reason has been explained at the top."""
    if not pod.reason:
        return "-"
    return pod.reason if pod.reason == said or not pod.message else f"{pod.reason}: {pod.message}"


def status_line(status: RolloutStatus) -> str:
    """Return the status as one line, for a log."""
    revisions = ", ".join(
        f"{one.revision} ({one.role}) {_shown(one.available)} of {_shown(one.wanted)} available"
        + (f" {one.traffic}%" if len(status.revisions) > 1 else "")
        for one in status.revisions
    )
    parts = (f"{status.name}: {_STATES[status.state]}", revisions, f"{status.reason}: {status.message}")
    return one_line("; ".join(part for part in parts if part))


def _shown(count: int | None) -> str:
    return _UNKNOWN if count is None else str(count)
