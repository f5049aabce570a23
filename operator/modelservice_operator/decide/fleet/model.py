"""What the planner of waves reads and returns. Pure data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from modelservice_operator.facts.fleet import FAILED, ON_THE_WAY, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.api.fleet_status import FleetPhase
    from modelservice_operator.facts.fleet import Member


class FleetSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How a run goes on; who its members are is decided at its start."""

    max_concurrent: int = 5
    max_unavailable: int | str = "10%"
    soak_seconds: int = 60
    member_deadline_seconds: int = 3600
    max_failures: int = 0
    on_failure: Literal["Halt", "RollbackFailed", "RollbackAll"] = "Halt"
    paused: bool = False

    def most_unavailable(self, members: int) -> int:
        """Return how many of so many members may be unavailable: percentages round down, at least 1."""
        if isinstance(self.max_unavailable, int):
            return self.max_unavailable
        return max(1, members * int(self.max_unavailable.rstrip("%")) // 100)


class WaveState(msgspec.Struct, frozen=True, kw_only=True):
    """One wave; its members stand behind those of the waves before."""

    name: str
    members: int
    needs_approval: bool = False
    approved_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def is_held(self) -> bool:
        """Whether a person has to approve it, and has not."""
        return self.needs_approval and self.approved_at is None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a member failed."""

    member: str
    reason: str
    message: str
    time: datetime


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered of a run: what its status says."""

    request: str
    """What members acknowledge on the way there; `@back` behind it on the way back."""
    members: tuple[Member, ...]
    states: str
    """A letter for each member (`facts.fleet.State`)."""
    waves: tuple[WaveState, ...]
    moving: Mapping[int, datetime] = msgspec.field(default_factory=dict)
    """Since when members are on the way, by their place."""
    failures: tuple[Failure, ...] = ()
    """The newest last."""
    phase: FleetPhase = "Pending"
    paused: bool = False
    """Whether a person asked for a pause."""
    ended_at: datetime | None = None
    has_started: bool = True
    """Whether its members were chosen."""

    def count(self, *states: State) -> int:
        """Return how many members are in one of these states."""
        return sum(self.states.count(state) for state in states)

    @property
    def failed(self) -> int:
        """How many members failed, whatever became of them then."""
        return self.count(*FAILED)

    @property
    def on_the_way(self) -> int:
        """How many members are changing."""
        return self.count(*ON_THE_WAY)


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """What a member says of an assignment that it has taken."""

    request: str
    phase: Literal["Progressing", "Complete", "Failed", "Refused"]
    message: str = ""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A member as it is now."""

    uid: str
    is_deleting: bool = False
    is_pinned: bool = False
    runtime: str = ""
    """The ModelRuntime of its revision; empty while that is not known."""
    image: str = ""
    """The image of its target revision."""
    is_current: bool = True
    """Whether its status is of its newest spec."""
    is_ready: bool = True
    ready_since: datetime | None = None
    """Since when it is Ready, or is not."""
    is_available: bool = True
    """Whether it answers, or is wanted to have no pod."""
    is_stalled: bool = False
    is_given_up: bool = False
    """Whether its change was given up, which is what its answer is going to say."""
    is_degraded: bool = False
    reason: str = ""
    message: str = ""
    """What Ready says."""
    acknowledged: Acknowledged | None = None

    @property
    def is_broken(self) -> bool:
        """Whether it will not become ready without somebody, or does not answer."""
        return not self.is_ready and (self.is_stalled or self.is_degraded or not self.is_available)

    @property
    def is_stuck(self) -> bool:
        """Whether it can go no further, and no answer is going to say so."""
        return self.is_stalled and not self.is_given_up and not self.is_ready

    def has(self, image: str) -> bool:
        """Return whether it serves with this image, at its newest spec."""
        return self.is_ready and self.is_current and self.image == image


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What else a run goes by."""

    runtime: str
    """The ModelRuntime that members have."""
    is_open: bool = True
    """Whether members may start at this time."""
    changes_at: datetime | None = None
    """When that changes."""
    superseded_by: str | None = None
    """The newer run that took over (`facts.succession`)."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a run came to."""

    run: Run
    reason: str
    message: str
    released: tuple[str, ...] = ()
    """Members that are told something new: they have to look."""
    unavailable: int = 0
    wave: str = ""
    """The wave whose turn it is; empty behind the last."""
    requeue_after_seconds: float | None = None
