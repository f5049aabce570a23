"""What people ask of a rollout by an annotation: to go on, to wait, to abort, to try again. Pure.

The annotation's value is `VERB@REVISION`, or `VERB@REVISION@ANYTHING` to ask the same once more. It is acted
on once: the status records it together with the answer. So a value that stays for ever asks nothing for ever,
and an operator that is killed before the record is written decides the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from modelservice_operator.facts import labels
from modelservice_operator.facts.recorded import is_given_up as is_given_up_by_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.rollout.model import Verb

LONGEST_REQUEST = 128
_DONE = {
    "promote": "is promoted: no further step or person is waited for",
    "pause": "is paused",
    "resume": "goes on",
    "abort": "was aborted",
    "retry": "is tried again",
}
_STEPS: dict[str, Verb] = {"promote": "promote", "pause": "pause", "resume": "resume"}
_UNPINNED = ("pause", "resume")
"""What does no harm to another revision than the one that was meant."""
_REMEMBERED = 32
"""Aborted revisions that are kept: more than most histories hold."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the newest request."""

    request: str
    accepted: bool
    message: str


class Steering(msgspec.Struct, frozen=True, kw_only=True):
    """What holds from now on."""

    aborted: tuple[str, ...] = ()
    """Revisions that are tried no more until somebody asks for it, the newest last."""
    retries: bool = False
    """Whether the target begins anew now."""
    verb: Verb | None = None
    """What a person asks of the steps, right now."""
    answer: Answer | None = None

    def with_aborted(self, revision: str) -> Steering:
        """Return the same with one more aborted revision."""
        return replace(self, aborted=(*self.without(revision), revision)[-_REMEMBERED:])

    def trying_again(self, revision: str) -> Steering:
        """Return the same where the target begins anew, though nobody has asked."""
        return replace(self, aborted=self.without(revision), retries=True)

    def without(self, revision: str) -> tuple[str, ...]:
        """Return the aborted revisions but one."""
        return tuple(one for one in self.aborted if one != revision)


def read_steering(facts: Facts, target: str) -> Steering:
    """Return what the status has recorded, changed by a request that has not been answered yet."""
    status = facts.status
    # One whose record is gone stays: a spec that comes back to it later makes the same revision again.
    aborted = tuple(one for one in status.get("abortedRevisions") or () if one != facts.stable)[-_REMEMBERED:]
    annotations = facts.observed.service["metadata"].get("annotations") or {}
    request = str(annotations.get(labels.ROLLOUT_ACTION) or "").strip()[:LONGEST_REQUEST]
    answered = read_answer(status)
    known = Steering(aborted=aborted, answer=answered if request else None)
    if not request or (answered is not None and answered.request == request):
        return known
    verb, _, rest = request.partition("@")
    revision = rest.partition("@")[0] or (target if verb in _UNPINNED else "")
    refusal = _refusal(facts, verb, revision, target)
    if refusal is not None:
        return replace(known, answer=Answer(request=request, accepted=False, message=refusal))
    return _obeyed(known, verb, request, target)


def _obeyed(known: Steering, verb: str, request: str, target: str) -> Steering:
    answer = Answer(request=request, accepted=True, message=f"Revision {target} {_DONE[verb]}.")
    if verb == "abort":
        return replace(known.with_aborted(target), answer=answer)
    if verb == "retry":
        return Steering(aborted=known.without(target), retries=True, answer=answer)
    return replace(known, verb=_STEPS[verb], answer=answer)


def _refusal(facts: Facts, verb: str, revision: str, target: str) -> str | None:
    """Return why a request changes nothing, None where it does."""
    if verb not in _DONE:
        return f"Nothing was done: expected {', '.join(f'{one}@REVISION' for one in _DONE)}."
    if revision != target:
        return f"Nothing was done: the revision of the spec is {target}."
    if facts.stable == target:
        return f"Nothing was done: revision {target} is rolled out."
    if facts.stable is None and verb != "retry":
        return "Nothing was done: there is no earlier revision that could serve."
    is_given_up = is_given_up_by_status(facts.status, target)
    if verb == "retry" and not is_given_up:
        return f"Nothing was done: revision {target} was not given up."
    if verb in _STEPS and is_given_up:
        return f"Nothing was done: revision {target} was given up; 'retry' tries it again."
    return _pause_refusal(facts, verb, target)


def _pause_refusal(facts: Facts, verb: str, target: str) -> str | None:
    """Return why there is nothing to pause, or to resume."""
    rollout = facts.status.get("rollout") or {}
    paused = rollout.get("paused") if rollout.get("revision") == target else None
    if verb == "pause" and paused == "Requested":
        return f"Nothing was done: revision {target} is paused."
    if verb == "resume" and not paused:
        return f"Nothing was done: revision {target} is not paused."
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
