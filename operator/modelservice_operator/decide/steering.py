"""What people ask of a rollout by an annotation: to abort it, or to try a revision again. Pure.

The annotation's value is `VERB@REVISION`, or `VERB@REVISION@ANYTHING` to ask the same once more. It is acted
on once: the status records it together with the answer. So a value that stays for ever asks nothing for ever,
and an operator that is killed before the record is written decides the same again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts import labels
from modelservice_operator.facts.recorded import is_given_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.decide.decision_facts import Facts

LONGEST_REQUEST = 128
_REMEMBERED = 32
"""Aborted revisions that are kept: more than most histories hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of the newest request."""

    request: str
    accepted: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What holds from now on."""

    aborted: tuple[str, ...] = ()
    """Revisions that are tried no more until somebody asks for it, the newest last."""
    retries: bool = False
    """Whether the target begins anew now."""
    answer: Answer | None = None


def read_steering(facts: Facts, target: str) -> Steering:
    """Return what the status has recorded, changed by a request that has not been answered yet."""
    status = facts.status
    # One whose record is gone stays: a spec that comes back to it later makes the same revision again.
    aborted = tuple(one for one in status.get("abortedRevisions") or () if one != facts.stable)[-_REMEMBERED:]
    annotations = facts.observed.service["metadata"].get("annotations") or {}
    request = str(annotations.get(labels.ROLLOUT_ACTION) or "").strip()[:LONGEST_REQUEST]
    answered = read_answer(status)
    if not request or (answered is not None and answered.request == request):
        return Steering(aborted=aborted, answer=answered if request else None)
    verb, _, rest = request.partition("@")
    revision = rest.partition("@")[0]
    refusal = _refusal(facts, verb, revision, target)
    if refusal is not None:
        return Steering(aborted=aborted, answer=Answer(request=request, accepted=False, message=refusal))
    others = tuple(one for one in aborted if one != target)
    if verb == "abort":
        answer = Answer(request=request, accepted=True, message=f"Revision {target} was aborted.")
        return Steering(aborted=(*others, target)[-_REMEMBERED:], answer=answer)
    answer = Answer(request=request, accepted=True, message=f"Revision {target} is tried again.")
    return Steering(aborted=others, retries=True, answer=answer)


def _refusal(facts: Facts, verb: str, revision: str, target: str) -> str | None:
    """Return why a request changes nothing, None where it does."""
    if verb not in ("abort", "retry"):
        return "Nothing was done: expected abort@REVISION or retry@REVISION."
    if revision != target:
        return f"Nothing was done: the revision of the spec is {target}."
    if facts.stable == target:
        return f"Nothing was done: revision {target} is rolled out."
    if facts.stable is None:
        return "Nothing was done: there is no earlier revision that could serve."
    if verb == "retry" and not is_given_up(facts.status, target):
        return f"Nothing was done: revision {target} was not given up."
    return None


def read_answer(status: Mapping[str, Any]) -> Answer | None:
    """Return the answer that the status has recorded."""
    known = (status.get("rollout") or {}).get("action") or {}
    if not known.get("request"):
        return None
    return Answer(
        request=str(known["request"]),
        accepted=bool(known.get("accepted")),
        message=str(known.get("message") or ""),
    )


def write_answer(answer: Answer) -> dict[str, Any]:
    """Return `status.rollout.action`."""
    return {"request": answer.request, "accepted": answer.accepted, "message": answer.message}
