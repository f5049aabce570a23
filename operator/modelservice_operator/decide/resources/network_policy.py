"""The NetworkPolicy of the pods: default-deny both ways, with the exceptions that serving needs.

Not every network plug-in enforces policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.api import NetworkPeer, NetworkPolicySpec
from modelservice_operator.decide.resources.metadata import Owner, build_metadata, service_selector
from modelservice_operator.decide.resources.trim import without_empty
from modelservice_operator.facts import labels, ports

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

DNS_PORT = 53
OPENSHIFT_DNS_PORT = 5353
"""What a policy sees is the port of the pods behind the Service."""
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

IDENTITY_SERVICES = {
    # The agent of EKS Pod Identity; roles by web identity (IRSA) are given out by a service in the Internet.
    "s3": (("169.254.170.23/32", 80),),
    # GKE's metadata server, with its Dataplane V2 and without.
    "gs": (("169.254.169.254/32", 80), ("169.254.169.252/32", 988)),
}
"""Where the fetcher of a scheme gets credentials for the pod's service account: address and TCP port."""


def build_network_policy(
    owner: Owner,
    wanted: NetworkPolicySpec,
    *,
    components: Iterable[Mapping[str, Any]],
    reaches_out: bool,
    identities: Collection[str],
) -> dict[str, Any]:
    """Return the policy.

    `components` are peers of ours: they ask the servers, whoever else may. `reaches_out` opens the way for
    downloads and traces (a policy is per pod), `identities` are the schemes of models that are fetched as a
    service account of the user's.
    """
    # What reaches out may ask every pod, those of OpenShift's DNS too; the rest needs no names.
    extra = [policy_port(number, "TCP") for number in wanted.extra_ports or ()]
    egress: list[dict[str, Any]] = [to_dns(DNS_PORT)]
    if extra:
        egress.append({"ports": extra})
    if reaches_out:
        # Some network plug-ins, such as Cilium, match pods by selectors only, never by their addresses.
        every_pod: dict[str, Any] = {"namespaceSelector": {}}
        egress.append({"to": [*({"ipBlock": {**block}} for block in _INTERNET), every_pod]})
    for scheme in sorted(identities):
        egress += [_to_service(cidr, port) for cidr, port in IDENTITY_SERVICES.get(scheme, ())]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": build_metadata(owner, owner.name),
        "spec": {
            "podSelector": {"matchLabels": service_selector(owner.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [_ingress(wanted, extra, components)],
            "egress": egress,
        },
    }


def build_evaluation_policy(
    owner: Owner, job: str, *, reaches_out: bool, identities: Collection[str]
) -> dict[str, Any]:
    """Return the policy of the pods of an evaluation, named as its Job: nobody has to reach them."""
    policy = build_network_policy(
        owner, NetworkPolicySpec(), components=(), reaches_out=reaches_out, identities=identities
    )
    policy["metadata"] = build_metadata(owner, job)
    policy["spec"]["podSelector"] = {"matchLabels": {labels.EVALUATION: owner.name}}
    del policy["spec"]["ingress"]
    return policy


def _ingress(
    wanted: NetworkPolicySpec, extra: list[dict[str, Any]], components: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    served = [policy_port(number, "TCP") for number in (ports.HTTP, ports.GRPC, ports.METRICS)]
    rule: dict[str, Any] = {"ports": [*served, *extra]}
    if wanted.peers:
        rule["from"] = peers_of(wanted, components)
    return rule


def peers_of(wanted: NetworkPolicySpec, components: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return who may connect: the peers of the user's and these of ours; empty for everybody."""
    if not wanted.peers:
        return []
    return [without_empty({**peer}) for peer in (*map(NetworkPeer.to_dict, wanted.peers), *components)]


def to_dns(*numbers: int) -> dict[str, Any]:
    """Return the rule that lets pods ask for names."""
    return {"ports": [policy_port(number, protocol) for number in numbers for protocol in ("UDP", "TCP")]}


def _to_service(cidr: str, port: int) -> dict[str, Any]:
    return {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [policy_port(port, "TCP")]}


def policy_port(number: int, protocol: str) -> dict[str, Any]:
    """Return a port of a rule."""
    return {"port": number, "protocol": protocol}
