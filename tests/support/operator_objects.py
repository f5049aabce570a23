"""Builders of Kubernetes objects as the API server would send them, for the operator's tests."""

from __future__ import annotations

from typing import Any

MANAGER_FIELDS = {
    "manager": "modelservice-operator",
    "operation": "Apply",
    "apiVersion": "apps/v1",
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:spec": {"f:replicas": {}}},
}


def make_model_service(
    name: str = "spam", *, namespace: str = "mail", uid: str = "uid-spam", version: int = 1, **fields: Any
) -> dict[str, Any]:
    """A stored ModelService; `fields` may be generation, runtime, status, labels, deleting."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": fields.get("generation", 1),
        "managedFields": [{"manager": "kubectl"}],
    }
    if "labels" in fields:
        metadata["labels"] = fields["labels"]
    if fields.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec: dict[str, Any] = {"model": {"storageUri": "oci://registry.example/models/spam:3"}, "replicas": 1}
    if "runtime" in fields:
        spec["runtime"] = {"ref": fields["runtime"]}
    obj = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": metadata,
        "spec": spec,
    }
    return obj | ({"status": fields["status"]} if "status" in fields else {})


def make_model_runtime(
    name: str = "onnx", *, version: int = 1, default: bool = False, uid: str | None = None
) -> dict[str, Any]:
    """A stored ModelRuntime."""
    annotations = {"modelservice.dev/is-default-runtime": "true"} if default else {}
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelRuntime",
        "metadata": {
            "name": name,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "annotations": annotations,
        },
        "spec": {"image": "registry.example/runtime:1"},
    }


def make_child(
    kind: str = "Deployment",
    name: str = "spam-bx5c9d7fgz",
    *,
    owner: str | None = "spam",
    owner_uid: str = "uid-spam",
    uid: str | None = None,
    version: int = 1,
    **fields: Any,
) -> dict[str, Any]:
    """A stored child; `fields` may be labels, replicas, available, deleting, managed, data, owner_kind."""
    labels = {
        "app.kubernetes.io/managed-by": "modelservice-operator",
        "modelservice.dev/name": owner or "spam",
        "modelservice.dev/revision": "bx5c9d7fgz",
    }
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "mail",
        "uid": uid or f"uid-{kind}-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": fields.get("labels", labels),
        "managedFields": [MANAGER_FIELDS] if fields.get("managed", True) else [],
    }
    if owner is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": "modelservice.dev/v1alpha1",
                "kind": fields.get("owner_kind", "ModelService"),
                "name": owner,
                "uid": owner_uid,
                "controller": True,
            }
        ]
    if fields.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    available = fields.get("available", 0)
    obj: dict[str, Any] = {"metadata": metadata, "spec": {"replicas": fields.get("replicas", 1)}}
    if kind == "Deployment":
        obj["status"] = {
            "observedGeneration": 1,
            "replicas": available,
            "readyReplicas": available,
            "availableReplicas": available,
        }
    if kind == "ControllerRevision":
        obj |= {"revision": 3, "data": fields.get("data", {"inputs": {"a": 1}})}
    return obj
