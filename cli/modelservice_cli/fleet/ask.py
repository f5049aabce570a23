"""`fleet approve`, `pause`, `resume`, `abort`, `rollback`: a request to the operator, in an annotation. Pure.

The spec stays as it is, so a tool that compares it with Git sees no difference. Whether a request changes
anything is decided by the operator alone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from modelservice_cli.errors import CommandError
from modelservice_cli.fleet.status import fleet_status
from modelservice_cli.rollout.facts import Object
from modelservice_operator.facts.labels import FLEET_ACTION

Verb = Literal["approve", "pause", "resume", "abort", "rollback"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the operator says to a request."""

    accepted: bool
    message: str


def plan_request(rollout: Object, verb: Verb, wave: str | None, now: datetime) -> str:
    """Return what to ask. CommandError: no wave is named and none waits, or there is none of that name.

    The time makes it another request than the last one.
    """
    what = f"approve@{_wave_to_approve(rollout, wave)}" if verb == "approve" else verb
    return f"{what}@{now:%Y%m%dT%H%M%S.%fZ}"


def _wave_to_approve(rollout: Object, wave: str | None) -> str:
    """The wave that is named, else that whose turn it is, or the next one that needs a person."""
    status = fleet_status(rollout)
    if wave is not None:
        names = [str(one.get("name")) for one in (rollout.get("spec") or {}).get("waves") or ()]
        if wave not in names:
            raise CommandError(
                f"--wave: {status.name} has no wave {wave!r}, it has: {', '.join(names) or 'none'}"
            )
        return wave
    held = [one.name for one in status.waves if one.needs_approval and one.turn != "done"]
    if held:
        return held[0]
    raise CommandError(
        f"no wave of {status.name} waits for an approval: 'modelservice fleet status {status.name}' shows "
        "them; --wave approves one before it has its turn"
    )


def with_request(rollout: Object, request: str) -> dict[str, Any]:
    """Return the RuntimeRollout with the request."""
    metadata = rollout["metadata"]
    annotations = {**(metadata.get("annotations") or {}), FLEET_ACTION: request}
    return {**rollout, "metadata": {**metadata, "annotations": annotations}}


def find_answer(rollout: Object, request: str) -> Answer | None:
    """Return the operator's answer, None where it has not answered this yet.

    CommandError: another request has taken its place, or somebody took it away.
    """
    known = (rollout.get("status") or {}).get("action") or {}
    if known.get("request") == request:
        return Answer(bool(known.get("accepted")), str(known.get("message") or ""))
    metadata = rollout["metadata"]
    asked = (metadata.get("annotations") or {}).get(FLEET_ACTION)
    if asked != request:
        now = f"{asked!r} has taken its place" if asked else "it was taken away"
        raise CommandError(
            f"the operator's answer to the request for {metadata['name']} is not known, because {now}: "
            "see 'fleet status', and run the command again"
        )
    return None
