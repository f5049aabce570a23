"""Metadata that every child carries: identity labels and the controller owner reference."""

from __future__ import annotations

from typing import Any

import msgspec

from modelservice_operator.api import ChildMetadata
from modelservice_operator.facts import labels


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The ModelService that owns the children."""

    name: str
    namespace: str
    uid: str
    child_metadata: ChildMetadata = msgspec.field(default_factory=ChildMetadata)
    """The user's labels and annotations for the children; ours win."""


def service_selector(service: str) -> dict[str, str]:
    """Labels of all pods of a ModelService."""
    return {labels.NAME: service}


def revision_selector(service: str, revision: str) -> dict[str, str]:
    """Labels of the pods of one revision."""
    return {labels.NAME: service, labels.REVISION: revision}


def build_metadata(owner: Owner, name: str, revision: str | None = None) -> dict[str, Any]:
    """Return `metadata` of a child; `revision` for children that belong to one."""
    identity = service_selector(owner.name) if revision is None else revision_selector(owner.name, revision)
    wanted = owner.child_metadata
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": {**wanted.labels, labels.MANAGED_BY: labels.MANAGER, **identity},
        **({"annotations": {**wanted.annotations}} if wanted.annotations else {}),
        "ownerReferences": [
            {
                "apiVersion": labels.API_VERSION,
                "kind": "ModelService",
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
