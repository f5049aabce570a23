"""Which network addresses a fetch may connect to. Pure.

A model URI is written by a user of the cluster, the fetcher runs inside it: without this check a URI
could read cloud metadata, the node's own services or the API server. The check is made on the address
that is really connected to, for every connection, so neither DNS nor redirects can get around it.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Services of cloud providers that hand out credentials outside the link-local range:
# Amazon EC2 (IPv6), Google Cloud (IPv6), Azure WireServer, Alibaba Cloud, Oracle Cloud.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192")
)
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")  # RFC 791: "this network"; reaches the own host on Linux
_SHARED = ipaddress.IPv4Network("100.64.0.0/10")  # RFC 6598: carrier-grade NAT, used by pod networks
# Prefixes whose last 32 bits are an IPv4 address: NAT64 (RFC 6052, RFC 8215), IPv4-compatible (RFC 4291).
_EMBEDDING = tuple(ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))


@dataclass(frozen=True)
class AddressPolicy:
    """What may be connected to.

    Attributes:
        allow_private: private ranges; in-cluster stores live there.
        allow_public: everything else in the Internet.
        allow_loopback: this machine itself; for tests and for the command line only.
        forbidden_endpoints: addresses with ports that are refused always: the API server.

    """

    allow_private: bool = True
    allow_public: bool = True
    allow_loopback: bool = False
    forbidden_endpoints: frozenset[tuple[str, int]] = field(default_factory=frozenset)


def find_refusal(policy: AddressPolicy, address: str, port: int) -> str | None:
    """Say why a connection is refused, or return None where it is allowed.

    Args:
        policy: what is allowed.
        address: a numeric IPv4 or IPv6 address, a zone (`%eth0`) is ignored.
        port: TCP port.

    """
    outer = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(outer, ipaddress.IPv6Address) and outer.teredo:
        return f"{outer} is a Teredo tunnel address"
    for candidate in _readings(outer):
        refusal = _refuse_one(policy, candidate, port)
        if refusal:
            return refusal
    return None


def _readings(address: IpAddress) -> Iterator[IpAddress]:
    """The address itself and every IPv4 address that a gateway may take it for."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    if address.ipv4_mapped:  # the kernel connects to the IPv4 address; nothing else is meant
        yield address.ipv4_mapped
        return
    yield address
    if address.is_loopback or address.is_unspecified:  # ::1 and :: embed nothing
        return
    if address.sixtofour:
        yield address.sixtofour
    if any(address in network for network in _EMBEDDING):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _refuse_one(policy: AddressPolicy, address: IpAddress, port: int) -> str | None:
    if (str(address), port) in policy.forbidden_endpoints:
        return f"{address} port {port} is the cluster's API server"
    if address.is_loopback:
        return None if policy.allow_loopback else f"{address} is a loopback address"
    if kind := _forbidden_kind(address):
        return f"{address} is {kind}"
    if _is_private(address):
        return (
            None if policy.allow_private else f"{address} is a private address and the setting forbids these"
        )
    return None if policy.allow_public else f"{address} is a public address, where plain http is not allowed"


def _forbidden_kind(address: IpAddress) -> str | None:
    if address in _METADATA:
        return "a cloud metadata address"
    if address.is_link_local:
        return "a link-local address (cloud metadata lives there)"
    if address.is_unspecified or address in _THIS_NETWORK:
        return "an unspecified address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_reserved and address.version == 4:
        return "a reserved address"
    return None


def _is_private(address: IpAddress) -> bool:
    return address.is_private or address in _SHARED
