"""The addresses a server listens on, as sockets; the same for plain ports, TLS and ports that workers share.

`::` is every address of both families, as in servers of Go and in nginx with `ipv6only=off`: one socket,
so there is one port for both. asyncio and uvloop alone would listen on IPv6 only.
"""

import contextlib
import errno
import logging
import select
import socket
from typing import Any

from modelservice_runtime.errors import AddressUnavailableError

log = logging.getLogger(__name__)

EVERY_ADDRESS = "::"
_EVERY_IPV4_ADDRESS = "0.0.0.0"  # noqa: S104 - what is left of every address without IPv6


def available_host(host: str) -> str:
    """`host`; 0.0.0.0 for `::` where the kernel has no IPv6, said in the log.

    An IPv6 that is only switched off (`disable_ipv6`) is no obstacle: `::` listens on IPv4 there too.
    """
    if host != EVERY_ADDRESS or socket.has_dualstack_ipv6():
        return host
    log.warning("no IPv6 here: listening on IPv4 only", extra={"host": _EVERY_IPV4_ADDRESS})
    return _EVERY_IPV4_ADDRESS


def open_sockets(
    host: str, port: int, *, shared: bool = False, backlog: int | None = None
) -> list[socket.socket]:
    """Bind a non-blocking socket for every address of `host`; port 0 leaves the choice to the kernel.

    With `shared` other processes may listen on the port too (SO_REUSEPORT). `backlog` is the kernel's
    queue of connections not yet accepted; None: the sockets do not listen. Raises AddressUnavailableError.
    """
    families = socket.AF_UNSPEC if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        found = socket.getaddrinfo(host or None, port, families, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with contextlib.ExitStack() as opened:
            sockets: list[socket.socket] = []
            for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
                sockets.append(opened.enter_context(socket.socket(family, socket.SOCK_STREAM)))
                _set_options(sockets[-1], both_families=host == EVERY_ADDRESS, shared=shared)
                sockets[-1].bind(address)
                if backlog is not None:
                    sockets[-1].listen(backlog)
            opened.pop_all()
    except (OSError, OverflowError) as error:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise AddressUnavailableError(f"cannot listen on {where} ({_describe(error)})") from error
    return sockets


def has_hung_up(transport: Any) -> bool:
    """Whether the other end sends no more, or is gone: also where its last bytes are not read yet."""
    poller = select.poll()
    poller.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    return bool(poller.poll(0))


def _set_options(opened: socket.socket, *, both_families: bool, shared: bool) -> None:
    opened.setblocking(False)
    # Connections of a former server that linger are no obstacle.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both_families)


def _describe(error: OSError | OverflowError) -> str:
    """The cause, and what to do about it."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return "the port is in use: choose another one or stop its user"
    if number == errno.EACCES:
        return "no permission for this port: choose one from 1024 on"
    return f"{error.strerror if isinstance(error, OSError) else error}: check --host"
