"""What one reconciliation has to do, as one value. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.change.assigned import Updates

if TYPE_CHECKING:
    from modelservice_operator.api import InvalidSpec, ModelService
    from modelservice_operator.decide.autoscaling.engine import Scaling
    from modelservice_operator.decide.change.evaluating import Evaluating
    from modelservice_operator.decide.change.steering import Steering
    from modelservice_operator.decide.resources.explainer import Explainer
    from modelservice_operator.decide.revision import Revision
    from modelservice_operator.decide.rollout.model import Plan
    from modelservice_operator.decide.routing.wanted import RouteWish
    from modelservice_operator.decide.runtimes import RuntimeProblem
    from modelservice_operator.decide.standby.switch import Switch
    from modelservice_operator.facts.measured import MeasureRequest
    from modelservice_operator.facts.observed import Child


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one reconciliation has to do.

    `desired` are full objects for server-side apply, in this order; where a ControllerRevision cannot be
    written, its Deployment must wait. `retire` are owned children to delete, with their UID as precondition.
    `stable` is the stable revision from now on. `wants_pods` asks for `Observed.pods` in `compute_status`.
    """

    service: ModelService | None = None
    problems: InvalidSpec | None = None
    runtime_problem: RuntimeProblem | None = None
    desired: tuple[dict[str, Any], ...] = ()
    retire: tuple[Child, ...] = ()
    plan: Plan | None = None
    target: Revision | None = None
    stable: str | None = None
    serving: Revision | None = None
    """The stable revision with its snapshot; the target until there is a stable one."""
    replicas: int = 0
    """Pods wanted in total: one more than asked for while nobody can stand in for the last one."""
    standby: Switch | None = None
    """Who leads clients, the pods or the activator; None where there is no revision to lead to."""
    steering: Steering | None = None
    """What people ask of the rollout, None where there is none."""
    evaluating: Evaluating | None = None
    """The evaluation of the target, where it goes on."""
    updates: Updates = msgspec.field(default_factory=Updates)
    """What came of wishes for another runtime."""
    measures: MeasureRequest | None = None
    """What an analysis wants to have measured."""
    begin_with: int | None = None
    """Pods to record in `spec.replicas` first, because an autoscaler is going to begin from there."""
    route: RouteWish | None = None
    """How requests shall come from outside."""
    explainer: Explainer | None = None
    """Who explains answers, where that is wanted."""
    scaling: Scaling | None = None
    """Who steers the number of pods."""
    inactive: str | None = None
    """Why the autoscaler has not been able to work for a while."""
    wants_pods: bool = False
    look_after_seconds: float | None = None
    """When to look at pods that are not available again, where nothing tells that they changed."""
    uncompared: str | None = None
    """The resourceVersion of the serving Deployment, where its pods are all available and it is not known yet
    whether they loaded the same model."""
    requeue_after_seconds: float | None = None
