"""`rollout status`: how far a change is, and what holds it up. Pure.

The operator's status is the source: the root cause and the remedy are its sentences. Pods add which of them
it is about.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from modelservice_cli.rollout.facts import Facts, Object
from modelservice_cli.rollout.pods import PodTrouble, pod_troubles
from modelservice_cli.rollout.progress.change import Change, read_change
from modelservice_operator.facts.recorded import condition_of, is_given_up

State = Literal["Unobserved", "Progressing", "Paused", "Complete", "Degraded", "Stalled", "GivenUp"]
"""Paused: it goes on when a person says so. Degraded: complete, but something needs a person. Stalled: it
goes on only when a person mends something."""
EXIT_CODES: Mapping[State, int] = {"Complete": 0, "Degraded": 1, "Stalled": 1, "GivenUp": 1}
"""States in which a change has come to its end."""
_GOING_ON = frozenset({"Progressing", "Verifying", "Promoting", "Paused"})
"""Phases in which a change is not at its end, whatever the conditions say of the pods."""


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
    rollout: Object
    """`status.rollout` as the operator wrote it."""
    outcomes: tuple[Object, ...]
    """What became of the revisions, the newest last."""
    settled: bool
    """Whether the counts and the operator's status speak of one moment."""
    change: Change | None
    """`rollout`, read for people."""

    @property
    def verdicts(self) -> tuple[Object, ...]:
        """What the gates said, the newest last."""
        return tuple(self.rollout.get("verdicts") or ())

    @property
    def exit_code(self) -> int | None:
        """With what a command ends that follows the change, None while it goes on."""
        return EXIT_CODES.get(self.state)

    @property
    def waits_for(self) -> str:
        """What a person has to say before it goes on, and why; empty where it waits for nobody."""
        pause = self.change.pause if self.change is not None else None
        if self.state != "Paused" or pause is None or not pause.needs_person:
            return ""
        return f"{pause.why}; say {pause.remedy}"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON: what was read, not what is made of it for people."""
        found = asdict(self)
        del found["change"]
        return found


def rollout_status(facts: Facts) -> RolloutStatus:
    """Return how far the change is."""
    change = read_change(facts)
    state, reason, message = _judge(facts, change)
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
        rollout=facts.rollout,
        outcomes=facts.outcomes,
        settled=facts.settled,
        change=change,
    )


def _generation(facts: Facts) -> int:
    return int(facts.service["metadata"].get("generation") or 0)


def _judge(facts: Facts, change: Change | None) -> tuple[State, str, str]:
    status, generation = facts.status, _generation(facts)
    if status.get("observedGeneration") != generation:
        return (
            "Unobserved",
            "NotObserved",
            f"The operator has not seen generation {generation} yet. If this stays so, see whether it runs.",
        )
    state = _state(facts, change)
    condition = condition_of(status, _telling(status, state))
    return state, str(condition.get("reason", "")), str(condition.get("message", ""))


def _telling(status: Object, state: State) -> str:
    """Return the condition that says why the state is what it is."""
    if condition_of(status, "Ready").get("status") != "True" or state == "Complete":
        return "Ready"
    return "Degraded" if condition_of(status, "Degraded").get("status") == "True" else "Progressing"


def _state(facts: Facts, change: Change | None) -> State:
    status, target = facts.status, facts.target or ""
    # Of a revision that serves already nothing but the conditions tells whether something is wrong.
    phase = change.phase if change and change.revision == target != facts.stable else ""
    is_stalled = condition_of(status, "Stalled").get("status") == "True"
    if phase == "Aborted" or (is_stalled and is_given_up(status, target)):
        return "GivenUp"
    if is_stalled:
        return "Stalled"
    if phase in _GOING_ON:
        return "Paused" if change and change.pause and change.pause.needs_person else "Progressing"
    if condition_of(status, "Ready").get("status") != "True":
        return "Progressing"
    return "Degraded" if condition_of(status, "Degraded").get("status") == "True" else "Complete"


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
