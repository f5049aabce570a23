"""HTTP proxies from the environment: which one, if any, a request goes through. Pure.

A proxy resolves names itself, so of what it reaches only numeric addresses can be checked here; the proxy's
own address is checked like every other. `NO_PROXY` is read as by Go (golang.org/x/net/http/httpproxy) and
curl: names with all names below them, addresses, ranges of addresses, each with or without a port.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from modelservice_runtime.fetch.errors import FetchError, FetchReason


@dataclass(frozen=True)
class Proxies:
    """Proxies by the scheme of what is asked for, and what is asked for without one."""

    by_scheme: Mapping[str, URL] = field(default_factory=dict)
    exceptions: tuple[str, ...] = ()

    def find(self, url: URL) -> URL | None:
        """Return the proxy for this URL, None where it is asked for directly."""
        proxy = self.by_scheme.get(url.scheme)
        if proxy is None or any(_matches(one, url) for one in self.exceptions):
            return None
        return proxy

    @property
    def secrets(self) -> tuple[str, ...]:
        """Passwords in the proxies' addresses."""
        return tuple(proxy.password for proxy in self.by_scheme.values() if proxy.password)


def read_proxies(environment: Mapping[str, str]) -> Proxies:
    """Return the proxies that `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name; small letters win.

    Raises:
        FetchError: `DownloadFailed` for one that is not the address of a proxy.

    """
    by_scheme = {
        scheme: _parse(f"{scheme.upper()}_PROXY", text)
        for scheme in ("http", "https")
        if (text := _get(environment, f"{scheme}_proxy"))
    }
    listed = _get(environment, "no_proxy").replace(",", " ").split()
    return Proxies(by_scheme, tuple(one.lower() for one in listed))


def _get(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name, "").strip() or environment.get(name.upper(), "").strip()


def _parse(name: str, text: str) -> URL:
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise FetchError(
            FetchReason.DOWNLOAD_FAILED, f"{name} is not the address of a proxy such as http://proxy:3128"
        )
    return proxy


def _matches(exception: str, url: URL) -> bool:
    host = (url.host or "").lower().rstrip(".")
    if exception == "*":
        return True
    if "/" in exception:
        return _is_in(host, exception)
    name, colon, port = exception.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        exception = name
        if int(port) != url.port:
            return False
    exception = exception.strip("[]").removeprefix("*").strip(".")
    return host == exception or host.endswith(f".{exception}")


def _is_in(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
