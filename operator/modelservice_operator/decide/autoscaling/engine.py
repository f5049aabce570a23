"""Which engine steers the number of pods: what the spec names, else a choice that is kept. Pure.

An engine writes the ModelService's `/scale` and nothing else. At most one has its object at a time: that of
another goes first. Products that come later take over no service that is steered; one that goes away gives
its services back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec.structs import replace

from modelservice_operator.api.spec.autoscaling import HPA_ALONE, OF_PODS
from modelservice_operator.decide.resources.autoscaler import build_autoscaler
from modelservice_operator.decide.resources.scaled_object import build_scaled_object
from modelservice_operator.facts.kinds import AUTOSCALERS, SCALED_OBJECTS
from modelservice_operator.facts.recorded import engine_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modelservice_operator.api import Autoscaling
    from modelservice_operator.decide.resources.metadata import Owner
    from modelservice_operator.facts.observed import Child, ClusterFacts
    from modelservice_operator.facts.recorded import Engine

OBJECTS: Mapping[Engine, str] = {"HPA": AUTOSCALERS.kind, "Keda": SCALED_OBJECTS.kind}
"""The kind of object by which an engine is told what to do."""
_OWNERS: Mapping[str, Engine] = {kind: engine for engine, kind in OBJECTS.items()}

Obstacle = Literal["KedaMissing", "AutoscalerMissing", "AutoscalerSilent"]


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """Who steers the number of pods."""

    engine: Engine
    autoscaling: Autoscaling | None
    """What the spec asks for; None where it cannot be read, and all stays as it is."""
    obstacle: Obstacle | None = None
    """Why nobody does, and the number stays."""
    is_begun: bool = True
    """Whether it may act: not before the number that it goes on from is recorded."""

    def awake(self) -> Scaling:
        """Return the same for a service that cannot sleep: an engine that goes to 0 keeps one pod."""
        if self.autoscaling is None or self.autoscaling.min_replicas:
            return self
        return replace(self, autoscaling=self.autoscaling.model_copy(update={"min_replicas": 1}))


def find_scaling(
    autoscaling: Autoscaling | None,
    status: Mapping[str, Any],
    cluster: ClusterFacts,
    *,
    is_begun: bool = True,
) -> Scaling | None:
    """Return who steers; None where nobody is to, or does yet."""
    recorded = engine_of(status)
    engine = recorded if autoscaling is None or not is_begun else _choose(autoscaling, recorded, cluster)
    if engine is None:
        return None
    return Scaling(
        engine=engine,
        autoscaling=autoscaling,
        obstacle=_obstacle(engine, autoscaling, cluster),
        is_begun=is_begun,
    )


def build_object(
    scaling: Scaling | None, owner: Owner, others: Iterable[Child], cluster: ClusterFacts
) -> dict[str, Any] | None:
    """Return the object that tells the engine what to do; None where it has none, or not yet."""
    if scaling is None or scaling.autoscaling is None or scaling.obstacle or not scaling.is_begun:
        return None
    if any(is_of_another(child, scaling.engine) for child in others if child.owner_uid == owner.uid):
        return None
    if scaling.engine == "HPA":
        return build_autoscaler(owner, scaling.autoscaling)
    if scaling.engine == "Keda":
        return build_scaled_object(owner, scaling.autoscaling, cluster.scaler_address)
    return None


def is_of_another(child: Child, engine: Engine) -> bool:
    """Whether the child tells another engine what to do, and is not on its way out."""
    return _OWNERS.get(child.kind, engine) != engine and not child.deleting


def _choose(autoscaling: Autoscaling, recorded: Engine | None, cluster: ClusterFacts) -> Engine:
    if autoscaling.provider != "Auto":
        return autoscaling.provider
    if autoscaling.types <= OF_PODS | HPA_ALONE:
        return "HPA"
    if recorded == "Builtin" or _obstacle("Keda", autoscaling, cluster) is not None:
        return "Builtin"
    # Where it is not shown to us any more, it may steer all the same.
    return "Keda" if recorded == "Keda" or SCALED_OBJECTS.kind in cluster.kinds else "Builtin"


def _obstacle(engine: Engine, autoscaling: Autoscaling | None, cluster: ClusterFacts) -> Obstacle | None:
    if engine == "HPA":
        return None
    if engine == "Keda" and SCALED_OBJECTS.kind not in cluster.kinds | cluster.forbidden:
        return "KedaMissing"
    needs_ours = engine == "Builtin" or (autoscaling is not None and _needs_scaler(autoscaling))
    if needs_ours and not cluster.scaler_address:
        return "AutoscalerMissing"
    return "AutoscalerSilent" if engine == "Builtin" and cluster.is_autoscaler_silent else None


def _needs_scaler(autoscaling: Autoscaling) -> bool:
    """Whether KEDA has to ask us: for what only a server knows, and whether anybody asks for it."""
    return autoscaling.min_replicas == 0 or not autoscaling.types <= OF_PODS
