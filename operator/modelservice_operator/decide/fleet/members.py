"""What becomes of one member, by what is seen of it. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from modelservice_operator.facts.fleet import FAILED, GOING_BACK, State

if TYPE_CHECKING:
    from datetime import datetime

    from modelservice_operator.decide.fleet.model import Acknowledged, FleetSpec, Seen
    from modelservice_operator.facts.fleet import Member


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a member from now on, or when to look again."""

    state: State
    reason: str = ""
    message: str = ""
    due_at: datetime | None = None
    """When time alone changes something."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One member, the state that is recorded, and what is seen of it."""

    member: Member
    state: State
    seen: Seen | None
    """None where it was deleted: another one of its name is a stranger."""
    runtime: str
    """The ModelRuntime of the run."""
    request: str
    """What it acknowledges once it has taken what it is told."""

    @property
    def has_failed(self) -> bool:
        """Whether it failed, whatever becomes of it now."""
        return self.state in FAILED

    @property
    def answer(self) -> Acknowledged | None:
        """What it says of what it was told, None where it has not taken it yet."""
        known = self.seen.acknowledged if self.seen is not None else None
        return known if known is not None and known.request == self.request else None

    def deleted(self) -> Verdict:
        """Return what becomes of a member that is gone."""
        return self.left(State.DROPPED, "Deleted", "It was deleted.")

    def left(self, state: State, reason: str, message: str) -> Verdict:
        """Return what becomes of a member that its user took away: that it failed stays true."""
        return Verdict(state=State.STRANDED if self.has_failed else state, reason=reason, message=message)


def _judge_left(case: Case, seen: Seen) -> Verdict | None:
    """Return what becomes of a member that is not this run's to move any more; None where it is.

    Its user may pin it or give it another ModelRuntime at any time, and it is taken as it is.
    """
    answer = case.answer
    if answer is not None:
        return case.left(State.ELSEWHERE, "Refused", answer.message) if answer.phase == "Refused" else None
    if seen.is_pinned:
        return case.left(State.PINNED, "Pinned", "spec.runtime.pin leaves it as it is.")
    if seen.runtime != case.runtime:
        return case.left(State.ELSEWHERE, "Edited", f"It has ModelRuntime {seen.runtime!r} now.")
    return None


def judge_start(spec: FleetSpec, case: Case, now: datetime) -> Verdict:
    """Return what becomes of a member whose turn has come; `MOVING`: it starts, `PENDING`: it is waited for.

    One that its user is changing is waited for, so that never two things change at once.
    """
    seen, wait = case.seen, timedelta(seconds=spec.member_deadline_seconds)
    if seen is None:
        return case.deleted()
    if (left := _judge_left(case, seen)) is not None:
        return left
    if seen.has(case.member.gets):
        return Verdict(state=State.UPDATED)
    if not seen.is_current:
        return Verdict(state=State.PENDING)
    if seen.is_broken:
        return Verdict(state=State.BROKEN)
    if seen.is_ready:
        return Verdict(state=State.MOVING)
    due = seen.ready_since + wait if seen.ready_since is not None else now
    return Verdict(state=State.PENDING, due_at=due) if due > now else Verdict(state=State.BROKEN)


def judge_moving(spec: FleetSpec, case: Case, since: datetime, now: datetime) -> Verdict:
    """Return what became of a member that was told to take the new image."""
    seen, answer = case.seen, case.answer
    if seen is None:
        return case.deleted()
    if (left := _judge_left(case, seen)) is not None:
        return left
    if answer is not None and answer.phase == "Failed":
        return Verdict(state=State.FAILED, reason="RolloutGivenUp", message=answer.message)
    if seen.has(case.member.gets):
        healthy_at = max(since, seen.ready_since or since) + timedelta(seconds=spec.soak_seconds)
        return Verdict(state=State.UPDATED if healthy_at <= now else State.MOVING, due_at=healthy_at)
    if answer is not None and answer.phase == "Complete" and seen.is_ready and seen.is_current:
        # It had the image, and its user has taken it elsewhere since.
        return case.left(State.ELSEWHERE, "Edited", f"It has {seen.image} now.")
    is_worse = answer is not None and answer.phase == "Complete" and seen.is_degraded and not seen.is_ready
    if answer is not None and seen.is_current and (seen.is_stuck or is_worse):
        return Verdict(state=State.FAILED, reason=seen.reason, message=seen.message)
    if answer is not None and answer.phase == "Complete":
        # It has had it: that pods are moved, or more of them wanted, while it soaks is no failure.
        return _in_time(case, since, spec.member_deadline_seconds + spec.soak_seconds, now)
    return _in_time(case, since, spec.member_deadline_seconds, now)


def judge_returning(spec: FleetSpec, case: Case, since: datetime, now: datetime) -> Verdict:
    """Return what became of a member that was told to take back the image that it had, or is to be told."""
    seen, answer = case.seen, case.answer
    if seen is None:
        return case.deleted()
    # Before it has taken note it may be about to take the new image.
    is_back = seen.has(case.member.had) and (answer is not None or seen.is_pinned)
    if is_back or case.member.had == case.member.gets:
        return Verdict(state=State.FAILED_RETURNED if case.has_failed else State.RETURNED)
    if (left := _judge_left(case, seen)) is not None:
        return left
    if answer is not None and answer.phase == "Failed":
        return Verdict(state=State.STRANDED, reason="RolloutGivenUp", message=answer.message)
    if answer is not None and answer.phase == "Complete" and seen.is_ready and seen.is_current:
        return case.left(State.ELSEWHERE, "Edited", f"It has {seen.image} now.")
    if answer is not None and seen.is_current and seen.is_stuck:
        return Verdict(state=State.STRANDED, reason=seen.reason, message=seen.message)
    return _in_time(case, since, spec.member_deadline_seconds, now)


def _in_time(case: Case, since: datetime, seconds: int, now: datetime) -> Verdict:
    """Return that it is waited for, or has failed when the time is over."""
    deadline, seen = since + timedelta(seconds=seconds), case.seen
    if deadline > now:
        return Verdict(state=case.state, due_at=deadline)
    said = f" {seen.message}" if seen is not None and seen.message else ""
    state = State.STRANDED if case.state in GOING_BACK else State.FAILED
    message = f"Not Ready within {seconds} s.{said}"
    return Verdict(state=state, reason="MemberDeadlineExceeded", message=message)
