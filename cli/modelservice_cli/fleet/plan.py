"""`fleet plan`: who would move when, and who would not, by the operator's own planner. Pure.

The run is played ahead of time in a cluster where all goes well: each member that starts has its image
`CHANGE` later, what is being changed is done when its turn comes, and every approval is there at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.facts import Object
from modelservice_operator.api import RuntimeRollout, RuntimeRolloutSpec
from modelservice_operator.decide.fleet.choosing import ChoiceProblem, choose_members
from modelservice_operator.decide.fleet.model import Acknowledged, Around, FleetSpec, Run, Seen
from modelservice_operator.decide.fleet.planner import plan
from modelservice_operator.decide.fleet.record import read_run, read_spec
from modelservice_operator.decide.fleet.seeing import read_seen
from modelservice_operator.facts.fleet import (
    FAILED,
    GOING_BACK,
    ON_THE_WAY,
    SKIPPED,
    Member,
    State,
    UnreadableError,
)
from modelservice_operator.facts.maintenance import MaintenanceWindow, WindowError, opening, parse_window

CHANGE = timedelta(minutes=1)
"""How long each member's own rollout is taken to last: nobody knows."""
_LOOKS_PER_MEMBER = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMember:
    """What would become of one member."""

    member: str
    wave: str
    had: str
    gets: str
    starts_at: datetime | None
    """The earliest moment, None where it would not move, or does already."""
    why: str
    """Why it would not start; empty where it would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWave:
    """What would become of one wave."""

    name: str
    needs_approval: bool
    members: tuple[PlannedMember, ...]

    @property
    def moving(self) -> list[PlannedMember]:
        """Those that would start."""
        return [one for one in self.members if one.starts_at is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What would become of a RuntimeRollout from now on."""

    name: str
    runtime: str
    now: datetime
    has_windows: bool
    waves: tuple[PlannedWave, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A RuntimeRollout, parsed and as it was read: in a file, or with its status in the cluster."""

    parsed: RuntimeRollout
    raw: Object


def plan_rollout(
    rollout: Manifest,
    services: Sequence[Object],
    runtimes: Sequence[Object],
    now: datetime,
    told: Callable[[int, int], None] = lambda _planned, _members: None,
) -> FleetPlan:
    """Return what would become of it; services and runtimes are all of the cluster. Raises CommandError.

    `told` hears of how many members it is known, and how many there are: thousands take half a minute.
    """
    spec = rollout.parsed.spec
    windows = _windows(spec)
    run = _run(rollout, services, runtimes)
    seen = {_name(one): _at_rest(read_seen(one)) for one in services}
    starts, end = _Play(spec, windows, told).play(run, seen, now)
    return FleetPlan(
        name=rollout.parsed.metadata.name,
        runtime=spec.target.runtime,
        now=now,
        has_windows=bool(windows),
        waves=tuple(_waves(run, end, seen, starts)),
    )


def _run(rollout: Manifest, services: Sequence[Object], runtimes: Sequence[Object]) -> Run:
    """The run as it is, or as it would begin."""
    spec, status = rollout.parsed.spec, rollout.raw.get("status") or {}
    if "startedAt" in status:
        try:
            return read_run(rollout.raw, spec)
        except UnreadableError as error:
            raise CommandError(f"{rollout.parsed.metadata.name} cannot go on: {error}") from None
    choice = choose_members(spec, services, runtimes)
    if isinstance(choice, ChoiceProblem):
        raise CommandError(f"{rollout.parsed.metadata.name} would not start: {choice.message}")
    states = State.PENDING * len(choice.members)
    return Run(request="plan", members=choice.members, states=states, waves=choice.waves)


def _name(service: Object) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def _at_rest(seen: Seen) -> Seen:
    """What a member is when its turn comes: a change of its user, or of an older run, is over by then."""
    return seen if seen.is_broken else replace(seen, is_ready=True, is_current=True, acknowledged=None)


def _windows(spec: RuntimeRolloutSpec) -> list[MaintenanceWindow]:
    found = []
    for number, one in enumerate(spec.maintenance_windows):
        try:
            found.append(parse_window(one.schedule, one.time_zone, one.duration_seconds))
        except WindowError as error:
            raise CommandError(f"spec.maintenanceWindows[{number}].{error}") from None
    return found


class _Play:
    """Plays a run from now to its end, or to where it cannot go on."""

    def __init__(
        self,
        spec: RuntimeRolloutSpec,
        windows: Sequence[MaintenanceWindow],
        told: Callable[[int, int], None],
    ) -> None:
        self._runtime, self._windows, self._told = spec.target.runtime, windows, told
        # A pause, a halt and a member that is late are what nobody plans.
        self._spec: FleetSpec = replace(
            read_spec(spec),
            paused=False,
            member_deadline_seconds=spec.member_deadline_seconds + int(CHANGE.total_seconds()),
        )

    def play(self, run: Run, seen: Mapping[str, Seen], now: datetime) -> tuple[dict[str, datetime], Run]:
        """Return when members start from now on, and how the run ends."""
        run = _ready_to_go(run, now)
        current, starts = dict(seen), dict[str, datetime]()
        arrivals = {run.members[place].name: now + CHANGE for place in _travellers(run)}
        for _ in range(_LOOKS_PER_MEMBER * (len(run.members) + 1)):
            hours = opening(self._windows, now)
            around = Around(runtime=self._runtime, is_open=hours.is_open, changes_at=hours.changes_at)
            step = plan(self._spec, run, current, around, now)
            run = step.run
            self._told(len(run.members) - run.count(State.PENDING), len(run.members))
            starts |= dict.fromkeys(step.released, now)
            arrivals |= dict.fromkeys(step.released, now + CHANGE)
            due = step.requeue_after_seconds
            moments = [at for at in arrivals.values() if at > now]
            moments += [now + timedelta(seconds=due)] if due is not None else []
            if run.phase == "Complete" or not moments:
                break
            now = min(moments)
            current |= _arrived(run, current, [name for name, at in arrivals.items() if at == now], now)
        return starts, run


def _ready_to_go(run: Run, now: datetime) -> Run:
    """The same with every approval, and without a pause."""
    waves = tuple(replace(one, approved_at=one.approved_at or now) for one in run.waves)
    return replace(run, waves=waves, paused=False)


def _travellers(run: Run) -> list[int]:
    return [place for place, state in enumerate(run.states) if state in ON_THE_WAY]


def _arrived(run: Run, seen: Mapping[str, Seen], names: Sequence[str], now: datetime) -> dict[str, Seen]:
    """Those that have their image now."""
    found = {}
    for place in _travellers(run):
        member, is_back = run.members[place], run.states[place] in GOING_BACK
        if member.name in names and member.name in seen:
            request = run.request + ("@back" if is_back else "")
            found[member.name] = replace(
                seen[member.name],
                image=member.had if is_back else member.gets,
                is_ready=True,
                is_current=True,
                is_available=True,
                ready_since=now,
                acknowledged=Acknowledged(request=request, phase="Complete"),
            )
    return found


def _waves(
    run: Run, end: Run, seen: Mapping[str, Seen], starts: Mapping[str, datetime]
) -> Iterator[PlannedWave]:
    first = 0
    for wave in run.waves:
        places = range(first, first + wave.members)
        first += wave.members
        yield PlannedWave(
            name=wave.name,
            needs_approval=wave.is_held,
            members=tuple(_planned(place, wave.name, run, end, seen, starts) for place in places),
        )


def _planned(
    place: int, wave: str, run: Run, end: Run, seen: Mapping[str, Seen], starts: Mapping[str, datetime]
) -> PlannedMember:
    member = run.members[place]
    before, after = State(run.states[place]), State(end.states[place])
    return PlannedMember(
        member=member.name,
        wave=wave,
        had=member.had,
        gets=member.gets,
        starts_at=starts.get(member.name),
        why="" if member.name in starts else _why_not(member, before, after, end, seen),
    )


def _why_not(member: Member, before: State, after: State, end: Run, seen: Mapping[str, Seen]) -> str:
    found = seen.get(member.name)
    if found is None or after is State.DROPPED:
        return "it was deleted"
    if before in ON_THE_WAY:
        return "it is on the way"
    if before in FAILED:
        return "it failed"
    if after is State.UPDATED:
        return "it has the image already"
    if after is State.PINNED:
        return "spec.runtime.pin keeps it where it is"
    if after in SKIPPED and before is State.PENDING:
        said = f": {found.reason}: {found.message}" if found.message else ""
        return f"it is broken already{said}"
    if after is not State.PENDING:
        return "it is done with"
    if end.phase != "Progressing":
        return f"no member starts any more ({end.phase})"
    return "too many members have no available pod (spec.maxUnavailable)"
