"""`fleet plan`: who would move when, and who would not, by the operator's own planner. Pure.

The run is played ahead of time in a cluster where all goes well: each member that starts has the new image
`CHANGE` later, what is being changed is done when its turn comes, and every approval is there at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.facts import Object
from modelservice_operator.api import RuntimeRollout, RuntimeRolloutSpec
from modelservice_operator.decide.fleet.choosing import Choice, ChoiceProblem, choose_members
from modelservice_operator.decide.fleet.model import Acknowledged, Around, FleetSpec, Run, Seen
from modelservice_operator.decide.fleet.planner import plan
from modelservice_operator.decide.fleet.seeing import read_seen
from modelservice_operator.facts.fleet import SKIPPED, Member, State
from modelservice_operator.facts.maintenance import MaintenanceWindow, WindowError, opening, parse_window

CHANGE = timedelta(minutes=1)
"""How long each member's own rollout is taken to last: nobody knows."""
_REQUEST = "plan"
_LOOKS_PER_MEMBER = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMember:
    """What would become of one member."""

    member: str
    wave: str
    had: str
    gets: str
    starts_at: datetime | None
    """The earliest moment, None where it would not move."""
    why: str
    """Why it would not move; empty where it would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWave:
    """What would become of one wave."""

    name: str
    needs_approval: bool
    members: tuple[PlannedMember, ...]

    @property
    def moving(self) -> list[PlannedMember]:
        """Those that would move."""
        return [one for one in self.members if one.starts_at is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What would become of a RuntimeRollout that started now."""

    name: str
    runtime: str
    now: datetime
    has_windows: bool
    waves: tuple[PlannedWave, ...]


def plan_rollout(
    rollout: RuntimeRollout, services: Sequence[Object], runtimes: Sequence[Object], now: datetime
) -> FleetPlan:
    """Return what would become of it; services and runtimes are all of the cluster. Raises CommandError."""
    spec = rollout.spec
    windows = _windows(spec)
    choice = choose_members(spec, services, runtimes)
    if isinstance(choice, ChoiceProblem):
        raise CommandError(f"{rollout.metadata.name} would not start: {choice.message}")
    seen = {_name(one): _at_rest(read_seen(one)) for one in services}
    starts, run = _play(spec, choice, seen, windows, now)
    return FleetPlan(
        name=rollout.metadata.name,
        runtime=spec.target.runtime,
        now=now,
        has_windows=bool(windows),
        waves=tuple(_waves(run, seen, starts)),
    )


def _name(service: Object) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def _at_rest(seen: Seen) -> Seen:
    """What a member is when its turn comes: a change of its user is over by then."""
    return seen if seen.is_broken else replace(seen, is_ready=True, is_current=True)


def _windows(spec: RuntimeRolloutSpec) -> list[MaintenanceWindow]:
    found = []
    for number, one in enumerate(spec.maintenance_windows):
        try:
            found.append(parse_window(one.schedule, one.time_zone, one.duration_seconds))
        except WindowError as error:
            raise CommandError(f"spec.maintenanceWindows[{number}].{error}") from None
    return found


def _play(
    spec: RuntimeRolloutSpec,
    choice: Choice,
    seen: Mapping[str, Seen],
    windows: Sequence[MaintenanceWindow],
    now: datetime,
) -> tuple[dict[str, datetime], Run]:
    """Return when each member starts, and how the run ends."""
    limits, current = _limits(spec), dict(seen)
    waves = tuple(replace(one, approved_at=now) for one in choice.waves)
    run = Run(
        request=_REQUEST, members=choice.members, states=State.PENDING * len(choice.members), waves=waves
    )
    gets = {one.name: one.gets for one in choice.members}
    starts: dict[str, datetime] = {}
    for _ in range(_LOOKS_PER_MEMBER * (len(choice.members) + 1)):
        hours = opening(windows, now)
        around = Around(runtime=spec.target.runtime, is_open=hours.is_open, changes_at=hours.changes_at)
        step = plan(limits, run, current, around, now)
        run = step.run
        starts |= dict.fromkeys(step.released, now)
        arrivals = [at + CHANGE for at in starts.values() if at + CHANGE > now]
        due = step.requeue_after_seconds
        moments = [*arrivals, *([now + timedelta(seconds=due)] if due is not None else [])]
        if run.phase == "Complete" or not moments:
            break
        now = min(moments)
        current |= {
            name: _arrived(current[name], gets[name], now)
            for name, at in starts.items()
            if at + CHANGE == now
        }
    return starts, run


def _limits(spec: RuntimeRolloutSpec) -> FleetSpec:
    return FleetSpec(
        max_concurrent=spec.max_concurrent,
        max_unavailable=spec.max_unavailable,
        soak_seconds=spec.soak_seconds,
        member_deadline_seconds=spec.member_deadline_seconds + int(CHANGE.total_seconds()),
        max_failures=spec.max_failures,
    )


def _arrived(seen: Seen, image: str, now: datetime) -> Seen:
    done = Acknowledged(request=_REQUEST, phase="Complete")
    return replace(seen, image=image, is_ready=True, is_available=True, ready_since=now, acknowledged=done)


def _waves(run: Run, seen: Mapping[str, Seen], starts: Mapping[str, datetime]) -> Iterable[PlannedWave]:
    first = 0
    for wave in run.waves:
        places = range(first, first + wave.members)
        first += wave.members
        yield PlannedWave(
            name=wave.name,
            needs_approval=wave.needs_approval,
            members=tuple(
                _planned(run.members[place], wave.name, State(run.states[place]), seen, starts)
                for place in places
            ),
        )


def _planned(
    member: Member, wave: str, state: State, seen: Mapping[str, Seen], starts: Mapping[str, datetime]
) -> PlannedMember:
    return PlannedMember(
        member=member.name,
        wave=wave,
        had=member.had,
        gets=member.gets,
        starts_at=starts.get(member.name),
        why="" if member.name in starts else _why_not(state, seen[member.name]),
    )


def _why_not(state: State, seen: Seen) -> str:
    if state is State.UPDATED:
        return "it has the image already"
    if state is State.PINNED:
        return "spec.runtime.pin keeps it where it is"
    if state in SKIPPED:
        said = f": {seen.reason}: {seen.message}" if seen.message else ""
        return f"it is broken already{said}"
    return "too many members have no available pod, or its turn does not come"
