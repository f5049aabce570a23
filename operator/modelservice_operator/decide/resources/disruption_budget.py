"""The PodDisruptionBudget over the pods of all revisions."""

from __future__ import annotations

from typing import Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata, service_selector


def build_disruption_budget(owner: Owner) -> dict[str, Any]:
    """Return a budget of one pod at a time. It never blocks a drain: broken pods may always be evicted."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": build_metadata(owner, owner.name),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": service_selector(owner.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
