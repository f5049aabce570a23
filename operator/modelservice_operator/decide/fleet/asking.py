"""What people ask of a RuntimeRollout by an annotation: to go on, to wait, to end, to go back. Pure.

The annotation's value is `approve@WAVE`, `pause`, `resume`, `abort` or `rollback`, with `@ANYTHING` behind it
to ask the same once more. It is acted on once: the status records it together with the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from modelservice_operator.facts import labels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.decide.fleet.model import Run

LONGEST_REQUEST = 128
_VERBS = ("approve@WAVE", "pause", "resume", "abort", "rollback")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the newest request."""

    request: str
    accepted: bool
    message: str


def find_request(rollout: Mapping[str, Any]) -> str | None:
    """Return what is asked and has not been answered."""
    annotations = rollout["metadata"].get("annotations") or {}
    request = str(annotations.get(labels.FLEET_ACTION) or "").strip()[:LONGEST_REQUEST]
    known = read_answer(rollout.get("status") or {})
    return request if request and (known is None or known.request != request) else None


def read_answer(status: Mapping[str, Any]) -> Answer | None:
    """Return the answer that the status has recorded."""
    known = status.get("action") or {}
    if not known.get("request"):
        return None
    return Answer(
        request=str(known["request"]),
        accepted=bool(known.get("accepted")),
        message=str(known.get("message") or ""),
    )


def obey(run: Run, request: str, newer: str | None, now: datetime) -> tuple[Run, Answer]:
    """Return the run as a request leaves it, and the answer; `newer` is the run that took over, if any."""
    verb, _, rest = request.partition("@")
    wave = rest.partition("@")[0]
    refusal = _refusal(run, verb, newer) or (_unheld(run, wave) if verb == "approve" else None)
    if refusal is not None:
        return run, Answer(request=request, accepted=False, message=f"Nothing was done: {refusal}.")
    changed, message = _changed(run, verb, wave, now)
    return changed, Answer(request=request, accepted=True, message=message)


def _changed(run: Run, verb: str, wave: str, now: datetime) -> tuple[Run, str]:
    if verb == "approve":
        waves = (replace(one, approved_at=now) if one.name == wave else one for one in run.waves)
        return replace(run, waves=tuple(waves)), f"Wave {wave} may start."
    if verb == "pause":
        return replace(run, paused=True), "No further member starts."
    if verb == "resume":
        return replace(run, paused=False), "It goes on."
    if verb == "abort":
        return replace(run, phase="Aborted"), "It has ended; members on their way go on by themselves."
    return replace(run, phase="RollingBack", ended_at=None), "Members take back the image that they had."


def _refusal(run: Run, verb: str, newer: str | None) -> str | None:
    """Return why a request changes nothing, None where it does."""
    phase = run.phase
    if verb not in ("approve", "pause", "resume", "abort", "rollback"):
        return f"expected {', '.join(_VERBS)}"
    if newer is not None or phase == "Superseded":
        return f"{f'RuntimeRollout {newer}' if newer else 'a newer RuntimeRollout'} took over"
    if verb == "rollback":
        return "it goes back already" if phase in ("RollingBack", "RolledBack") else None
    if phase in ("Complete", "RolledBack", "Aborted"):
        return f"it is over ({phase})"
    if verb == "abort":
        return None
    if phase == "RollingBack":
        return "it goes back, and waits for nobody"
    if verb == "approve":
        return None
    if (verb == "pause") == run.paused:
        return "it is paused" if run.paused else "nobody asked it to pause; see spec.paused"
    return None


def _unheld(run: Run, name: str) -> str | None:
    """Return why there is nothing to approve of a wave, None where it waits for that."""
    held = [one.name for one in run.waves if one.is_held]
    return None if name in held else f"waves that wait for an approval are: {', '.join(held) or 'none'}"
