"""The NetworkPolicy of the pods: default-deny both ways, with the exceptions that serving needs.

Not every network plug-in enforces policies.
"""

from __future__ import annotations

from typing import Any

from modelservice_operator.resources import ports
from modelservice_operator.resources.metadata import Owner, build_metadata, service_selector

_DNS_PORT = 53
_INTERNET = (
    # Beside link-local ones: Azure, Alibaba Cloud and Oracle Cloud.
    {
        "cidr": "0.0.0.0/0",
        "except": ["169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"],
    },
    # Amazon EC2 and Google Cloud.
    {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128"]},
)
"""All but the addresses where clouds serve instance credentials (link-local: RFC 3927, RFC 4291)."""


def build_network_policy(owner: Owner, *, downloads: bool) -> dict[str, Any]:
    """Return the policy; `downloads` opens the way out for the fetcher (a policy is per pod)."""
    egress: list[dict[str, Any]] = [{"ports": [_port(_DNS_PORT, "UDP"), _port(_DNS_PORT, "TCP")]}]
    if downloads:
        egress.append({"to": [{"ipBlock": {**block}} for block in _INTERNET]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": build_metadata(owner, owner.name),
        "spec": {
            "podSelector": {"matchLabels": service_selector(owner.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [_port(number, "TCP") for number in (ports.HTTP, ports.GRPC, ports.METRICS)]}
            ],
            "egress": egress,
        },
    }


def _port(number: int, protocol: str) -> dict[str, Any]:
    return {"port": number, "protocol": protocol}
