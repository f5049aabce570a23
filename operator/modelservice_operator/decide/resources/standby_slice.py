"""The EndpointSlice that leads the clients of a service to the activator while no pod of it runs.

It stands beside those that Kubernetes makes for the same Service: the Service keeps its selector, and nodes
use what is ready in any of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.decide.resources.service import app_protocol
from modelservice_operator.facts import labels, names

if TYPE_CHECKING:
    from modelservice_operator.facts.endpoints import Endpoint, Slice


def build_standby_slice(owner: Owner, wanted: Slice, namespace: str, *, is_encrypted: bool) -> dict[str, Any]:
    """Return the slice; `namespace` is that of the activator's pods, which pass TLS on."""
    metadata = build_metadata(owner, names.standby_slice(owner.name))
    own = {labels.SLICE_OF: owner.name, labels.SLICE_MANAGED_BY: labels.STANDBY_MANAGER}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {**metadata["labels"], **own}},
        "addressType": wanted.address_type,
        "endpoints": [_endpoint(one, namespace) for one in wanted.endpoints],
        "ports": [
            {
                "name": name,
                "port": number,
                "protocol": "TCP",
                "appProtocol": app_protocol(name, is_encrypted=is_encrypted),
            }
            for name, number in sorted(wanted.ports.items())
        ],
    }


def _endpoint(one: Endpoint, namespace: str) -> dict[str, Any]:
    target = {"kind": "Pod", "namespace": namespace, "name": one.pod, "uid": one.pod_uid}
    return {
        "addresses": [one.address],
        "conditions": {"ready": one.ready, "serving": one.serving, "terminating": False},
        **({"targetRef": target} if one.pod else {}),
    }
