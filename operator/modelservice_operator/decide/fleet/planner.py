"""The way of a run through its waves: one look at it. Pure.

0. A run that has ended stays as it is. One in whose stead a newer one commands (`facts.succession`) leaves
   those on the way to that one, and has ended.
1. Members on the way (`members`): each has arrived, has failed, was deleted or went elsewhere, or goes on.
   Whoever was deleted counts no more, and whoever failed has failed, whatever becomes of it.
2. Back, where that is wanted: everybody who moved (`RollingBack`), or those that failed (`RollbackFailed`).
   Neither windows nor a pause nor an approval is waited for. Members on the way there turn round at once;
   others start as far as the limits allow, those that do not answer first.
3. There: members of the first wave that is not done start in their order, as far as the limits allow. Not
   while it is paused or halted, its windows are closed or its approval is missing. The next wave has its turn
   when nobody of this one is pending or on the way there. Members that are broken when their turn comes are
   left out; one that its user is changing is waited for.
4. The phase, and when to look again.

Limits: at most `max_concurrent` members on the way, those counted in that still go on with what an older run
told them; and all that are unavailable, together with all that are
on the way, are at most `max_unavailable`: whoever moves may lose its pods. So a member that is unavailable
already may turn back whatever their number is.

All goes by what the status says and what is seen now: an operator that is killed goes on where it was, and a
look at the same twice comes to the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from modelservice_operator.decide.fleet.members import (
    Case,
    Verdict,
    judge_moving,
    judge_returning,
    judge_start,
)
from modelservice_operator.decide.fleet.model import Failure, Step
from modelservice_operator.decide.fleet.wording import Hold, describe
from modelservice_operator.facts.fleet import FAILED, GOING_BACK, ON_THE_WAY, OVER, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from modelservice_operator.api.fleet_status import FleetPhase
    from modelservice_operator.decide.fleet.model import Around, FleetSpec, Run, Seen, WaveState
    from modelservice_operator.facts.fleet import Member

_MOST_FAILURES = 50
_LONGEST_MESSAGE = 512
_STARTS_BACK = {
    State.UPDATED: State.RETURNING,
    State.MOVING: State.RETURNING,
    State.FAILED: State.FAILED_RETURNING,
}


def plan(spec: FleetSpec, run: Run, seen: Mapping[str, Seen], around: Around, now: datetime) -> Step:
    """Return what a run comes to, by what is seen of its members (by name; those that are gone are missing).

    Guarantees: never more than `max_concurrent` members on the way; none starts where that could leave more
    than `max_unavailable` without a pod; a wave starts after the one before is done.
    """
    look = _Look(spec, run, seen, around, now)
    if run.ended_at is not None:
        return look.step(run.phase)
    if around.superseded_by is not None:
        return look.step(look.stand_back())
    look.take_note()
    if run.phase in OVER:
        phase = run.phase
    elif run.phase == "RollingBack" or (look.is_failing and spec.on_failure == "RollbackAll"):
        phase = look.go_back(tuple(_STARTS_BACK))
    else:
        whose = (State.FAILED,) if spec.on_failure == "RollbackFailed" else ()
        is_back = look.go_back(whose) == "RolledBack"
        phase = look.go_on()
        if phase == "Complete" and not is_back:
            phase = "Progressing"
    return look.step(phase)


def _as_seen(member: Member, seen: Seen | None, now: datetime) -> Seen | None:
    """Return what is seen of a member, None where it was deleted: another one of its name is a stranger.

    A time to come is of a clock that was wrong: whoever waits for it would wait for ever.
    """
    if seen is None or seen.is_deleting or not seen.uid.startswith(member.uid):
        return None
    is_to_come = seen.ready_since is not None and seen.ready_since > now
    return replace(seen, ready_since=now) if is_to_come else seen


class _Look:
    """One look at a run: the states change under way, what they come to is returned."""

    def __init__(
        self, spec: FleetSpec, run: Run, seen: Mapping[str, Seen], around: Around, now: datetime
    ) -> None:
        self.spec, self.run, self.around, self.now = spec, run, around, now
        self._seen = [_as_seen(one, seen.get(one.name), now) for one in run.members]
        self._states = [State(letter) for letter in run.states]
        self._since = {place: min(since, now) for place, since in run.moving.items()}
        self._failures = list(run.failures)
        self._waves = list(run.waves)
        self._released: list[str] = []
        self._due: list[datetime] = []
        self._awaited: list[str] = []
        """Names of members that somebody else is changing, in their order."""
        self._on_the_way = {place for place, state in enumerate(self._states) if state in ON_THE_WAY}
        self._unavailable = {
            place
            for place, state in enumerate(self._states)
            if state is not State.DROPPED and not self._is_available(place)
        }
        self._living = len(self._states) - self._states.count(State.DROPPED)
        self._inherited = {place for place in range(len(self._states)) if self._is_inherited(place)}
        """Who goes on with what an older run told it, and has not had its turn here."""
        self._exposed = self._unavailable | self._on_the_way | self._inherited
        """Who has no pod, or may have none at any moment."""
        self._current: WaveState | None = None

    # What is so

    @property
    def is_failing(self) -> bool:
        """Whether more members failed than are put up with."""
        return sum(state in FAILED for state in self._states) > self.spec.max_failures

    def _is_available(self, place: int) -> bool:
        seen = self._seen[place]
        return seen is None or seen.is_available

    def _is_inherited(self, place: int) -> bool:
        seen = self._seen[place]
        answer = seen.acknowledged if seen is not None else None
        if self._states[place] is not State.PENDING or answer is None or answer.phase != "Progressing":
            return False
        if seen is None or seen.is_ready or seen.ready_since is None:
            return True
        # As long as its own turn would be waited for, and no longer: a person may have left it where it is.
        until = seen.ready_since + timedelta(seconds=self.spec.member_deadline_seconds)
        self._due.append(until)
        return until > self.now

    def _has_room(self, place: int) -> bool:
        """Whether this member may start: the limits hold, whatever becomes of those on the way."""
        if len((self._on_the_way | self._inherited) - {place}) >= self.spec.max_concurrent:
            return False
        return place in self._exposed or len(self._exposed) < self.spec.most_unavailable(self._living)

    def _case(self, place: int, state: State) -> Case:
        return Case(
            member=self.run.members[place],
            state=state,
            seen=self._seen[place],
            runtime=self.around.runtime,
            request=self.run.request + ("@back" if state in GOING_BACK else ""),
        )

    # What becomes of members

    def take_note(self) -> None:
        """Take note of those that were deleted, have arrived, or never will."""
        for place, state in enumerate(self._states):
            if state in ON_THE_WAY:
                since = self._since.get(place, self.now)
                judge = judge_returning if state in GOING_BACK else judge_moving
                self._settle(place, judge(self.spec, self._case(place, state), since, self.now))
            elif state in (State.PENDING, State.UPDATED) and self._seen[place] is None:
                self._settle(place, self._case(place, state).deleted())

    def stand_back(self) -> FleetPhase:
        """Leave those on the way to the newer run: what becomes of them is told there."""
        for place in sorted(self._on_the_way):
            has_failed = self._states[place] in FAILED
            self._settle(place, Verdict(state=State.STRANDED if has_failed else State.ELSEWHERE))
        return "Superseded"

    def _settle(self, place: int, verdict: Verdict) -> None:
        before, self._states[place] = self._states[place], verdict.state
        if verdict.due_at is not None:
            self._due.append(verdict.due_at)
        if verdict.state in ON_THE_WAY:
            self._on_the_way.add(place)
            self._inherited.discard(place)
            self._exposed.add(place)
        else:
            self._on_the_way.discard(place)
            self._since.pop(place, None)
            if verdict.state is State.DROPPED and before is not State.DROPPED:
                self._living -= 1
                self._unavailable.discard(place)
            if verdict.state is not State.PENDING:
                self._inherited.discard(place)
            if place not in self._unavailable | self._inherited:
                self._exposed.discard(place)
        if verdict.state in ON_THE_WAY and verdict.state is not before:
            self._since[place] = self.now
            self._due.append(self.now + timedelta(seconds=self.spec.member_deadline_seconds))
            self._released.append(self.run.members[place].name)
        if verdict.state in FAILED and verdict.reason:
            name, message = self.run.members[place].name, verdict.message[:_LONGEST_MESSAGE]
            self._failures.append(Failure(member=name, reason=verdict.reason, message=message, time=self.now))

    def go_back(self, whose: tuple[State, ...]) -> FleetPhase:
        """Let members in these states take back the image that they had."""
        places = [place for place, state in enumerate(self._states) if state in whose]
        for place in sorted(places, key=lambda one: one not in self._unavailable):
            self._turn_back(place)
        is_done = not self._on_the_way and not any(state in whose for state in self._states)
        return "RolledBack" if is_done else "RollingBack"

    def _turn_back(self, place: int) -> None:
        state = self._states[place]
        case = self._case(place, _STARTS_BACK[state])
        verdict = judge_returning(self.spec, case, self.now, self.now)
        if verdict.state is not case.state or state is State.MOVING or self._has_room(place):
            self._settle(place, verdict)

    # Waves

    def go_on(self) -> FleetPhase:
        """Let members start whose turn it is; returns the phase."""
        for number, (wave, places) in enumerate(self._by_wave()):
            if not self._is_done(places):
                self._current = wave
                obstacle = self._obstacle(wave, places)
                if obstacle is not None:
                    return obstacle
                self._start(places)
                self._waves[number] = self._begun(wave, places)
                if not self._is_done(places):
                    return "Progressing"
            self._waves[number] = self._completed(self._waves[number])
        self._current = None
        if self.is_failing:
            return "Halted"
        return "Progressing" if self._on_the_way else "Complete"

    def _begun(self, wave: WaveState, places: range) -> WaveState:
        to_come = (State.PENDING, State.DROPPED)
        if wave.started_at is not None or all(self._states[place] in to_come for place in places):
            return wave
        return replace(wave, started_at=self.now)

    def _by_wave(self) -> Iterator[tuple[WaveState, range]]:
        first = 0
        for wave in self.run.waves:
            yield wave, range(first, first + wave.members)
            first += wave.members

    def _is_done(self, places: range) -> bool:
        return not any(self._states[place] in (State.PENDING, State.MOVING) for place in places)

    def _completed(self, wave: WaveState) -> WaveState:
        return replace(wave, completed_at=wave.completed_at or self.now)

    def _obstacle(self, wave: WaveState, places: range) -> FleetPhase | None:
        """Return the phase in which no member of this wave starts, None where they may."""
        if self.is_failing:
            return "Halted"
        if self.run.paused or self.spec.paused:
            return "Paused"
        if not any(self._states[place] is State.PENDING for place in places):
            return None
        if wave.is_held:
            return "AwaitingApproval"
        if not self.around.is_open:
            return "AwaitingWindow"
        return None

    def _start(self, places: range) -> None:
        awaited: list[int] = []
        is_crowded = False
        # Those first that take up room already: what becomes of them says what is left for others.
        for place in sorted(places, key=lambda one: one not in self._inherited):
            if self._states[place] is not State.PENDING:
                continue
            if len(self._on_the_way) >= self.spec.max_concurrent:
                break
            verdict = judge_start(self.spec, self._case(place, State.PENDING), self.now)
            if verdict.state is State.MOVING and not self._has_room(place):
                is_crowded = True
                continue  # those behind it may be left out all the same
            if verdict.state is State.PENDING:
                awaited.append(place)
            self._settle(place, verdict)
        if is_crowded:
            awaited += sorted(self._inherited.difference(awaited))
        self._awaited = [self.run.members[place].name for place in awaited]

    # What it comes to

    def step(self, phase: FleetPhase) -> Step:
        """Return the whole."""
        run = replace(
            self.run,
            states="".join(self._states),
            moving=self._since,
            failures=tuple(self._failures[-_MOST_FAILURES:]),
            waves=tuple(self._waves),
            phase=phase,
            ended_at=self._ended_at(phase),
        )
        wave = self._current.name if self._current is not None else ""
        hold = Hold(wave=wave, unavailable=len(self._unavailable), awaited=self._awaited)
        reason, message = describe(self.spec, run, self.around, hold)
        if phase in ("AwaitingWindow", "Progressing") and self.around.changes_at is not None:
            self._due.append(self.around.changes_at)
        left = [(due - self.now).total_seconds() for due in self._due if due > self.now]
        return Step(
            run=run,
            reason=reason,
            message=message,
            released=tuple(self._released),
            unavailable=len(self._unavailable),
            wave=wave,
            requeue_after_seconds=min(left, default=None),
        )

    def _ended_at(self, phase: FleetPhase) -> datetime | None:
        if phase not in OVER or self._on_the_way:
            return None
        return min(self.run.ended_at or self.now, self.now)
