"""The ScaledObject: KEDA writes the ModelService's own `/scale`, and asks our scaler how busy it is.

Follows keda.sh/v1alpha1 as of KEDA 2.21.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.api.spec.autoscaling import NO_SUMS, OF_PODS
from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.decide.resources.trim import without_empty
from modelservice_operator.facts import labels
from modelservice_operator.facts.kinds import SCALED_OBJECTS

if TYPE_CHECKING:
    from modelservice_operator.api import Autoscaling, Metric

_POLLING_SECONDS = 5
"""KEDA's default of 30 is for queues; what cannot wait comes by its stream."""
ACTIVITY = "Activity"
"""Names no signal to scale by: whether anybody asks."""


def build_scaled_object(owner: Owner, autoscaling: Autoscaling, scaler_address: str) -> dict[str, Any]:
    """Return the ScaledObject; `scaler_address` is where our external scaler answers, host and port."""
    triggers = [_trigger(metric, scaler_address) for metric in autoscaling.metrics]
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": labels.API_VERSION, "kind": "ModelService", "name": owner.name},
        "pollingInterval": _POLLING_SECONDS,
        "minReplicaCount": autoscaling.min_replicas,
        "maxReplicaCount": autoscaling.max_replicas,
        "triggers": triggers,
    }
    idle_seconds = autoscaling.idles_after_seconds
    if idle_seconds is not None:
        # Without the second one it would sleep before anybody could ask.
        spec |= {"cooldownPeriod": idle_seconds, "initialCooldownPeriod": idle_seconds}
        if autoscaling.types <= OF_PODS:
            # KEDA refuses to go to zero by what is only known of pods.
            triggers.append(_external(ACTIVITY, "AverageValue", scaler_address))
    behavior = without_empty(autoscaling.behavior.to_dict()) if autoscaling.behavior else {}
    if behavior:
        spec["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": behavior}}
    return {
        "apiVersion": SCALED_OBJECTS.api_version,
        "kind": SCALED_OBJECTS.kind,
        "metadata": build_metadata(owner, owner.name),
        "spec": spec,
    }


def _trigger(metric: Metric, scaler_address: str) -> dict[str, Any]:
    if metric.type not in OF_PODS:
        kind = "Value" if metric.type in NO_SUMS else "AverageValue"
        return _external(metric.type, kind, scaler_address)
    target = metric.target
    kind, value = (
        ("Utilization", str(target.average_utilization))
        if target.average_utilization is not None
        else ("AverageValue", str(target.average_value))
    )
    return {"type": metric.type.lower(), "metricType": kind, "metadata": {"value": value}}


def _external(signal: str, kind: str, scaler_address: str) -> dict[str, Any]:
    metadata = {"scalerAddress": scaler_address, "signal": signal}
    return {"type": "external-push", "metricType": kind, "metadata": metadata}
