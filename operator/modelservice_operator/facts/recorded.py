"""What the status of a ModelService says that later decisions go by: its read side. Pure.

The next reconciliation knows nothing of earlier ones but this.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

Engine = Literal["Builtin", "HPA", "Keda"]

DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
"""Reason of Progressing=False. With `targetRevision` it remembers that this target was given up."""
ABORTED = "RolloutAborted"
"""Reason of Progressing=False: somebody aborted the target."""
INSUFFICIENT_CAPACITY = "InsufficientCapacity"
"""Reason of Progressing=False: nothing of the target may be tried, so its deadline does not run."""

SCALE_REFUSED = "leave to write /scale: "
"""What `status.autoscaler.missing` begins with where the API server refused; its sentence follows."""

MOST_SERVED = 32
"""Names of revisions that are kept; there are no more than that many records in most histories."""


def condition_of(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the condition of this type in a raw status, an empty mapping where there is none."""
    return next((item for item in status.get("conditions") or () if item.get("type") == kind), {})


def engine_of(status: Mapping[str, Any]) -> Engine | None:
    """Return who steers the number of pods, None where nobody does."""
    engine = (status.get("autoscaling") or {}).get("engine")
    return cast("Engine | None", engine)


def is_aborted(status: Mapping[str, Any], target: str) -> bool:
    """Whether the status says that somebody, or a gate, aborted this target; nothing that serves is that."""
    return target in (status.get("abortedRevisions") or ()) and status.get("stableRevision") != target


def is_given_up(status: Mapping[str, Any], target: str) -> bool:
    """Whether the status says that this target was aborted, or missed its deadline while another one served.

    What missed its deadline stays so until the spec asks for another revision or allows more time: resyncs
    and restarts do not try again.
    """
    return is_aborted(status, target) or (
        status.get("targetRevision") == target
        and status.get("stableRevision") not in (None, target)
        and condition_of(status, "Progressing").get("reason") == DEADLINE_EXCEEDED
    )


def why_given_up(status: Mapping[str, Any], revision: str) -> str:
    """Return what the status says of why a revision was given up; empty where it does not."""
    outcomes = status.get("outcomes") or ()
    said: str = next((one.get("message") or "" for one in outcomes if one["revision"] == revision), "")
    return said


def served_revisions(
    status: Mapping[str, Any], stable: str | None, recorded: Container[str]
) -> list[str] | None:
    """Return the recorded revisions that were stable, the last one last; None where none is known to be.

    A status from before there was this list gets one with the next stable revision.
    """
    before = status.get("servedRevisions")
    previous = status.get("stableRevision")
    if stable is None or (before is None and previous == stable):
        return before
    known: list[str] = before if before is not None else [previous] if previous else []
    return [*(one for one in known if one != stable and one in recorded), stable][-MOST_SERVED:]


def is_held(status: Mapping[str, Any]) -> bool:
    """Whether the status says that nothing of the target may be tried for want of room."""
    return bool(condition_of(status, "Progressing").get("reason") == INSUFFICIENT_CAPACITY)


def missed_deadline_seconds(status: Mapping[str, Any]) -> float:
    """Return the deadline that was missed; infinite where the status does not say it."""
    seconds = status.get("missedDeadlineSeconds")
    return seconds if isinstance(seconds, int) else math.inf
