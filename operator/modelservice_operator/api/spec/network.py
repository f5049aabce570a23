"""`spec.networkPolicy`: who may reach the pods."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.types.base import ApiModel, between, limited
from modelservice_operator.api.types.kubernetes import LabelSelector
from modelservice_operator.api.types.rules import Rule

_CIDR = re.compile("[0-9A-Fa-f.:]+/(0|[1-9][0-9]{0,2})")


def _is_cidr(text: str) -> bool:
    if _CIDR.fullmatch(text) is None:
        return False
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


class IpBlock(ApiModel):
    """A range of addresses."""

    cidr: Annotated[
        str,
        limited(43),
        Rule(
            cel="isCIDR(self) && cidr(self) == cidr(self).masked()",
            message="expected a range of addresses such as 10.0.0.0/8 or fd00::/8, its other bits 0",
            check=_is_cidr,
        ),
    ]
    """The range, such as 10.0.0.0/8."""


class NetworkPeer(ApiModel):
    """Pods or addresses, as in Kubernetes' NetworkPolicy."""

    namespace_selector: LabelSelector | None = None
    """All pods of the namespaces with these labels, or those of them that podSelector selects."""
    pod_selector: LabelSelector | None = None
    """Pods with these labels; without namespaceSelector in the ModelService's namespace."""
    ip_block: IpBlock | None = None
    """Addresses, such as those of load balancers."""

    rules = (
        Rule(
            cel="has(self.ipBlock) != (has(self.namespaceSelector) || has(self.podSelector))",
            message="expected either ipBlock, or namespaceSelector and podSelector or one of them",
            check=lambda self: (
                (self.ip_block is None) != (self.namespace_selector is None and self.pod_selector is None)
            ),
        ),
    )


class NetworkPolicySpec(ApiModel):
    """The NetworkPolicy of the pods; what is left out is the operator's setting."""

    mode: Literal["Strict", "Disabled"] | None = None
    """Disabled: none is made. Default: Strict, only the ports of the server are open."""
    peers: Annotated[tuple[NetworkPeer, ...], Field(max_length=16)] | None = Field(default=None, alias="from")
    """Who may reach these ports, Prometheus included. Default: everybody."""
    extra_ports: Annotated[tuple[Annotated[int, between(1, 65_535)], ...], Field(max_length=16)] | None = None
    """TCP ports that are open in both directions too, for service meshes."""

    def over(self, defaults: "NetworkPolicySpec") -> "NetworkPolicySpec":
        """Return `defaults` with what is set here in its place."""
        return defaults.model_copy(update={key: value for key, value in self if value is not None})


STRICT_NETWORK_POLICY = NetworkPolicySpec(mode="Strict")
"""What counts where nobody says anything."""
