"""Whom one may load and attack: this machine, and what the user names."""

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from modelservice_pipeline.errors import PipelineError


def check_host(url: str, allowed: Sequence[str]) -> None:
    """Check that a URL's host is this machine (a loopback address), or one of those allowed.

    Raises PipelineError that names the flag.
    """
    host = urlsplit(url).hostname or ""
    if host in allowed or _is_loopback(host):
        return
    raise PipelineError(
        f"{host!r} is not this machine: wrong requests and load disturb everybody who uses a "
        f"server. If it is yours to disturb, say --allow-host {host}"
    )


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    return bool(addresses) and all(address.is_loopback for address in addresses)
