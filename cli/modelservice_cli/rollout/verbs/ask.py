"""`rollout promote`, `pause`, `resume`, `abort`, `retry`: a request to the operator, in an annotation. Pure.

The spec stays as it is, so a tool that compares it with Git sees no difference.
"""

from datetime import datetime
from typing import Any, Literal

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.facts import Facts
from modelservice_operator.decide.change.steering import Answer, read_answer
from modelservice_operator.facts.labels import ROLLOUT_ACTION
from modelservice_operator.facts.recorded import is_aborted, is_given_up

Verb = Literal["promote", "pause", "resume", "abort", "retry"]


def plan_request(facts: Facts, verb: Verb, now: datetime) -> str | None:
    """Return what to ask, None where it would change nothing. Raises CommandError.

    The time makes it another request than the last one.
    """
    if facts.status.get("observedGeneration") != facts.service["metadata"].get("generation"):
        raise CommandError(
            f"the operator has not seen the newest edit of {facts.name} yet: run the command again, or see "
            "whether the operator runs"
        )
    target = facts.target
    if target is None or _is_rolled_out(facts) or _is_pointless(facts, verb, target):
        return None
    return f"{verb}@{target}@{now:%Y%m%dT%H%M%S.%fZ}"


def _is_rolled_out(facts: Facts) -> bool:
    """A change whose old revision may come back still has something to ask of: the operator knows what."""
    return facts.target == facts.stable and not facts.rollout.get("previousRevision")


def _is_pointless(facts: Facts, verb: Verb, target: str) -> bool:
    if verb == "abort":
        # What missed its deadline can be aborted still: then no longer deadline tries it again.
        return is_aborted(facts.status, target)
    return verb == "retry" and not is_given_up(facts.status, target)


def nothing_to_do(facts: Facts, verb: Verb) -> str:
    """Return why nothing is asked."""
    if facts.target is None or _is_rolled_out(facts):
        return f"{facts.name}: nothing is being rolled out; nothing is written"
    if verb == "abort":
        return f"{facts.name}: revision {facts.target} was aborted already; nothing is written"
    return f"{facts.name}: revision {facts.target} was not given up; nothing is written"


def with_request(facts: Facts, request: str) -> dict[str, Any]:
    """Return the ModelService with the request."""
    metadata = facts.service["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ROLLOUT_ACTION: request}
    return {**facts.service, "metadata": {**metadata, "annotations": annotations}}


def find_answer(facts: Facts, request: str) -> Answer | None:
    """Return the operator's answer, None where it has not answered this yet.

    CommandError: another request has taken its place, or somebody took it away.
    """
    answer = read_answer(facts.status)
    if answer is not None and answer.request == request:
        return answer
    asked = (facts.service["metadata"].get("annotations") or {}).get(ROLLOUT_ACTION)
    if asked != request:
        now = f"{asked!r} has taken its place" if asked else "it was taken away"
        raise CommandError(
            f"the operator's answer to the request for {facts.name} is not known, because {now}: "
            "see 'rollout status', and run the command again"
        )
    return None
