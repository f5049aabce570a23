"""The status of a RuntimeRollout: what the operator reports, and all that it remembers of a run."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.modelruntime import ModelRuntimeSpec
from modelservice_operator.api.runtimerollout import MOST_MEMBERS, MOST_MOVING, MOST_WAVES
from modelservice_operator.api.status import Condition
from modelservice_operator.api.types.base import ApiModel, between, limited, list_map
from modelservice_operator.api.types.figures import Count, Time

MOST_IMAGES = 200
MOST_FAILURES = 50
MOST_HISTORY = 20

FleetPhase = Literal[
    "Pending",
    "Progressing",
    "Paused",
    "AwaitingApproval",
    "AwaitingWindow",
    "Halted",
    "RollingBack",
    "RolledBack",
    "Aborted",
    "Superseded",
    "Complete",
]
MemberName = Annotated[str, limited(128)]
"""Namespace and name of a ModelService, as `mail/spam`."""


class FleetCounts(ApiModel):
    """Members by what became of them."""

    members: Count
    """All."""
    pending: Count = 0
    """Those that have not started."""
    moving: Count = 0
    """Those that are on their way, there or back, or not healthy for long enough."""
    updated: Count = 0
    """Those that have the new image."""
    failed: Count = 0
    """Those that did not get it, or not healthily, whatever became of them then."""
    skipped: Count = 0
    """Those that were left out: they were broken before, are pinned, or went another way."""
    dropped: Count = 0
    """Those that were deleted."""
    rolled_back: Count = 0
    """Those, failed or not, that have the image from before again."""


class WaveStatus(FleetCounts):
    """How far a wave is. In `members` its own stand behind those of the waves before."""

    name: Annotated[str, limited(63)]
    """Its name."""
    approved_at: Time | None = None
    """When a person approved it."""
    started_at: Time | None = None
    """When its first member started."""
    completed_at: Time | None = None
    """When its last member was done."""


class MovingMember(ApiModel):
    """A member that is on its way."""

    member: MemberName
    """Which one."""
    since: Time
    """Since when: its deadline runs from here."""


class FailedMember(ApiModel):
    """Why a member failed, or was left out though it might have moved."""

    member: MemberName
    """Which one."""
    reason: Annotated[str, limited(128)]
    """Why, as one CamelCase word."""
    message: Annotated[str, limited(512)] = ""
    """Why, for people."""
    time: Time
    """When."""


class FleetAction(ApiModel):
    """What came of the newest request in the annotation modelservice.dev/fleet-action."""

    request: Annotated[str, limited(128)]
    """The annotation's value."""
    accepted: bool = False
    """Whether it changed anything."""
    message: Annotated[str, limited(1024)] = ""
    """What was done, or why nothing was."""


class PastPhase(ApiModel):
    """A phase that it came to."""

    phase: FleetPhase
    """Which one."""
    time: Time
    """When it began."""
    message: Annotated[str, limited(256)] = ""
    """Why."""


class RuntimeRolloutStatus(ApiModel):
    """What the operator reports."""

    observed_generation: Annotated[int, between(0, 2**53)] | None = None
    """The generation of the RuntimeRollout that this was decided for."""
    phase: FleetPhase | None = None
    """How far it is, in a word."""
    wave: Annotated[str, limited(63)] | None = None
    """The wave whose turn it is."""
    progress: Annotated[str, limited(16)] | None = None
    """Updated members of all that have not been dropped, as `118/300`."""
    counts: FleetCounts | None = None
    """Members by what became of them."""
    unavailable: Count | None = None
    """Those without an available pod that should have one, when this was written."""
    started_at: Time | None = None
    """When the members were chosen."""
    runtime: ModelRuntimeSpec | None = None
    """The ModelRuntime as it was when the members were chosen: all of them get it so."""
    ended_at: Time | None = None
    """When it was over."""
    paused: bool | None = None
    """Whether a person asked it to pause, and not to go on since."""
    waves: Annotated[tuple[WaveStatus, ...], list_map("name", MOST_WAVES)] | None = None
    """How far each wave is."""
    images: Annotated[tuple[Annotated[str, limited(512)], ...], Field(max_length=MOST_IMAGES)] | None = None
    """Images that members had at the start, or shall get."""
    members: Annotated[tuple[Annotated[str, limited(160)], ...], Field(max_length=MOST_MEMBERS)] | None = None
    """The members in their order, each as `NAMESPACE/NAME UID HAD GETS`: the first characters of its UID, and
    two numbers, of the image that it had and of the one that it gets, in `images`."""
    states: Annotated[str, limited(MOST_MEMBERS)] | None = None
    """The state of each member, a letter each, in their order: P pending, M moving, U updated, F failed,
    B broken before, N pinned, E went another way, D dropped; C goes back and R went back;
    G goes back and V went back after it failed, X could not go back."""
    moving: Annotated[tuple[MovingMember, ...], Field(max_length=MOST_MOVING)] | None = None
    """The members that are on their way, there or back."""
    failures: Annotated[tuple[FailedMember, ...], Field(max_length=MOST_FAILURES)] | None = None
    """The members that failed last, and why."""
    action: FleetAction | None = None
    """What a person asked of it last."""
    supersedes: Annotated[tuple[Annotated[str, limited(253)], ...], Field(max_length=16)] | None = None
    """RuntimeRollouts of the same ModelRuntime that ended because of this one."""
    superseded_by: Annotated[str, limited(253)] | None = None
    """The newer one because of which this one ended."""
    history: Annotated[tuple[PastPhase, ...], Field(max_length=MOST_HISTORY)] | None = None
    """The phases that it came to last."""
    conditions: Annotated[tuple[Condition, ...], list_map("type", 16)] | None = None
    """Ready (complete), Progressing, Degraded, Reconciling and Stalled."""
