"""The number of pods that scaling goes on from, whoever the engine is. Pure.

The autoscaler steers by `spec.replicas`, which the API server sets to 1 where it is left out. So leaving it
out while many pods run would take them away at once: the number that runs has to be recorded, through
`/scale` as an autoscaler does, before there is an autoscaler that could act on the wrong one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.rollout.model import RolloutSpec
from modelservice_operator.decide.rollout.room.limits import max_surge_pods
from modelservice_operator.facts.observed import AutoscalerChild
from modelservice_operator.facts.recorded import engine_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modelservice_operator.api import ModelServiceSpec
    from modelservice_operator.facts.observed import Child, DeploymentChild, Observed

LEFT_OUT = 1
"""The schema's default of `spec.replicas`."""
LOOK_AGAIN_SECONDS = 2.0
"""When to judge again who left the number out: an autoscaler writes its status within milliseconds."""
_BY_SPEC = "spec"
_BY_SCALE = "scale"


def find_autoscaler(children: Iterable[Child], owner_uid: str) -> AutoscalerChild | None:
    """Return the autoscaler among the children of the ModelService."""
    return next(
        (
            child
            for child in children
            if isinstance(child, AutoscalerChild) and child.owner_uid == owner_uid and not child.deleting
        ),
        None,
    )


def wanted_replicas(spec: ModelServiceSpec) -> int:
    """Return the pods wanted in total; 0 switches a service off, with autoscaling too."""
    if spec.autoscaling is None or spec.replicas == 0:
        return spec.replicas
    return min(max(spec.replicas, spec.autoscaling.min_replicas), spec.autoscaling.max_replicas)


class Beginning(msgspec.Struct, frozen=True):
    """The number of pods that scaling goes on from; where it is not certain, it is only kept for now."""

    replicas: int
    is_certain: bool


def find_beginning(
    spec: ModelServiceSpec, observed: Observed, deployments: Sequence[DeploymentChild]
) -> Beginning | None:
    """Return the number to record in `spec.replicas`, None where that says already what is meant.

    It does where it is not the default, and where somebody scaled, an autoscaler included. `managedFields`
    does not always tell who wrote it. Then the autoscaler's own decision does, a moment later: it writes
    `/scale` first and its status afterwards.
    """
    metadata = observed.service["metadata"]
    scaling = spec.autoscaling
    if scaling is None or spec.replicas != LEFT_OUT:
        return None
    running = min(_running(spec, deployments), scaling.max_replicas)
    writers = _writers_of_replicas(metadata)
    if running <= wanted_replicas(spec) or _BY_SCALE in writers:
        return None
    status = observed.service.get("status") or {}
    said = _last_word(status, find_autoscaler(observed.others, metadata["uid"]))
    if said is None or _BY_SPEC in writers:
        return Beginning(running, is_certain=True)
    if said <= LEFT_OUT:
        return None
    return Beginning(running, is_certain=status.get("observedGeneration") == metadata.get("generation"))


def is_steered(status: Mapping[str, Any], autoscaler: AutoscalerChild | None) -> bool:
    """Whether an engine goes by the number in the spec already."""
    return _last_word(status, autoscaler) is not None


def _last_word(status: Mapping[str, Any], autoscaler: AutoscalerChild | None) -> int | None:
    """Return the number that an engine decided for last; 0 where it does not say; None without an engine."""
    engine = engine_of(status)
    if autoscaler is not None:
        return autoscaler.desired
    if engine == "Builtin":
        return int((status.get("autoscaler") or {}).get("desired", 0))
    return 0 if engine == "Keda" else None


def is_written_by_hand(metadata: Mapping[str, Any]) -> bool:
    """Whether `spec.replicas` was written last with the spec, and surely by nobody through `/scale`."""
    return _writers_of_replicas(metadata) == {_BY_SPEC}


def _writers_of_replicas(metadata: Mapping[str, Any]) -> set[str]:
    """Return how `spec.replicas` was written last, as far as `managedFields` knows: it often does not."""
    entries = metadata.get("managedFields") or ()
    return {
        _BY_SCALE if entry.get("subresource") == "scale" else _BY_SPEC
        for entry in entries
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", ())
    }


def _running(spec: ModelServiceSpec, deployments: Sequence[DeploymentChild]) -> int:
    """Return the pods that are wanted now, without those that a rollout has in surplus."""
    counts = [one.spec_replicas for one in deployments if not one.deleting]
    if len(counts) < 2:
        return sum(counts)
    surge = max_surge_pods(RolloutSpec(replicas=sum(counts), max_surge=spec.rollout.max_surge))
    return max(*counts, sum(counts) - surge)
