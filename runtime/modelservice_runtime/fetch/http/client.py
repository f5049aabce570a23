"""The fetcher's HTTP client: aiohttp behind an address check.

The check sits in the socket factory: it sees the very address that is connected to, after name
resolution, for every connection. Redirects are followed here, one hop at a time, because each hop has
rules of its own.
"""

import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from modelservice_runtime.fetch.errors import (
    AbsentError,
    FetchError,
    FetchReason,
    NotTlsError,
    TransientError,
    UnreachableError,
)
from modelservice_runtime.fetch.http.addresses import AddressPolicy, find_refusal
from modelservice_runtime.fetch.http.proxies import Proxies
from modelservice_runtime.fetch.limits import MAX_DOCUMENT_BYTES, MAX_REDIRECTS, TransferLimits
from modelservice_runtime.fetch.redaction import redact_url
from modelservice_runtime.fetch.retry import parse_retry_after
from modelservice_runtime.fetch.uri import is_disguised_address

_REDIRECTS = (301, 302, 303, 307, 308)
_RETRIED_STATUSES = (408, 425, 429, 500, 502, 503, 504)
# What OpenSSL says when the peer's first bytes are no TLS record, for example "HTTP/1.1 400".
_NOT_TLS = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")
_USER_AGENT = "modelservice-fetch"


class _RefusedAddressError(OSError):
    """Raised inside the socket factory; aiohttp passes on nothing but `OSError`."""


class _Guard:
    """Makes sockets for allowed addresses and remembers why others were refused."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self.refusals: list[str] = []

    def __call__(self, addr_info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = addr_info
        refusal = find_refusal(self._policy, address[0], address[1])
        if refusal is not None:
            self.refusals.append(refusal)
            raise _RefusedAddressError(refusal)
        return socket.socket(family, kind, protocol)


class GuardedClient:
    """An HTTP client that connects to allowed addresses only; use it with `async with`."""

    def __init__(
        self,
        policy: AddressPolicy,
        tls: ssl.SSLContext,
        limits: TransferLimits,
        proxies: Proxies | None = None,
    ) -> None:
        self.policy = policy
        self.tls = tls
        self.limits = limits
        self.proxies = proxies or Proxies()
        self._guard = _Guard(policy)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self.tls, socket_factory=self._guard),
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self.limits.connect_timeout_seconds,
                sock_read=self.limits.read_timeout_seconds,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # the bytes that are hashed are the bytes that were sent
            trust_env=False,  # a proxy is chosen below, where what can be checked is checked
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            await self._session.close()

    async def get(
        self,
        url: URL,
        headers: Mapping[str, str],
        secret_headers: Mapping[str, str] | None = None,
        *,
        follow_redirects: bool = True,
    ) -> aiohttp.ClientResponse:
        """Send a GET request; the caller closes the response.

        Args:
            url: an absolute URL, sent exactly as written.
            headers: sent with every hop.
            secret_headers: sent to the origin of `url` only, never after a redirect to another one.
            follow_redirects: whether to follow up to five of them.

        Raises:
            FetchError: `AddressForbidden` or `DownloadFailed`.
            TransientError: where another attempt may help.

        """
        origin, secrets = url.origin(), dict(secret_headers or {})
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send(url, {**headers, **secrets})
            if response.status not in _REDIRECTS or not follow_redirects:
                return response
            url = _resolve_redirect(url, response.headers.get("Location", ""))
            response.close()
            if url.origin() != origin:
                secrets = {}
        raise FetchError(
            FetchReason.DOWNLOAD_FAILED,
            f"more than {MAX_REDIRECTS} redirects; use the final address in the model URI",
        )

    async def post(self, url: URL, form: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Send a form, whose fields may be secret; redirects are answers like all others.

        Raises:
            FetchError: `AddressForbidden` or `DownloadFailed`.
            TransientError: where another attempt may help.

        """
        return await self._send(url, {}, form)

    async def _send(
        self, url: URL, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "use the client with `async with`"
        self._guard.refusals.clear()
        method = "GET" if form is None else "POST"
        proxy = choose_proxy(self.policy, self.proxies, url)
        where = f"the proxy {proxy.host}" if proxy else url.host or ""
        try:
            return await self._session.request(
                method, url, headers=headers, data=form, allow_redirects=False, proxy=proxy
            )
        except aiohttp.ClientHttpProxyError as error:
            raise describe_proxy_answer(url.host or "", error.status) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise describe_connect_error(url.host or "", url.port or 0, error.certificate_error) from error
        except aiohttp.ClientConnectorError as error:
            if self._guard.refusals:
                raise forbidden_address((proxy or url).host or "", self._guard.refusals[0]) from error
            raise describe_connect_error(where, (proxy or url).port or 0, error.os_error) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise describe_connect_error(where, (proxy or url).port or 0, error) from error
        except aiohttp.InvalidURL as error:
            raise FetchError(
                FetchReason.DOWNLOAD_FAILED, f"{redact_url(str(url))} is not a valid URL"
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransientError(describe_network_error(url, error)) from error


def choose_proxy(policy: AddressPolicy, proxies: Proxies, url: URL) -> URL | None:
    """Return the proxy to ask; a name is resolved there, a numeric address is checked here.

    Where only private addresses are allowed, nobody else may choose the address.

    Raises:
        FetchError: `AddressForbidden`.

    """
    proxy = proxies.find(url) if policy.allow_public else None
    if proxy is not None and url.host and is_numeric(url.host):
        refusal = find_refusal(policy, url.host, url.port or 0)
        if refusal is not None:
            raise forbidden_address(url.host, refusal)
    return proxy


def is_numeric(host: str) -> bool:
    """Return whether a host is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def describe_proxy_answer(host: str, status: int) -> FetchError | TransientError:
    """The failure of a proxy that does not lead to `host`."""
    what = f"the proxy answers HTTP {status} for {host}"
    if status in _RETRIED_STATUSES:
        return TransientError(what)
    return FetchError(
        FetchReason.DOWNLOAD_FAILED,
        f"{what}; check the proxy's address and rights, or add the host to NO_PROXY",
    )


def describe_network_error(url: URL, error: Exception) -> str:
    """One phrase for a connection that broke; no text that the server chose."""
    if isinstance(error, TimeoutError):
        return f"{url.host} was silent for too long"
    return f"the connection to {url.host} broke ({type(error).__name__})"


def describe_connect_error(host: str, port: int, error: Exception) -> FetchError | TransientError:
    """The failure of a connection that was not made."""
    if isinstance(error, ssl.SSLCertVerificationError | ssl.CertificateError):
        return FetchError(
            FetchReason.DOWNLOAD_FAILED,
            f"the certificate of {host} is not trusted: {getattr(error, 'verify_message', '') or error}; "
            "add the authority's certificate as key ca.crt to the credentials Secret",
        )
    if isinstance(error, ssl.SSLEOFError):
        return TransientError(f"{host} closed the connection during the TLS handshake")
    if isinstance(error, ssl.SSLError):
        if error.reason in _NOT_TLS:
            return NotTlsError(
                FetchReason.DOWNLOAD_FAILED, f"{host} port {port} does not speak TLS; serve it over https"
            )
        return FetchError(
            FetchReason.DOWNLOAD_FAILED, f"the TLS handshake with {host} failed: {error.reason}"
        )
    if isinstance(error, TimeoutError):
        return UnreachableError(f"cannot connect to {host}: no answer for too long")
    return UnreachableError(f"cannot connect to {host}: {_describe_os_error(error)}")


def _describe_os_error(error: Exception) -> str:
    """The system's own words; asyncio puts its own into the error."""
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error)


def forbidden_address(host: str, why: str) -> FetchError:
    """The failure of an address that the policy refuses."""
    return FetchError(
        FetchReason.ADDRESS_FORBIDDEN,
        f"{host} is not allowed as a model source: {why}; use a store at another address",
    )


def check_status(
    response: aiohttp.ClientResponse, subject: str, *, authenticated: bool, detail: str = ""
) -> None:
    """Turn an error status into a failure; 200, 206 and 416 pass.

    Args:
        response: the answer.
        subject: what was asked for, for the message.
        authenticated: whether credentials were sent.
        detail: a short code from the server, already known to be harmless.

    Raises:
        FetchError: for good.
        TransientError: worth another attempt.

    """
    if response.status in (200, 206, 416):
        _refuse_encoding(response)
        return
    wait_seconds = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
    failure = describe_status(response.status, subject, authenticated=authenticated, detail=detail)
    if isinstance(failure, TransientError):
        failure.retry_after_seconds = wait_seconds
    raise failure


def describe_status(
    status: int, subject: str, *, authenticated: bool, detail: str = ""
) -> FetchError | TransientError:
    """The failure that an error status means; the arguments are those of `check_status`."""
    what = f"{subject}: HTTP {status}{' ' + detail if detail else ''}"
    if status in _RETRIED_STATUSES:
        return TransientError(what)
    if status in (404, 410):
        return AbsentError(FetchReason.MODEL_NOT_FOUND, f"{what}; check spec.model.storageUri")
    if status == 401 and not authenticated:
        return FetchError(
            FetchReason.CREDENTIALS_MISSING,
            f"{what}: the store asks for credentials; name a Secret in spec.model.credentials.secretName",
        )
    if status in (401, 403):
        return FetchError(
            FetchReason.ACCESS_DENIED,
            f"{what}: access denied; check the credentials Secret and the rights it gives, and the model URI",
        )
    return FetchError(FetchReason.DOWNLOAD_FAILED, f"{what}; check spec.model.storageUri and the store")


async def read_document(response: aiohttp.ClientResponse) -> bytes:
    """Read a small answer into memory.

    Raises:
        FetchError: `DownloadFailed` where it is larger than 4 MiB.
        TransientError: the connection broke.

    """
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                raise FetchError(
                    FetchReason.DOWNLOAD_FAILED,
                    f"the answer of {response.url.host} is larger than {MAX_DOCUMENT_BYTES} bytes",
                )
    except (aiohttp.ClientError, TimeoutError) as error:
        raise TransientError(describe_network_error(response.url, error)) from error
    finally:
        response.close()
    return bytes(body)


def resolve_endpoint(host: str, port: str) -> frozenset[tuple[str, int]]:
    """The addresses of the API server, from the two variables Kubernetes sets in every container.

    Args:
        host: `KUBERNETES_SERVICE_HOST`, an address or a name; empty outside a cluster.
        port: `KUBERNETES_SERVICE_PORT`.

    """
    if not host or not port.isdigit():
        return frozenset()
    try:
        infos = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset((str(info[4][0]), int(port)) for info in infos)


def _refuse_encoding(response: aiohttp.ClientResponse) -> None:
    if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
        raise FetchError(
            FetchReason.DOWNLOAD_FAILED,
            f"{response.url.host} sends the file with a Content-Encoding although none was asked for; "
            "store the file uncompressed",
        )


def _resolve_redirect(url: URL, location: str) -> URL:
    try:
        target = url.join(URL(location, encoded=True))
        host = target.host
    except ValueError as error:
        raise FetchError(
            FetchReason.DOWNLOAD_FAILED, f"{url.host} redirects to an invalid address"
        ) from error
    if not location or not host:
        raise FetchError(FetchReason.DOWNLOAD_FAILED, f"{url.host} redirects to nowhere")
    if is_disguised_address(host):
        raise forbidden_address(host, f"{url.host} redirects to a disguised address")
    if target.scheme not in ("https", "http"):
        raise forbidden_address(host, f"{url.host} redirects to the scheme {target.scheme!r}")
    if url.scheme == "https" and target.scheme == "http":
        raise forbidden_address(host, f"{url.host} redirects from https to plain http")
    if target.user or target.password:
        raise forbidden_address(host, f"{url.host} redirects to an address with a user name or password")
    return target
