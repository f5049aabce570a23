"""Builders of what the API server sends to the autoscaler, and of what pods say."""

from __future__ import annotations

import json
from typing import Any

CONCURRENCY = {"type": "Concurrency", "target": {"averageValue": "8"}}
SLICE_LABELS = {
    "app.kubernetes.io/managed-by": "modelservice-operator",
    "modelservice.dev/name": "spam",
    "kubernetes.io/service-name": "spam",
}


def make_service(
    *,
    uid: str = "uid-spam",
    version: int = 1,
    generation: int = 1,
    replicas: int = 2,
    engine: str | None = "Builtin",
    ready: bool = True,
    told: dict[str, Any] | None = None,
    deleting: bool = False,
    **autoscaling: Any,
) -> dict[str, Any]:
    """A ModelService that scales; `autoscaling` adds to its 1 to 8 replicas by concurrency."""
    metadata: dict[str, Any] = {
        "name": "spam",
        "namespace": "mail",
        "uid": uid,
        "resourceVersion": str(version),
        "generation": generation,
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": [
            {"type": "Ready", "status": "True" if ready else "False", "observedGeneration": generation}
        ],
        **({"autoscaling": {"engine": engine}} if engine else {}),
        **({"autoscaler": told} if told else {}),
    }
    spec = {
        "model": {"storageUri": "oci://registry.example/models/spam:3"},
        "replicas": replicas,
        "autoscaling": {"maxReplicas": 8, "metrics": [CONCURRENCY], **autoscaling},
    }
    return {"metadata": metadata, "spec": spec, "status": status}


def make_endpoint(uid: str, address: str, *, ready: bool | None = True) -> dict[str, Any]:
    """A pod in a slice."""
    conditions = {} if ready is None else {"ready": ready}
    return {
        "addresses": [address],
        "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": uid, "uid": uid},
    }


def make_slice(
    *endpoints: dict[str, Any], name: str = "spam-x1", version: int = 1, **labels: str
) -> dict[str, Any]:
    """A slice that Kubernetes made for the Service of the ModelService."""
    metadata = {
        "name": name,
        "namespace": "mail",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "labels": SLICE_LABELS | {key.replace("__", "/"): value for key, value in labels.items()},
    }
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": list(endpoints)}


def make_answer(**changes: Any) -> bytes:
    """The answer of a pod to `GET /load`."""
    said = {
        "uptimeSeconds": 100.0,
        "running": 1,
        "waiting": 0,
        "inFlightSeconds": 50.0,
        "requests": 1000,
        "idleSeconds": 0.0,
        "queueSeconds": {"bounds": [0.01, 0.1], "counts": [990, 9, 1]},
        "cpuSeconds": 40.0,
        "memoryBytes": 1 << 28,
        "gpus": [{"utilization": None, "memoryUsedBytes": 1, "memoryTotalBytes": 2}],
    }
    return json.dumps(said | changes).encode()
