"""A proxy on loopback, to allowed addresses only, for libraries with an HTTP client of their own.

It resolves the name, checks the address, and connects to that very address, for every connection of the
library: to the store, after redirects, and to the services that give credentials. TLS passes through
untouched (CONNECT, RFC 9110, 9.3.6); plain http takes one request a connection.

The connections to the store are encrypted here, not in the library: OpenSSL takes a store's self-signed
certificate as its own authority, which rustls refuses. Until then the requests stay on loopback, and only who
knows the password may use the proxy.
"""

import asyncio
import base64
import secrets
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from yarl import URL

from modelservice_runtime.fetch.credentials import basic_authorization
from modelservice_runtime.fetch.errors import FetchError, TransientError
from modelservice_runtime.fetch.http.addresses import AddressPolicy, find_refusal
from modelservice_runtime.fetch.http.client import (
    choose_proxy,
    describe_connect_error,
    describe_proxy_answer,
    forbidden_address,
)
from modelservice_runtime.fetch.http.proxies import Proxies
from modelservice_runtime.fetch.uri import is_disguised_address

_MAX_HEAD_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024
_BUFFER_BYTES = 1024 * 1024
_OK = 200
_HOP_HEADERS = (b"proxy-authorization", b"proxy-connection", b"connection")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Endpoint:
    """A host as it is written, and a TCP port."""

    host: str
    port: int


@dataclass(frozen=True)
class Way:
    """How connections are made.

    Attributes:
        tls: settings of TLS.
        proxies: what the environment names; services are always asked directly.
        connect_timeout_seconds: for one address.

    """

    tls: ssl.SSLContext
    proxies: Proxies
    connect_timeout_seconds: float


class GuardProxy:
    """The proxy; use it with `async with`.

    Args:
        policy: what may be connected to.
        services: where credentials are given out; allowed under exactly this name whatever the policy says.
        origins: what may be asked for by plain http, and where it is reached by TLS instead, if it is.
        way: how it gets there.

    """

    def __init__(
        self,
        policy: AddressPolicy,
        services: frozenset[Endpoint],
        origins: Mapping[Endpoint, Endpoint | None],
        way: Way,
    ) -> None:
        self._policy = policy
        self._services = services
        self._origins = origins
        self._tls = way.tls
        self._proxies = way.proxies
        self._connect_timeout_seconds = way.connect_timeout_seconds
        self._password = secrets.token_urlsafe(24)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.failure: Exception | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_MAX_HEAD_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all connections."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it is, with the password."""
        assert self._server is not None, "use the proxy with `async with`"
        return f"http://fetch:{self._password}@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def password(self) -> str:
        """What must not be shown."""
        return self._password

    def take_failure(self) -> Exception | None:
        """Why the last connection was not made: a FetchError or a TransientError; asked once."""
        failure, self.failure = self.failure, None
        return failure

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            pass  # a peer went away, or spoke no HTTP: the library sees its connection end
        except asyncio.CancelledError:
            pass  # the proxy ends; asyncio prints a traceback for a handler that was cancelled
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *headers = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        method, target, _ = request.decode("ascii").split(" ")
        tunnel = method == "CONNECT"
        url = urlsplit(f"//{target}" if tunnel else target)
        if not self._knows_password(headers) or not url.hostname or (not tunnel and url.scheme != "http"):
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        endpoint = Endpoint(url.hostname, url.port or 80)
        try:
            upstream_reader, upstream = await self._reach(endpoint, tunnel)
        except (FetchError, TransientError) as error:
            self.failure = error
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = target.partition("://")[2].partition("/")[2]
                upstream.write(_build_head(f"{method} /{path} HTTP/1.1".encode("ascii"), headers))
            await _join(reader, upstream, upstream_reader, writer)
        finally:
            upstream.transport.abort()  # nothing is left to say, and TLS would wait for a goodbye

    def _knows_password(self, headers: Sequence[bytes]) -> bool:
        expected = base64.b64encode(f"fetch:{self._password}".encode())
        given = next((line for line in headers if line.lower().startswith(b"proxy-authorization:")), b"")
        return secrets.compare_digest(given.rpartition(b" ")[2], expected)

    async def _reach(self, endpoint: Endpoint, tunnel: bool) -> Streams:
        """Reach what the library asks for, encrypted where it is to be; raises FetchError, TransientError."""
        encrypted = None if tunnel else self._origins.get(endpoint)
        if not tunnel and endpoint not in self._origins and endpoint not in self._services:
            raise forbidden_address(endpoint.host, "the store leads there over plain http")
        target = encrypted or endpoint
        scheme = "https" if tunnel or encrypted else "http"
        url = URL.build(scheme=scheme, host=target.host, port=target.port)
        further = None if endpoint in self._services else choose_proxy(self._policy, self._proxies, url)
        tls = self._tls if encrypted else None
        if further is None:
            return await self._connect(target, tls, target.host)
        return await self._connect_through(further, target, tls)

    async def _connect(self, endpoint: Endpoint, tls: ssl.SSLContext | None, who: str) -> Streams:
        """Connect to the first allowed address that answers."""
        problem: Exception = OSError("no address")
        name = endpoint.host if tls else None
        try:
            for address in await self._allowed_addresses(endpoint):
                try:
                    async with asyncio.timeout(self._connect_timeout_seconds):
                        return await asyncio.open_connection(
                            address, endpoint.port, limit=_BUFFER_BYTES, ssl=tls, server_hostname=name
                        )
                except (OSError, TimeoutError) as error:
                    problem = error
            raise problem
        except (OSError, TimeoutError) as error:
            raise describe_connect_error(who, endpoint.port, error) from error

    async def _connect_through(self, further: URL, target: Endpoint, tls: ssl.SSLContext | None) -> Streams:
        """Reach a host through the proxy that the environment names, by a tunnel whatever the scheme."""
        endpoint = Endpoint(further.host or "", further.port or 80)
        to_proxy = self._tls if further.scheme == "https" else None
        reader, writer = await self._connect(endpoint, to_proxy, f"the proxy {further.host}")
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                writer.write(_build_connect(further, target))
                status = await _read_status(reader, further)
                if status != _OK:
                    raise describe_proxy_answer(target.host, status)
                if tls is not None:
                    await writer.start_tls(tls, server_hostname=target.host)
        except (OSError, TimeoutError) as error:
            writer.transport.abort()
            raise describe_connect_error(target.host, target.port, error) from error
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    async def _allowed_addresses(self, endpoint: Endpoint) -> list[str]:
        if is_disguised_address(endpoint.host):
            raise forbidden_address(endpoint.host, "it is a disguised address")
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        addresses = [str(info[4][0]) for info in infos]
        if endpoint in self._services:
            return addresses
        refusals = [(address, find_refusal(self._policy, address, endpoint.port)) for address in addresses]
        allowed = [address for address, refusal in refusals if refusal is None]
        if not allowed:
            raise forbidden_address(endpoint.host, next((why for _, why in refusals if why), "no address"))
        return allowed


async def _read_status(reader: asyncio.StreamReader, further: URL) -> int:
    """The status of a proxy's answer; raises TransientError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1][:3])
    except (EOFError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
        raise TransientError(f"the proxy {further.host} speaks no HTTP") from error


def _build_connect(further: URL, target: Endpoint) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    lines = [f"CONNECT {host}:{target.port} HTTP/1.1", f"Host: {host}:{target.port}"]
    if further.user:
        login = basic_authorization(further.user, further.password or "")
        lines.append(f"Proxy-Authorization: {login}")
    return "\r\n".join((*lines, "", "")).encode()


def _build_head(request: bytes, headers: Sequence[bytes]) -> bytes:
    """The head for the origin: without what is meant for the proxy, and the last of its connection."""
    kept = [line for line in headers if line.partition(b":")[0].strip().lower() not in _HOP_HEADERS]
    return b"\r\n".join((request, *kept, b"Connection: close", b"", b""))


async def _join(
    reader: asyncio.StreamReader,
    upstream: asyncio.StreamWriter,
    upstream_reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Copy both ways until the origin has nothing more to say."""
    up = asyncio.create_task(_copy(reader, upstream))
    try:
        await _copy(upstream_reader, writer)
    finally:
        up.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await up


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE_BYTES):
        writer.write(data)
        await writer.drain()
