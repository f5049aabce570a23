"""The ServiceAccount that pods run as by default: it has no rights and mounts no token."""

from __future__ import annotations

from typing import Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.facts import names


def build_service_account(owner: Owner) -> dict[str, Any]:
    """Return the ServiceAccount `<service>-runtime`."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": build_metadata(owner, names.service_account(owner.name)),
        "automountServiceAccountToken": False,
    }
