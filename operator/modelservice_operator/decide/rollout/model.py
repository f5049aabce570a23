"""What the planner reads and what it answers: plain, immutable values. Imports nothing of the operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Strategy = Literal["RollingUpdate", "Recreate", "Canary", "BlueGreen"]
Phase = Literal["Complete", "Progressing", "Aborted"]
"""Complete: the target is the stable revision. Aborted: the target was given up, stable serves on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """What the user wants of a rollout.

    `max_surge` and `max_unavailable` are a number of pods or a percentage of `replicas` (`"25%"`).
    `surge_probe_seconds` is how long a pod of the surge may find no room; None waits for room.
    `allow_downtime` lets the only pod go before a new one comes where there is no room for both.
    """

    replicas: int
    strategy: Strategy = "RollingUpdate"
    max_surge: int | str = 1
    max_unavailable: int | str = 0
    progress_deadline_seconds: int = 600
    surge_probe_seconds: int | None = 30
    allow_downtime: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the rollout to this target has found out about room for its surge, as its status records it.

    `missing` pods of the target find no room now, since `short_since`. `surge` pods above `replicas` do have
    room: that was decided at `decided_at`, when so many `replicas` were wanted, and is None before.
    """

    missing: int = 0
    short_since: datetime | None = None
    surge: int | None = None
    replicas: int | None = None
    decided_at: datetime | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """That pods are being tried for which there may be no room.

    `surplus` pods are above `replicas`; `seconds` is how long they may find no room.
    """

    replicas: int
    surplus: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionState:
    """The Deployment of one revision, as observed.

    `wanted` is its `spec.replicas`; `pods`, `available` and `terminating` come from its status; pods that
    terminate are not among `pods`. `settled` says that the Deployment controller has seen the newest
    `wanted`; until then `available` may be out of date.
    """

    name: str
    wanted: int
    pods: int
    available: int
    terminating: int = 0
    settled: bool = True

    @property
    def occupied(self) -> int:
        """Pods that exist or are about to."""
        return max(self.wanted, self.pods)

    @property
    def serving(self) -> int:
        """Available pods that stay when the controller has acted on `wanted`."""
        return min(self.available, self.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """All that the planner may know.

    `revisions` holds one state for each Deployment that exists. `stable` is None until a first rollout is
    complete. `started_at` is when work on the target began, None where it has not begun. `aborted` says
    that the target was given up before. `leaving` are pods of any revision that are being stopped and hold
    their place still; None where nobody has looked yet. `asked_at` is when a pod of the target was asked for
    last after it had to wait for those, `down_since` since when nothing has answered.
    """

    target: str
    stable: str | None
    revisions: tuple[RevisionState, ...]
    started_at: datetime | None = None
    aborted: bool = False
    leaving: int | None = 0
    asked_at: datetime | None = None
    down_since: datetime | None = None
    capacity: Capacity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The next step of a rollout.

    `replicas` has an entry for each revision that shall have a Deployment; a revision whose Deployment
    exists but is missing here has no pods left and can go. `weights` are percentages of the traffic that
    the rollout is heading for. `overdue` says that the progress deadline has passed. `waits_for_leaving`
    says that new pods wait until those that are leaving are gone, which happens only where `is_tight`;
    `held` that the only pod would have to go first, which is not allowed. `capacity` is what this step goes
    by; whoever sees pods goes on from there, with `probe`.
    """

    replicas: Mapping[str, int]
    weights: Mapping[str, int]
    stable: str | None
    phase: Phase
    overdue: bool = False
    waits_for_leaving: bool = False
    is_tight: bool = False
    held: bool = False
    capacity: Capacity | None = None
    probe: Probe | None = None
    requeue_after_seconds: float | None = None
