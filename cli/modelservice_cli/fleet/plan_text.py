"""A plan as text and as JSON. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from modelservice_cli.fleet.plan import CHANGE, FleetPlan, PlannedMember, PlannedWave
from modelservice_cli.rollout.progress.durations import about_text
from modelservice_cli.rollout.report import Part, Table
from modelservice_operator.facts.text.times import format_time

_NOTHING = "-"


def plan_report(planned: FleetPlan) -> list[Part]:
    """Return the plan for people."""
    members = [one for wave in planned.waves for one in wave.members]
    moving = [one for one in members if one.starts_at is not None]
    head = (
        f"{planned.name}: {len(moving)} of {len(members)} ModelServices with ModelRuntime {planned.runtime} "
        "would move"
    )
    if not members:
        return [head]
    parts: list[Part] = [head, _wave_table(planned)]
    if moving:
        parts.append(_member_table(planned, moving))
        parts.append(_remarks(planned))
    left = [one for one in members if one.starts_at is None]
    if left:
        rows = tuple((one.member, one.wave, one.had, one.why) for one in left)
        parts.append(Table(("WOULD NOT MOVE", "WAVE", "HAS", "WHY"), rows))
    return parts


def _wave_table(planned: FleetPlan) -> Table:
    rows = (
        (
            one.name,
            str(len(one.members)),
            str(len(one.moving)),
            _start(planned, min((at for at in _starts(one)), default=None)),
            "waits for a person" if one.needs_approval else "",
        )
        for one in planned.waves
    )
    return Table(("WAVE", "MEMBERS", "MOVE", "EARLIEST", "APPROVAL"), tuple(rows))


def _starts(wave: PlannedWave) -> list[datetime]:
    return [one.starts_at for one in wave.members if one.starts_at is not None]


def _member_table(planned: FleetPlan, moving: Sequence[PlannedMember]) -> Table:
    in_order = sorted(moving, key=lambda one: one.starts_at or planned.now)
    rows = ((_start(planned, one.starts_at), one.wave, one.member, one.had, one.gets) for one in in_order)
    return Table(("EARLIEST", "WAVE", "MEMBER", "FROM", "TO"), tuple(rows))


def _start(planned: FleetPlan, at: datetime | None) -> str:
    """With maintenance windows the hour matters, else how long it is from now."""
    if at is None:
        return _NOTHING
    if planned.has_windows:
        return format_time(at)
    return f"+{about_text((at - planned.now).total_seconds())}"


def _remarks(planned: FleetPlan) -> str:
    change = about_text(CHANGE.total_seconds())
    approved = ", approvals to be there at once" if any(one.needs_approval for one in planned.waves) else ""
    return f"Times take the rollout of each member to last {change}{approved}, and nobody to fail."


def plan_json(planned: FleetPlan) -> dict[str, Any]:
    """Return the plan as JSON."""
    return {
        "name": planned.name,
        "runtime": planned.runtime,
        "waves": [
            {
                "name": wave.name,
                "needsApproval": wave.needs_approval,
                "members": [_member_json(one) for one in wave.members],
            }
            for wave in planned.waves
        ],
    }


def _member_json(one: PlannedMember) -> dict[str, Any]:
    return {
        "member": one.member,
        "had": one.had,
        "gets": one.gets,
        "moves": one.starts_at is not None,
        "earliest": format_time(one.starts_at) if one.starts_at is not None else None,
        "why": one.why or None,
    }
