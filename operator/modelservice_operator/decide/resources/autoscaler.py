"""The HorizontalPodAutoscaler: it writes only the ModelService's own `/scale`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.decide.resources.trim import without_empty
from modelservice_operator.facts import labels

if TYPE_CHECKING:
    from modelservice_operator.api import Autoscaling, Metric

_RESOURCE = {"CPU": "cpu", "Memory": "memory"}


def build_autoscaler(owner: Owner, autoscaling: Autoscaling) -> dict[str, Any]:
    """Return the autoscaler (autoscaling/v2)."""
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": labels.API_VERSION, "kind": "ModelService", "name": owner.name},
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": [_metric(metric) for metric in autoscaling.metrics],
    }
    behavior = without_empty(autoscaling.behavior.to_dict()) if autoscaling.behavior else {}
    if behavior:
        spec["behavior"] = behavior
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": build_metadata(owner, owner.name),
        "spec": spec,
    }


def _metric(metric: Metric) -> dict[str, Any]:
    target = metric.target
    if target.average_utilization is not None:
        steer_to = {"type": "Utilization", "averageUtilization": target.average_utilization}
    else:
        steer_to = {"type": "AverageValue", "averageValue": target.average_value}
    return {"type": "Resource", "resource": {"name": _RESOURCE[metric.type], "target": steer_to}}
