"""What the planner reads and what it answers: plain, immutable values. Imports facts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.facts.routes import RoutePlan

Strategy = Literal["RollingUpdate", "Recreate", "Canary", "BlueGreen"]
Contract = Literal["Enforce", "Warn", "Ignore"]
Evaluated = Literal["Passed", "Failed", "Inconclusive"]
"""What the evaluation of a revision came to."""
Phase = Literal["Progressing", "Verifying", "Paused", "Promoting", "Complete", "Aborted"]
"""Complete: the target is the stable revision. Aborted: the target was given up, stable serves on. The others
are a change that goes on: pods come and go, a gate is looked at, a wait, or all traffic goes over."""
PauseReason = Literal["PauseStep", "Requested", "Inconclusive", "AwaitingPromotion", "Preview"]
Verb = Literal["promote", "pause", "resume"]


class SetWeight(msgspec.Struct, frozen=True):
    """A step of a canary: from here on the target gets so many percent of the traffic."""

    weight: int


class Wait(msgspec.Struct, frozen=True):
    """A step of a canary: so many seconds; None waits for a person."""

    seconds: int | None = None


class Analyse(msgspec.Struct, frozen=True):
    """A step of a canary: so many good measurements, and how many may be bad or say nothing."""

    count: int = 1
    failure_limit: int = 0
    inconclusive_limit: int = 0


Step = SetWeight | Wait | Analyse


class RolloutSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants of a rollout.

    `max_surge` and `max_unavailable` are a number of pods or a percentage of `replicas` (`"25%"`).
    `surge_probe_seconds` is how long a pod of the surge may find no room; None waits for room.
    `allow_downtime` lets the only pod go before a new one comes where there is no room for both.
    `steps` are those of a Canary, `steps_hash` names them. `is_routed` says
    that gateways lead requests here, and split them exactly; `is_shown` that testers or copies of requests go
    to the target. `contract` says what becomes of a target whose
    inputs and outputs break clients. `watch` is looked at for `rollback_window_seconds` after the change.
    `is_evaluated` says that a revision gets no pod before its evaluation was passed.
    """

    replicas: int
    strategy: Strategy = "RollingUpdate"
    max_surge: int | str = 1
    max_unavailable: int | str = 0
    progress_deadline_seconds: int = 600
    surge_probe_seconds: int | None = 30
    allow_downtime: bool = False
    steps: tuple[Step, ...] = ()
    steps_hash: str = ""
    auto_promote: bool = True
    preview_seconds: int = 0
    scale_down_delay_seconds: int = 0
    contract: Contract = "Ignore"
    is_evaluated: bool = False
    watch: Analyse | None = None
    rollback_window_seconds: int = 0
    is_routed: bool = False
    is_shown: bool = False


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
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


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """That pods are being tried for which there may be no room.

    `surplus` pods are above `replicas`; `seconds` is how long they may find no room.
    """

    replicas: int
    surplus: int
    seconds: float


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the rollout of one revision is, as its status records it.

    `since` is when the step at `index` began; with no step left `index` is their number. `short_since` is
    since when pods are missing that the target should have by now. `skips` says that
    nothing of stable has answered for a while (`stable_down_since`), so there are no steps; `promoted` that a
    person wants to skip them.
    `evaluation_hash` names the evaluation that came to `evaluation`, `evaluation_retries` says how often it
    was asked for again, `evaluated_sha256` which file was scored. `measured`, `failed` and `inconclusive`
    count the measurements of the analysis `run`. `reason` says why the revision was given up by a gate.
    `previous` is the revision that this one replaced at `promoted_at`, while it may come back or its pods
    still run.
    """

    revision: str
    evaluation: Evaluated | None = None
    evaluation_hash: str = ""
    evaluation_retries: int = 0
    evaluated_sha256: str = ""
    contract: Literal["Passed", "Failed", "Unknown"] | None = None
    verifying_since: datetime | None = None
    steps_hash: str = ""
    index: int = 0
    since: datetime | None = None
    short_since: datetime | None = None
    skips: bool = False
    stable_down_since: datetime | None = None
    promoted: bool = False
    paused: PauseReason | None = None
    paused_since: datetime | None = None
    run: str = ""
    measured: int = 0
    failed: int = 0
    inconclusive: int = 0
    measured_at: datetime | None = None
    reason: str = ""
    message: str = ""
    previous: str | None = None
    promoted_at: datetime | None = None


class RevisionState(msgspec.Struct, frozen=True, kw_only=True):
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


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """What gateways have been told; `weights` and `shown` are those of a `RoutePlan`.

    `is_settled` says that gateways go by that now, and not by what they
    were told before; until then it takes `settles_in_seconds`. `steady` are revisions that have had pods that
    answer for as long.
    """

    weights: Mapping[str, int] | None = None
    shown: str | None = None
    is_settled: bool = True
    settles_in_seconds: float | None = None
    steady: frozenset[str] = frozenset()


class RolloutState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the planner may know.

    `revisions` holds one state for each Deployment that exists. `stable` is None until a first rollout is
    complete. `started_at` is when work on the target began, None where it has not begun. `aborted` says
    that the target was given up before. `leaving` are pods of any revision that are being stopped and hold
    their place still; None where nobody has looked yet. `asked_at` is when a pod of the target was asked for
    last after it had to wait for those, `down_since` since when nothing has answered. `selected` is the only
    revision that clients are led to, None where they are led to all; without a Service (`has_service`) nobody
    is led anywhere. Where Services do not agree, or lead to a revision that is not there, `selected` is None,
    and `named` are those to which one of them leads alone. `has_served` says that the target was stable once.
    `verb` is what a person asks for right now, `evaluation_retries` what a new record of the target begins
    with. `routing` is None where no route exists.
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
    progress: Progress | None = None
    selected: str | None = None
    named: frozenset[str] = frozenset()
    has_service: bool = True
    has_served: bool = False
    verb: Verb | None = None
    evaluation_retries: int = 0
    routing: Routing | None = None

    def state(self, name: str) -> RevisionState:
        """Return the state of a revision, that of none where it has no Deployment."""
        found = next((one for one in self.revisions if one.name == name), None)
        return found or RevisionState(name=name, wanted=0, pods=0, available=0)

    def has(self, name: str) -> bool:
        """Whether the revision has a Deployment."""
        return any(one.name == name for one in self.revisions)

    def leads_to(self, name: str) -> bool:
        """Whether clients of any Service find the revision's pods now."""
        return not self.has_service or self.selected in (None, name)

    def all_lead_to(self, name: str) -> bool:
        """Whether clients of every Service find the revision's pods now."""
        return self.leads_to(name) and self.named <= {name}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The next step of a rollout.

    `replicas` has an entry for each revision that shall have a Deployment; a revision whose Deployment
    exists but is missing here has no pods left and can go. `weights` are percentages of the traffic, of
    revisions that can answer as far as there are any. `selector` is the only revision that clients are led
    to, None for all of them; `preview` the one behind the preview Service. `overdue` says that the progress
    deadline has passed. `waits_for_leaving` says that new pods wait until those that are leaving are gone,
    which happens only where `is_tight`; `held` that there is no room to go on without what is not allowed.
    `capacity` is what this step goes by; whoever sees pods goes on from there, with `probe`. `progress` is
    to be recorded; `evaluates` asks for the evaluation of the target, `verifies` for a look at its inputs and
    outputs, `measures` for an analysis.
    `lingering` are revisions that keep their pods though the change is complete.
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
    selector: str | None = None
    preview: str | None = None
    progress: Progress | None = None
    evaluates: bool = False
    verifies: bool = False
    measures: str | None = None
    """The name of the run of the analysis that goes on."""
    lingering: frozenset[str] = frozenset()
    fills: str = ""
    """The revision whose pods have to find room."""
    route: RoutePlan | None = None
    """What gateways shall be told; None where none leads here."""

    @property
    def is_under_way(self) -> bool:
        """Whether the change goes on."""
        return self.phase not in ("Complete", "Aborted")
