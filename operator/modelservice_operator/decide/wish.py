"""What the user of a ModelService wants, as far as it can be understood. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modelservice_operator.decide.rollout.model import RolloutSpec
from modelservice_operator.decide.rollout.planner import hold, plan

if TYPE_CHECKING:
    from datetime import datetime

    from modelservice_operator.api import InvalidSpec, ModelService, ModelServiceSpec, Rollout
    from modelservice_operator.decide.autoscaling import Beginning
    from modelservice_operator.decide.revision import Revision
    from modelservice_operator.decide.rollout.model import Plan, RolloutState
    from modelservice_operator.decide.runtimes import RuntimeProblem
    from modelservice_operator.facts.observed import Observed

_MAX_REPLICAS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user wants, as far as it can be understood."""

    target: Revision | None
    replicas: int | None
    """None where even that cannot be read: then everything stays as it is."""
    rollout: Rollout
    """How a change goes on, also one that was begun before the spec became invalid."""
    beginning: Beginning | None = None
    """Pods that run and shall go on to, where the spec has left out how many."""
    service: ModelService | None = None
    problems: InvalidSpec | None = None
    runtime_problem: RuntimeProblem | None = None

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

    def next_step(self, state: RolloutState, now: datetime) -> Plan:
        """Return the next step of the rollout."""
        if self.replicas is None:
            return hold(state)
        wanted = self.rollout
        spec = RolloutSpec(
            replicas=self.replicas,
            strategy=wanted.strategy,
            max_surge=wanted.max_surge,
            max_unavailable=wanted.max_unavailable,
            surge_probe_seconds=None,
            allow_downtime=wanted.allow_downtime,
        )
        if self.spec is None:
            return plan(spec, state, now)
        probe_seconds = wanted.surge_probe_seconds if self.goes_by_capacity else None
        deadline_seconds = wanted.progress_deadline_seconds
        timed = replace(spec, surge_probe_seconds=probe_seconds, progress_deadline_seconds=deadline_seconds)
        return plan(timed, state, now)


def raw_replicas(observed: Observed) -> int | None:
    """Return the replicas of a spec that is invalid elsewhere, None where they are invalid too."""
    spec = observed.service.get("spec")
    replicas = spec.get("replicas") if isinstance(spec, dict) else None
    return replicas if type(replicas) is int and 0 <= replicas <= _MAX_REPLICAS else None
