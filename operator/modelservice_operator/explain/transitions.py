"""What changed between two statuses and is worth a Kubernetes Event. Pure."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from modelservice_operator.decide.change.steering import Answer, read_answer
from modelservice_operator.explain.verdict import WAITS
from modelservice_operator.facts.recorded import (
    ABORTED,
    DEADLINE_EXCEEDED,
    INSUFFICIENT_CAPACITY,
    condition_of,
    is_aborted,
)
from modelservice_operator.facts.text.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_RESULTS = ("Failed", "Inconclusive", "Passed")
"""What one of them says, the look as a whole says, the first of them."""
_FITS = "clients of the old revision can go on with it."


class Transition(msgspec.Struct, frozen=True):
    """Something worth a Kubernetes Event: it happened now, and did not hold before."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    repeats: bool = False
    """Whether it says what the last one of its reason said: then it is counted there."""


def compute_transitions(
    old_status: Mapping[str, Any], new_status: Mapping[str, Any]
) -> tuple[Transition, ...]:
    """Return what changed between two statuses and is worth an Event."""
    found = []
    target = new_status.get("targetRevision")
    if target and target != old_status.get("targetRevision") and not is_aborted(new_status, target):
        found.append(Transition("Normal", "RolloutStarted", f"Revision {target} is being rolled out."))
    answer = read_answer(new_status)
    if answer is not None and answer != read_answer(old_status):
        found.append(_answered(answer))
    found += _rollout_transitions(_rollout(old_status), _rollout(new_status))
    stable = new_status.get("stableRevision")
    if stable and stable != old_status.get("stableRevision"):
        is_back = _rollout(new_status).get("phase") == "Aborted"
        reason = "RolloutTakenBack" if is_back else "RolloutComplete"
        found.append(Transition("Normal", reason, f"Revision {stable} is the stable one."))
    before, after = (_rollout(status).get("capacity") or {} for status in (old_status, new_status))
    if after.get("surge") is not None and after["surge"] != before.get("surge"):
        left = f"The rollout goes on with {after['surge']} pods above the wanted number"
        found.append(Transition("Normal", "SurgeWithoutRoom", f"{left}: {after.get('message')}"))
    found += _condition_transitions(old_status, new_status)
    return tuple(found)


def _answered(answer: Answer) -> Transition:
    """What else stands in a request makes it differ from the one before: no news to people."""
    asked = redact("@".join(answer.request.split("@")[:2]))
    if answer.accepted:
        return Transition("Normal", "RolloutActionAccepted", f"{asked}: {answer.message}")
    return Transition("Warning", "RolloutActionRefused", f"{asked}: {answer.message}")


def _rollout_transitions(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Transition]:
    """Return the steps, the waits and what the gates said."""
    is_same = old.get("revision") == new.get("revision")
    before: Mapping[str, Any] = old if is_same else {}
    subject = f"Revision {new.get('revision')}"
    found = []
    if is_same and new.get("step") != old.get("step") and new.get("phase") not in ("Aborted", "Complete"):
        text = (
            f"{subject}: {new.get('step')} of {new.get('steps')} steps are done, weight {new.get('weight')}."
        )
        found.append(Transition("Normal", "RolloutStep", text))
    if new.get("paused") and new.get("paused") != before.get("paused"):
        found.append(Transition("Normal", "RolloutPaused", f"{subject} {WAITS[new['paused']]}."))
    if before.get("paused") and not new.get("paused") and new.get("phase") != "Aborted":
        found.append(Transition("Normal", "RolloutResumed", f"{subject} goes on."))
    known = before.get("verdicts") or ()
    return found + list(_looks(subject, new.get("verdicts") or (), known))


def _looks(
    subject: str, verdicts: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]
) -> Iterator[Transition]:
    """Tell of each new look at a gate once, by those metrics that decided it."""
    last: dict[str, str] = {}
    for (gate, _), look in groupby(verdicts, key=lambda one: (str(one.get("gate")), one.get("time"))):
        found = list(look)
        result = min((str(one.get("result")) for one in found), key=_RESULTS.index)
        repeats = result == last.get(gate) != "Failed"
        last[gate] = result
        if any(one not in known for one in found):
            said = "; ".join(_said(one) for one in found if one.get("result") == result)
            kind: Literal["Normal", "Warning"] = "Warning" if result == "Failed" else "Normal"
            yield Transition(kind, f"{gate}{result}", f"{subject}: {said}", repeats=repeats)


def _said(verdict: Mapping[str, Any]) -> str:
    limit = "at least " if verdict.get("gate") == "Evaluation" else "at most "
    names = (
        ("metric", ""),
        ("value", ""),
        ("threshold", limit),
        ("requests", "requests "),
        ("rows", "rows "),
    )
    said = ", ".join(f"{text}{verdict[name]}" for name, text in names if name in verdict)
    message = redact(str(verdict.get("message") or ""))
    return ": ".join(part for part in (said, message) if part) or _FITS


def _rollout(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return status.get("rollout") or {}


def _condition_transitions(old_status: Mapping[str, Any], new_status: Mapping[str, Any]) -> list[Transition]:
    found = []
    before, after = (condition_of(status, "Degraded") for status in (old_status, new_status))
    given_up = _is_overdue(new_status) and not _is_overdue(old_status)
    is_same_target = new_status.get("targetRevision") == old_status.get("targetRevision")
    is_news = before.get("reason") != after.get("reason") or (
        after.get("reason") == ABORTED and not is_same_target
    )
    if after.get("status") == "True" and (is_news or given_up):
        reason = DEADLINE_EXCEEDED if given_up else str(after.get("reason"))
        found.append(Transition("Warning", reason, str(after.get("message"))))
    # Pods of another revision have not shown yet whether they do better; and where room is looked for again,
    # whether there is any will be seen.
    is_solved = before.get("reason") not in (ABORTED, INSUFFICIENT_CAPACITY)
    if before.get("status") == "True" and after.get("status") == "False" and is_same_target and is_solved:
        found.append(Transition("Normal", "Recovered", f"Solved: {before.get('reason')}."))
    before, after = (condition_of(status, "Ready") for status in (old_status, new_status))
    if after.get("status") == "True" and before.get("status") != "True":
        found.append(Transition("Normal", str(after.get("reason")), str(after.get("message"))))
    return found


def _is_overdue(status: Mapping[str, Any]) -> bool:
    return bool(condition_of(status, "Progressing").get("reason") == DEADLINE_EXCEEDED)
