"""The decision about one RuntimeRollout: from what is seen to what it says, and to whom. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from modelservice_operator.api import InvalidSpec, parse_runtime_rollout
from modelservice_operator.decide.fleet.asking import Answer, find_request, obey, read_answer
from modelservice_operator.decide.fleet.choosing import ChoiceProblem, choose_members
from modelservice_operator.decide.fleet.model import Around, Step
from modelservice_operator.decide.fleet.planner import plan
from modelservice_operator.decide.fleet.record import begin_run, read_run, read_spec
from modelservice_operator.facts.fleet import OVER, UnreadableError
from modelservice_operator.facts.maintenance import Opening, WindowError, opening, parse_window
from modelservice_operator.facts.succession import find_predecessors, find_successor, has_started

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelservice_operator.api import RuntimeRollout, RuntimeRolloutSpec
    from modelservice_operator.api.fleet_status import FleetPhase
    from modelservice_operator.decide.fleet.model import Run, Seen


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen, when a RuntimeRollout has its turn."""

    rollout: Mapping[str, Any]
    others: Sequence[Mapping[str, Any]] = ()
    """All other RuntimeRollouts."""
    runtimes: Sequence[Mapping[str, Any]] = ()
    seen: Mapping[str, Seen]
    """Its members, by name."""
    services: Sequence[Mapping[str, Any]] | None = None
    """All ModelServices, as far as choosing reads them; None where nobody has looked yet."""


class FleetDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a RuntimeRollout came to."""

    step: Step | None = None
    problem: ChoiceProblem | None = None
    """What somebody has to mend first; without a step the status stays as it is otherwise."""
    runtime: Mapping[str, Any] | None = None
    """Where the members were chosen now: the spec of the ModelRuntime that all of them get."""
    answer: Answer | None = None
    supersedes: tuple[str, ...] = ()
    superseded_by: str | None = None
    wants_services: bool = False
    """Whether the members are to be chosen now: then nothing else is decided yet."""
    is_expired: bool = False
    """Whether it has been kept for long enough."""
    requeue_after_seconds: float | None = None


def decide_fleet(fleet: Fleet, now: datetime) -> FleetDecision:
    """Return what to do about one RuntimeRollout."""
    try:
        rollout = parse_runtime_rollout(fleet.rollout)
    except InvalidSpec as problems:
        return FleetDecision(problem=ChoiceProblem(reason="InvalidSpec", message=str(problems)))
    try:
        run = read_run(fleet.rollout, rollout.spec)
    except UnreadableError as error:
        return FleetDecision(problem=_unreadable(error))
    answer = read_answer(fleet.rollout.get("status") or {})
    request = find_request(fleet.rollout)
    if request is not None:
        run, answer = obey(run, request, find_successor(fleet.rollout, fleet.others), now)
    turn = _Turn(fleet, rollout, run, _opening(rollout.spec, now), now)
    decision = turn.go_on(run) if has_started(fleet.rollout) else turn.begin()
    return replace(decision, answer=answer)


def _unreadable(error: UnreadableError) -> ChoiceProblem:
    """Nobody can tell any more who the members are, or which of them have moved."""
    remedy = "Nobody is told anything any more: delete it, and make another one"
    return ChoiceProblem(reason="StatusUnreadable", message=f"{error}. {remedy}.")


def _opening(spec: RuntimeRolloutSpec, now: datetime) -> Opening | ChoiceProblem:
    """Return whether members may start, or what is wrong with the windows."""
    windows = []
    for number, one in enumerate(spec.maintenance_windows):
        try:
            windows.append(parse_window(one.schedule, one.time_zone, one.duration_seconds))
        except WindowError as error:
            message = f"spec.maintenanceWindows[{number}].{error}"
            return ChoiceProblem(reason="WindowInvalid", message=message)
    return opening(windows, now)


class _Turn:
    """One RuntimeRollout that can be understood, and what it goes by."""

    def __init__(
        self,
        fleet: Fleet,
        rollout: RuntimeRollout,
        run: Run,
        windows: Opening | ChoiceProblem,
        now: datetime,
    ) -> None:
        self._fleet, self._spec, self._run, self._now = fleet, rollout.spec, run, now
        self._broken = windows if isinstance(windows, ChoiceProblem) else None
        self._windows = windows if isinstance(windows, Opening) else Opening(is_open=False, changes_at=None)
        self._newer = find_successor(fleet.rollout, fleet.others)

    def begin(self) -> FleetDecision:
        """Choose the members, unless something has to happen first."""
        run, spec = self._run, self._spec
        if run.phase in ("Aborted", "RollingBack"):
            return self._waiting("Aborted", "Aborted", "It was ended before it started.")
        if self._newer is not None:
            return self._waiting("Superseded", "Superseded", f"RuntimeRollout {self._newer} took over.")
        if spec.paused or run.paused:
            by = "spec.paused is true" if spec.paused else "somebody asked for that; 'resume' goes on"
            return self._waiting("Paused", "Paused", f"No members are chosen yet: {by}.")
        if self._broken is not None:
            return self._problem(self._broken)
        choice = choose_members(spec, self._fleet.services or (), self._fleet.runtimes)
        if isinstance(choice, ChoiceProblem):
            return self._problem(choice)
        if self._fleet.services is None:
            return FleetDecision(wants_services=True)
        begun = begin_run(self._run, choice)
        supersedes = find_predecessors(self._fleet.rollout, self._fleet.others)
        return replace(self.go_on(begun), runtime=choice.runtime, supersedes=supersedes)

    def go_on(self, run: Run) -> FleetDecision:
        """Return the next step of a run; windows that cannot be understood hold up starts alone."""
        around = Around(
            runtime=self._spec.target.runtime,
            is_open=self._windows.is_open,
            changes_at=self._windows.changes_at,
            superseded_by=self._newer,
        )
        step = plan(read_spec(self._spec), run, self._fleet.seen, around, self._now)
        if self._broken is None or step.run.phase != "AwaitingWindow":
            return self._decision(step)
        step = replace(step, reason=self._broken.reason, message=self._broken.message)
        return replace(self._decision(step), problem=self._broken)

    def _problem(self, problem: ChoiceProblem) -> FleetDecision:
        return replace(self._waiting("Pending", problem.reason, problem.message), problem=problem)

    def _waiting(self, phase: FleetPhase, reason: str, message: str) -> FleetDecision:
        """Return that there are no members."""
        ended_at = (self._run.ended_at or self._now) if phase in OVER else None
        run = replace(self._run, phase=phase, ended_at=ended_at)
        return self._decision(Step(run=run, reason=reason, message=message))

    def _decision(self, step: Step) -> FleetDecision:
        left = self._seconds_left(step)
        is_expired = left is not None and left <= 0
        delays = [step.requeue_after_seconds, None if is_expired else left]
        return FleetDecision(
            step=step,
            superseded_by=self._newer if step.run.phase == "Superseded" else None,
            is_expired=is_expired,
            requeue_after_seconds=min((one for one in delays if one is not None), default=None),
        )

    def _seconds_left(self, step: Step) -> float | None:
        """Return for how long it is kept, None where that has no end."""
        kept, ended_at = self._spec.ttl_seconds_after_finished, step.run.ended_at
        if kept is None or ended_at is None:
            return None
        return (ended_at + timedelta(seconds=kept) - self._now).total_seconds()
