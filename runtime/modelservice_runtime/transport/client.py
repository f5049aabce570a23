"""Who is at the other end of a connection, as far as the connection itself tells."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

_SHORT_NAMES = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "domainComponent": "DC",
    "userId": "UID",
}

_SPECIAL = re.compile(r'([,+"\\<>;=])')


@dataclass(frozen=True, slots=True)
class Client:
    """`certificate` is whose certificate of a configured authority the client showed, None for none.

    `address` is that of the other end, which may be a proxy.
    """

    certificate: str | None = None
    address: str | None = None


UNKNOWN_CLIENT = Client()


def read_client(transport: asyncio.BaseTransport) -> Client:
    """Read what a connection that was just made knows."""
    # Only a verified certificate is shown here.
    shown = transport.get_extra_info("peercert")
    peer = transport.get_extra_info("peername")
    # An IPv4 client of a socket for both families.
    address = str(peer[0]).removeprefix("::ffff:") if isinstance(peer, tuple) and peer else None
    return Client(describe_certificate(shown) if shown else None, address)


def describe_certificate(shown: dict[str, Any]) -> str:
    """Name a certificate: its subject in the order of RFC 4514, or its first other name where it has none.

    `shown` is as `ssl.SSLSocket.getpeercert` gives it.
    """
    pairs = [pair for parts in reversed(shown.get("subject", ())) for pair in parts]
    if pairs:
        return ",".join(f"{_SHORT_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in pairs)
    for kind, value in shown.get("subjectAltName", ()):
        return f"{kind}:{value}"
    return ""


def _escaped(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value)
