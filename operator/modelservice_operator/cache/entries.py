"""What is kept of a ModelService: its text, and what tells whether another state of it is news."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class ServiceEntry(NamedTuple):
    """One cached ModelService."""

    uid: str
    resource_version: str
    generation: int
    deleting: bool
    runtime_ref: str | None
    is_routed: bool
    """Whether its spec has a route."""
    intent: int
    """Hash of what a person can change without raising the generation: labels and annotations."""
    status: int
    """Hash of the status."""
    scaling: int
    """Hash of what the autoscaler wrote into the status."""
    raw: bytes


def without_managed_fields(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without what only tells who wrote which field."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _with_writers_of_replicas(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Of the managed fields keep what tells who wrote `spec.replicas`: a person, or an autoscaler."""
    kept = [
        {"subresource": entry.get("subresource", ""), "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        for entry in obj["metadata"].get("managedFields") or ()
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", ())
    ]
    bare = without_managed_fields(obj)
    if kept:
        bare["metadata"]["managedFields"] = kept
    return bare


def read_service(obj: Mapping[str, Any]) -> ServiceEntry:
    """Return what is kept of a ModelService."""
    metadata = obj["metadata"]
    spec, status = obj.get("spec"), obj.get("status")
    runtime = spec.get("runtime") if isinstance(spec, dict) else None
    ref = runtime.get("ref") if isinstance(runtime, dict) else None
    return ServiceEntry(
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata.get("generation", 0),
        deleting="deletionTimestamp" in metadata,
        is_routed=isinstance(spec, dict) and bool(spec.get("route")),
        runtime_ref=ref if isinstance(ref, str) and ref else None,
        intent=hash(msgspec.json.encode((metadata.get("labels"), metadata.get("annotations")))),
        status=_hash(status),
        scaling=_hash(status.get("autoscaler") if isinstance(status, dict) else None),
        raw=msgspec.json.encode(_with_writers_of_replicas(obj)),
    )


def _hash(value: object) -> int:
    return hash(msgspec.json.encode(value, order="deterministic"))
