"""`status.outcomes`: what became of each revision, and why. Pure.

An entry is made when something changes, from the status before and the one to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.recorded import condition_of
from modelservice_operator.facts.text.times import format_time

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from datetime import datetime

MOST_OUTCOMES = 32
LONGEST_MESSAGE = 512


def compute_outcomes(
    old: Mapping[str, Any], new: Mapping[str, Any], recorded: Container[str], now: datetime
) -> list[dict[str, Any]] | None:
    """Return the outcomes after the change from one status to the next, without forgotten revisions."""
    known = {one["revision"]: one for one in old.get("outcomes") or ()}
    for entry in _changes(old, new):
        before = known.pop(entry["revision"], None)
        is_same = before is not None and before.get("outcome") == entry["outcome"]
        known[entry["revision"]] = before if is_same else {**entry, "time": format_time(now)}
    target = new.get("targetRevision")
    if _phase(new) not in ("Aborted", "Complete") and known.get(target, {}).get("outcome") == "Aborted":
        # It is tried again.
        known.pop(target)
    kept = [
        one for name, one in known.items() if name in recorded or name in (target, new.get("stableRevision"))
    ]
    return kept[-MOST_OUTCOMES:] or None


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what has become of revisions now; the one that serves comes last."""
    before, stable = old.get("stableRevision"), new.get("stableRevision")
    previous, target = old.get("targetRevision"), new.get("targetRevision")
    if previous and previous not in (before, stable, target) and _phase(old) != "Aborted":
        yield _entry(
            previous, "Superseded", "SpecChanged", f"The spec went on to {target} before it was rolled out."
        )
    if before and before not in (stable, target):
        yield _entry(before, "Replaced", "RolloutComplete", f"Replaced by {stable}.")
    if target and target != stable and _phase(new) == "Aborted":
        degraded = condition_of(new, "Degraded")
        yield _entry(target, "Aborted", str(degraded.get("reason") or ""), str(degraded.get("message") or ""))
    if stable and stable != before:
        was_taken_back = _phase(new) == "Aborted"
        reason = "TakenBack" if was_taken_back else "RolloutComplete"
        yield _entry(stable, "Stable", reason, "It came back." if was_taken_back else "It was rolled out.")


def _entry(revision: str, outcome: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "revision": revision,
        "outcome": outcome,
        "reason": reason[:64],
        "message": message[:LONGEST_MESSAGE],
    }


def _phase(status: Mapping[str, Any]) -> object:
    return (status.get("rollout") or {}).get("phase")
