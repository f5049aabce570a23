"""The status of a RuntimeRollout, and what of a change is worth an Event. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from modelservice_operator.decide.fleet.wording import members_text, updated_text
from modelservice_operator.explain.conditions import Condition, stamp
from modelservice_operator.explain.transitions import Transition
from modelservice_operator.facts.fleet import (
    BACK,
    FAILED,
    ON_THE_WAY,
    SKIPPED,
    State,
    write_members,
)
from modelservice_operator.facts.text.times import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.decide.fleet.decide import FleetDecision
    from modelservice_operator.decide.fleet.model import Run, Step, WaveState

COUNTED: Mapping[str, frozenset[State]] = {
    "pending": frozenset({State.PENDING}),
    "moving": ON_THE_WAY,
    "updated": frozenset({State.UPDATED}),
    "failed": FAILED,
    "skipped": SKIPPED,
    "dropped": frozenset({State.DROPPED}),
    "rolledBack": BACK,
}
"""What members are counted as; one that failed and went back is counted as both."""
_MOST_HISTORY = 20
_LONGEST_PAST = 256
_LONGEST_MESSAGE = 1024
_STALLED = frozenset({"Halted", "RolledBack", "Aborted", "Superseded"})
"""Phases in which nothing more happens by itself, and that are not what was asked for."""
_WARNINGS = frozenset({"Halted", "RollingBack", "RolledBack", "Aborted"})


def compute_fleet_status(
    rollout: Mapping[str, Any], decision: FleetDecision, now: datetime
) -> dict[str, Any]:
    """Return the whole status."""
    old = rollout.get("status") or {}
    generation = int(rollout["metadata"].get("generation") or 0)
    status: dict[str, Any] = {**old, "observedGeneration": generation}
    if decision.step is not None:
        status |= _run_status(old, decision.step, now)
    status.setdefault("phase", "Pending")
    if decision.runtime is not None and decision.step is not None:
        status |= {"startedAt": format_time(now), "runtime": dict(decision.runtime)}
        status |= write_members(decision.step.run.members)
        status["supersedes"] = list(decision.supersedes)[-16:] or None
    if decision.answer is not None:
        answer = decision.answer
        status["action"] = {
            "request": answer.request,
            "accepted": answer.accepted,
            "message": answer.message[:_LONGEST_MESSAGE],
        }
    if decision.superseded_by is not None:
        status["supersededBy"] = decision.superseded_by
    status["conditions"] = stamp(_conditions(decision, status), old, generation, now)
    return {field: value for field, value in status.items() if value is not None}


def _run_status(old: Mapping[str, Any], step: Step, now: datetime) -> dict[str, Any]:
    run = step.run
    living = len(run.members) - run.count(State.DROPPED)
    return {
        "phase": run.phase,
        "wave": step.wave or None,
        "progress": f"{run.count(State.UPDATED)}/{living}" if run.has_started else None,
        "counts": {"members": len(run.members), **_counts(run.states)} if run.has_started else None,
        "unavailable": step.unavailable if run.has_started else None,
        "endedAt": format_time(run.ended_at) if run.ended_at else None,
        "paused": True if run.paused else None,
        "waves": _waves(run) if run.has_started or _is_approved(run) else None,
        "states": run.states or None,
        "moving": [
            {"member": run.members[place].name, "since": format_time(since)}
            for place, since in sorted(run.moving.items())
        ]
        or None,
        "failures": [
            {
                "member": one.member,
                "reason": one.reason,
                "message": one.message,
                "time": format_time(one.time),
            }
            for one in run.failures
        ]
        or None,
        "history": _history(old, step, now),
    }


def _is_approved(run: Run) -> bool:
    """Whether a person approved a wave: that is remembered before the members are known, too."""
    return any(wave.approved_at is not None for wave in run.waves)


def _counts(states: str) -> dict[str, int]:
    return {name: sum(states.count(state) for state in among) for name, among in COUNTED.items()}


def _waves(run: Run) -> list[dict[str, Any]]:
    first, told = 0, []
    for wave in run.waves:
        states = run.states[first : first + wave.members]
        told.append({"name": wave.name, "members": wave.members, **_counts(states), **_times(wave)})
        first += wave.members
    return told


def _times(wave: WaveState) -> dict[str, str]:
    times = {
        "approvedAt": wave.approved_at,
        "startedAt": wave.started_at,
        "completedAt": wave.completed_at,
    }
    return {field: format_time(time) for field, time in times.items() if time is not None}


def _history(old: Mapping[str, Any], step: Step, now: datetime) -> list[dict[str, Any]]:
    known = list(old.get("history") or ())
    if known and known[-1]["phase"] == step.run.phase:
        return known
    entry = {"phase": step.run.phase, "time": format_time(now), "message": step.message[:_LONGEST_PAST]}
    return [*known, entry][-_MOST_HISTORY:]


def _conditions(decision: FleetDecision, status: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Ready is what was asked for; Reconciling and Stalled are those of kstatus: never both True."""
    phase = status.get("phase")
    step, problem = decision.step, decision.problem
    told = problem or step
    assert told is not None
    reason, message = told.reason, told.message
    is_ready = phase == "Complete" and problem is None
    is_stalled = phase in _STALLED if problem is None else not problem.may_pass
    is_moving = not is_ready and not is_stalled
    failed = (status.get("counts") or {}).get("failed", 0)
    return (
        Condition("Ready", is_ready, reason, message),
        Condition("Progressing", is_moving, reason, message),
        Condition("Degraded", bool(failed), "MembersFailed", _failures(status))
        if failed
        else Condition("Degraded", False, "AsExpected"),
        Condition(
            "Reconciling", is_moving, reason if is_moving else "AsDesired", message if is_moving else ""
        ),
        Condition(
            "Stalled", is_stalled, reason if is_stalled else "NotStalled", message if is_stalled else ""
        ),
    )


def _failures(status: Mapping[str, Any]) -> str:
    # One that could not go back either has failed twice.
    newest = {one["member"]: one["reason"] for one in status.get("failures") or ()}
    shown = [f"{member}: {reason}" for member, reason in list(newest.items())[-3:]]
    failed = status["counts"]["failed"]
    which = "" if failed == len(shown) else ", the last ones"
    return f"{members_text(failed)} failed{which}: {'; '.join(shown)}."


def _is_empty(status: Mapping[str, Any]) -> bool:
    """Whether it began with nobody, which is what a wrong selector looks like."""
    return (status.get("counts") or {}).get("members") == 0


def fleet_transitions(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Transition, ...]:
    """Return what changed between two statuses and is worth an Event."""
    found = []
    message = next((one["message"] for one in new.get("conditions") or () if one["type"] == "Ready"), "")
    if new.get("phase") != old.get("phase"):
        is_bad = new.get("phase") in _WARNINGS or _is_empty(new)
        kind: Literal["Normal", "Warning"] = "Warning" if is_bad else "Normal"
        found.append(Transition(kind, f"Rollout{new.get('phase')}", message))
    answer = new.get("action")
    if answer and answer != old.get("action"):
        text = f"{'@'.join(answer['request'].split('@')[:2])}: {answer['message']}"
        if answer["accepted"]:
            found.append(Transition("Normal", "FleetActionAccepted", text))
        else:
            found.append(Transition("Warning", "FleetActionRefused", text))
    were_done = {one["name"] for one in old.get("waves") or () if "completedAt" in one}
    for wave in new.get("waves") or ():
        if "completedAt" in wave and wave["name"] not in were_done and wave["members"]:
            done = updated_text(wave["updated"], wave["members"])
            found.append(Transition("Normal", "WaveComplete", f"Wave {wave['name']}: {done}."))
    known = old.get("failures") or ()
    for one in new.get("failures") or ():
        if one not in known:
            text = f"{one['member']}: {one['reason']}: {one['message']}"
            found.append(Transition("Warning", "MemberFailed", text))
    return tuple(found)
