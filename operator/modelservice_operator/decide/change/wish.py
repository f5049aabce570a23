"""What the user of a ModelService wants, as far as it can be understood. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from modelservice_operator.api import BlueGreen, Rollout, to_canonical
from modelservice_operator.decide.change.assigned import Updates
from modelservice_operator.decide.rollout.model import Analyse, RolloutSpec, SetWeight, Wait
from modelservice_operator.decide.rollout.planner import hold, plan
from modelservice_operator.decide.routing.wanted import RouteWish
from modelservice_operator.facts import names

if TYPE_CHECKING:
    from datetime import datetime

    from modelservice_operator.api import (
        Analysis,
        Canary,
        CanaryStep,
        InvalidSpec,
        ModelService,
        ModelServiceSpec,
    )
    from modelservice_operator.decide.autoscaling.beginning import Beginning
    from modelservice_operator.decide.revision import Revision
    from modelservice_operator.decide.rollout.model import Plan, RolloutState, Step
    from modelservice_operator.decide.runtimes import RuntimeProblem
    from modelservice_operator.facts.observed import Observed

_MAX_REPLICAS = 10_000
_BLUE_GREEN = BlueGreen()


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants, as far as it can be understood."""

    target: Revision | None
    replicas: int | None
    """None where even that cannot be read: then everything stays as it is."""
    rollout: Rollout
    """How a change goes on, also one that was begun before the spec became invalid."""
    beginning: Beginning | None = None
    """Pods that run and shall go on to, where the spec has left out how many."""
    route: RouteWish = msgspec.field(default_factory=RouteWish)
    service: ModelService | None = None
    problems: InvalidSpec | None = None
    runtime_problem: RuntimeProblem | None = None
    updates: Updates = msgspec.field(default_factory=Updates)
    """What came of wishes for another runtime."""

    @property
    def spec(self) -> ModelServiceSpec | None:
        """The spec, None where it is invalid."""
        return self.service.spec if self.service else None

    @property
    def deadline_seconds(self) -> int:
        """The progress deadline; 0 where the spec cannot be read, so that nothing is tried again."""
        return self.spec.rollout.progress_deadline_seconds if self.spec else 0

    @property
    def goes_by_capacity(self) -> bool:
        """Whether what is recorded about room counts; where the spec cannot be read, it stays as it is."""
        return self.spec is None or self.spec.rollout.capacity_policy == "Auto"

    def at_least(self, floor: int) -> Wish:
        """Return the same with at least so many pods, where their number can be read."""
        if self.replicas is None or self.replicas >= floor:
            return self
        return replace(self, replicas=floor)

    def next_step(self, state: RolloutState, now: datetime) -> Plan:
        """Return the next step of the rollout."""
        if self.replicas is None:
            return hold(state, now)
        spec = read_rollout(self.rollout, self.replicas)
        if self.spec is None:
            spec = replace(spec, progress_deadline_seconds=Rollout().progress_deadline_seconds)
        if self.spec is None or not self.goes_by_capacity:
            spec = replace(spec, surge_probe_seconds=None)
        if self.route.is_gateways or self.route.shows_candidate:
            spec = replace(spec, is_routed=self.route.is_gateways, is_shown=self.route.shows_candidate)
        return plan(spec, state, now)


def read_rollout(rollout: Rollout, replicas: int) -> RolloutSpec:
    """Return what the planner goes by."""
    blue_green = rollout.blue_green or _BLUE_GREEN
    is_blue_green, watched = rollout.strategy == "BlueGreen", rollout.last_analysis
    return RolloutSpec(
        replicas=replicas,
        strategy=rollout.strategy,
        max_surge=rollout.max_surge,
        max_unavailable=rollout.max_unavailable,
        surge_probe_seconds=rollout.surge_probe_seconds,
        allow_downtime=rollout.allow_downtime,
        progress_deadline_seconds=rollout.progress_deadline_seconds,
        steps=tuple(_read_step(one) for one in rollout.canary.steps) if rollout.canary else (),
        steps_hash=_hash_of(rollout.canary) if rollout.canary else "",
        auto_promote=blue_green.auto_promote,
        preview_seconds=blue_green.preview_seconds,
        scale_down_delay_seconds=blue_green.scale_down_delay_seconds if is_blue_green else 0,
        contract=rollout.contract,
        is_evaluated=rollout.evaluation is not None,
        watch=_read_analysis(watched) if watched else None,
        rollback_window_seconds=rollout.rollback_window_seconds,
    )


def _read_step(step: CanaryStep) -> Step:
    if step.analysis is not None:
        return _read_analysis(step.analysis)
    return SetWeight(step.set_weight or 0) if step.pause is None else Wait(step.pause.duration_seconds)


def _read_analysis(analysis: Analysis) -> Analyse:
    return Analyse(analysis.count, analysis.failure_limit, analysis.inconclusive_limit)


def _hash_of(canary: Canary) -> str:
    return names.revision_name(to_canonical(canary))


def raw_replicas(observed: Observed) -> int | None:
    """Return the replicas of a spec that is invalid elsewhere, None where they are invalid too."""
    spec = observed.service.get("spec")
    replicas = spec.get("replicas") if isinstance(spec, dict) else None
    return replicas if type(replicas) is int and 0 <= replicas <= _MAX_REPLICAS else None
