"""From a child as the API server sends it to the facts that decisions go by."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.facts.endpoints import read_slice
from modelservice_operator.facts.fields.canonical import canonicalise, fingerprint, project_managed
from modelservice_operator.facts.fields.takeover import is_edited
from modelservice_operator.facts.gateways import read_parents
from modelservice_operator.facts.kinds import ROUTE_KINDS, Resource
from modelservice_operator.facts.labels import GROUP, MANAGER, REVISION
from modelservice_operator.facts.observed import (
    AutoscalerChild,
    Child,
    DeploymentChild,
    JobChild,
    RevisionChild,
    RouteChild,
    ScaledObjectChild,
    ServiceChild,
    SliceChild,
)
from modelservice_operator.facts.ports import service_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONDITION_FIELDS = ("type", "status", "reason", "message", "lastTransitionTime")


def project_child(resource: Resource, obj: Mapping[str, Any]) -> Child:
    """The facts about a child, from its JSON (items of lists lack apiVersion and kind)."""
    metadata = obj["metadata"]
    owner = _controller_owner(metadata)
    facts: dict[str, Any] = {
        "kind": resource.kind,
        "namespace": intern(metadata["namespace"]),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
        "owner_uid": owner.get("uid"),
        "owner_name": _service_name(owner),
        "deleting": "deletionTimestamp" in metadata,
        "created_at": metadata.get("creationTimestamp") or "",
        "labels": {intern(key): intern(value) for key, value in (metadata.get("labels") or {}).items()},
        "fingerprint": fingerprint(canonicalise(project_managed(obj, MANAGER))),
        "edited": is_edited(obj),
    }
    if resource.kind == "ControllerRevision":
        data = msgspec.json.encode(obj.get("data"), order="deterministic")
        return RevisionChild(**facts, number=obj.get("revision") or 0, data=data)
    if resource.kind == "Deployment":
        return DeploymentChild(**facts, **_deployment_facts(obj))
    if resource.kind == "Job":
        return JobChild(**facts, **_job_facts(obj))
    if resource.kind == "Service":
        return ServiceChild(**facts, **_service_facts(obj))
    if resource.kind == "HorizontalPodAutoscaler":
        return AutoscalerChild(**facts, **_autoscaler_facts(obj))
    if resource.kind == "ScaledObject":
        return ScaledObjectChild(**facts, conditions=_conditions(obj.get("status") or {}))
    if resource.kind == "EndpointSlice":
        return SliceChild(**facts, slice=read_slice(obj))
    if resource.kind in ROUTE_KINDS:
        return RouteChild(**facts, **_route_facts(obj))
    return Child(**facts)


def _controller_owner(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The controller among the owner references; empty where there is none."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            owner: Mapping[str, Any] = reference
            return owner
    return {}


def _service_name(owner: Mapping[str, Any]) -> str | None:
    is_ours = owner.get("kind") == "ModelService" and str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")
    return owner.get("name") if is_ours else None


def _deployment_facts(obj: Mapping[str, Any]) -> dict[str, Any]:
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    return {
        "revision": (metadata.get("labels") or {}).get(REVISION, ""),
        "generation": metadata.get("generation", 0),
        "observed_generation": status.get("observedGeneration", 0),
        "spec_replicas": spec.get("replicas", 1),
        "replicas": status.get("replicas", 0),
        "ready_replicas": status.get("readyReplicas", 0),
        "available_replicas": status.get("availableReplicas", 0),
        "terminating_replicas": status.get("terminatingReplicas"),
        "conditions": _conditions(status),
    }


def _job_facts(obj: Mapping[str, Any]) -> dict[str, Any]:
    for one in _conditions(obj.get("status") or {}):
        if one.get("type") in ("Complete", "Failed") and one.get("status") == "True":
            return {
                "ended": one["type"],
                "reason": one.get("reason", ""),
                "message": one.get("message", ""),
            }
    return {}


def _conditions(status: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {field: condition[field] for field in _CONDITION_FIELDS if field in condition}
        for condition in status.get("conditions") or ()
    )


def _autoscaler_facts(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What an autoscaler decided and why; the sentence only where it cannot scale: others change often."""
    status = obj.get("status") or {}
    conditions = _conditions(status)
    return {
        "desired": status.get("desiredReplicas") or 0,
        "failing": tuple(
            one
            for one in conditions
            if one["type"] in ("AbleToScale", "ScalingActive") and one["status"] == "False"
        ),
        # Not why it is able to scale: that changes from one look to the next.
        "reasons": {
            intern(one["type"]): intern(one.get("reason", ""))
            for one in conditions
            if one["type"] in ("ScalingActive", "ScalingLimited") and one["status"] == "True"
        },
        "metrics": tuple(status.get("currentMetrics") or ()),
    }


def _service_facts(obj: Mapping[str, Any]) -> dict[str, Any]:
    spec = obj.get("spec") or {}
    return {
        "type": intern(spec.get("type") or "ClusterIP"),
        "selector": {intern(key): intern(value) for key, value in (spec.get("selector") or {}).items()},
        "ports": service_ports(spec),
    }


def _route_facts(obj: Mapping[str, Any]) -> dict[str, Any]:
    status = obj.get("status") or {}
    points = (status.get("loadBalancer") or {}).get("ingress") or ()
    return {
        "spec": obj.get("spec") or {},
        "parents": read_parents(status, obj["metadata"].get("generation", 0)),
        "addresses": tuple(str(one.get("ip") or one.get("hostname")) for one in points),
    }
