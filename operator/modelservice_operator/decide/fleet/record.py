"""The run that the status of a RuntimeRollout remembers: its read side. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from modelservice_operator.decide.fleet.model import Failure, FleetSpec, Run, WaveState
from modelservice_operator.facts.fleet import State, UnreadableError, read_members, read_states, request_of
from modelservice_operator.facts.succession import has_started
from modelservice_operator.facts.text.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.api import RuntimeRolloutSpec
    from modelservice_operator.decide.fleet.choosing import Choice


def read_spec(spec: RuntimeRolloutSpec) -> FleetSpec:
    """Return what the planner goes by."""
    return FleetSpec(
        max_concurrent=spec.max_concurrent,
        max_unavailable=spec.max_unavailable,
        soak_seconds=spec.soak_seconds,
        member_deadline_seconds=spec.member_deadline_seconds,
        max_failures=spec.max_failures,
        on_failure=spec.on_failure,
        paused=spec.paused,
    )


def begin_run(known: Run, choice: Choice) -> Run:
    """Return a run of these members, before any of them starts; what was approved before is approved."""
    waves = zip(choice.waves, known.waves, strict=True)
    return Run(
        request=known.request,
        members=choice.members,
        states=State.PENDING * len(choice.members),
        waves=tuple(replace(wave, approved_at=before.approved_at) for wave, before in waves),
        paused=known.paused,
    )


def read_run(rollout: Mapping[str, Any], spec: RuntimeRolloutSpec) -> Run:
    """Return what is remembered; of one that has not started the waves alone, without members.

    Raises UnreadableError where somebody edited the status so that it is none.
    """
    metadata, status = rollout["metadata"], rollout.get("status") or {}
    members, states = read_members(status), read_states(status)
    places = {member.name: place for place, member in enumerate(members)}
    return Run(
        request=request_of(metadata["name"], metadata["uid"], is_back=False),
        members=members,
        states="".join(states),
        waves=_read_waves(status, spec, len(members)),
        moving={
            places[one["member"]]: since
            for one in status.get("moving") or ()
            if one["member"] in places and (since := parse_time(one["since"])) is not None
        },
        failures=tuple(
            Failure(member=one["member"], reason=one["reason"], message=one.get("message", ""), time=time)
            for one in status.get("failures") or ()
            if (time := parse_time(one["time"])) is not None
        ),
        phase=status.get("phase") or "Pending",
        paused=bool(status.get("paused")),
        ended_at=parse_time(status.get("endedAt")),
        has_started=has_started(rollout),
    )


def _read_waves(status: Mapping[str, Any], spec: RuntimeRolloutSpec, members: int) -> tuple[WaveState, ...]:
    told = {one["name"]: one for one in status.get("waves") or ()}
    waves = tuple(_read_wave(one.name, one.approval, told.get(one.name) or {}) for one in spec.waves)
    counted = sum(one.members for one in waves)
    if counted != members:
        raise UnreadableError(f"status.waves: expected {members} members in the waves of spec, got {counted}")
    return waves


def _read_wave(name: str, needs_approval: bool, told: Mapping[str, Any]) -> WaveState:
    return WaveState(
        name=name,
        members=int(told.get("members") or 0),
        needs_approval=needs_approval,
        approved_at=_time(told, "approvedAt"),
        started_at=_time(told, "startedAt"),
        completed_at=_time(told, "completedAt"),
    )


def _time(told: Mapping[str, Any], field: str) -> datetime | None:
    return parse_time(told[field]) if field in told else None
