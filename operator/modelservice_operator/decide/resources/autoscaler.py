"""The HorizontalPodAutoscaler: it writes only the ModelService's own `/scale`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.decide.resources.trim import without_empty
from modelservice_operator.facts import labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.api import Autoscaling, Metric

_RESOURCE = {"CPU": "cpu", "Memory": "memory"}
_OF_PODS = {
    "Concurrency": "modelservice_concurrency",
    "RequestRate": "modelservice_requests_per_second",
    "QueueTime": "modelservice_queue_seconds_p95",
    "GPU": "modelservice_gpu_utilization",
    "TokensInFlight": "modelservice_tokens_in_flight",
    "KVCache": "modelservice_kv_cache_utilization",
    "WaitingRequests": "modelservice_waiting_requests",
}
"""What the server's own signals are called in custom.metrics.k8s.io; a metrics adapter has to serve them."""
_GPU_MEMORY = "modelservice_gpu_memory_utilization"
SIGNALS: Mapping[str, str] = {
    **{name: kind for kind, name in {**_RESOURCE, **_OF_PODS}.items()},
    _GPU_MEMORY: "GPU memory",
}
"""Signals by what an autoscaler calls them."""


def build_autoscaler(owner: Owner, autoscaling: Autoscaling) -> dict[str, Any]:
    """Return the autoscaler (autoscaling/v2)."""
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": labels.API_VERSION, "kind": "ModelService", "name": owner.name},
        # To zero and back it goes without it.
        "minReplicas": max(1, autoscaling.min_replicas),
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
    if metric.type == "External":
        return _external(metric)
    if metric.type in _RESOURCE:
        return {"type": "Resource", "resource": {"name": _RESOURCE[metric.type], "target": _target(metric)}}
    return _pods(metric)


def _target(metric: Metric) -> dict[str, Any]:
    target = metric.target
    if target.average_utilization is not None:
        return {"type": "Utilization", "averageUtilization": target.average_utilization}
    if target.average_value is not None:
        return {"type": "AverageValue", "averageValue": target.average_value}
    return {"type": "Value", "value": target.value}


def _external(metric: Metric) -> dict[str, Any]:
    assert metric.metric is not None
    named = without_empty(metric.metric.to_dict())
    return {"type": "External", "external": {"metric": named, "target": _target(metric)}}


def _pods(metric: Metric) -> dict[str, Any]:
    """An HPA knows no other targets of pods' metrics than averages."""
    name = _GPU_MEMORY if metric.gpu == "Memory" else _OF_PODS[metric.type]
    target = metric.target
    average = target.average_value or target.value or str(target.average_utilization)
    steer_to = {"type": "AverageValue", "averageValue": average}
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": steer_to}}
