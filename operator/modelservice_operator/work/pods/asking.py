"""Where a pod is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts import ports
from modelservice_operator.facts.names import SERVER_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Mapping


def metrics_url(pod: Mapping[str, Any], path: str) -> str:
    """Address of a path on the metrics port of a pod that has an address."""
    address = str((pod.get("status") or {}).get("podIP") or "")
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{metrics_port(pod)}{path}"


def metrics_port(pod: Mapping[str, Any]) -> int:
    """The metrics port of a pod."""
    listed = podlib.container_spec(pod, SERVER_CONTAINER).get("ports") or ()
    found = (one["containerPort"] for one in listed if one.get("name") == ports.METRICS_NAME)
    return int(next(found, ports.METRICS))
