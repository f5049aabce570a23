"""Asks one registry over HTTP: TLS, proxies, another try where it may help, redirects to its storage."""

import json
import math
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import urllib3

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.access import Access
from modelservice_pipeline.oci.reference import Reference

_TIMEOUT = urllib3.Timeout(connect=20, read=300)
_TRIES = 5
_FIRST_WAIT_SECONDS = 0.5
_MAX_WAIT_SECONDS = 60.0
_TRIES_MAY_HELP = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_ERROR_BYTES = 2000
# What OpenSSL says of an answer that is no TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")

Body = Callable[[], Iterator[bytes]]
Answer = urllib3.BaseHTTPResponse
Found = TypeVar("Found")


class TransientError(PipelineError):
    """Another try may help; `wait_seconds` is what the server asked for."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class NotTlsError(PipelineError):
    """The registry does not speak TLS."""


def retried(operation: Callable[[], Found], sleep: Callable[[float], None] = time.sleep) -> Found:
    """Do it, and again after a TransientError, each time later. Raises PipelineError."""
    for number in range(_TRIES - 1):
        try:
            return operation()
        except TransientError as error:
            wait = _FIRST_WAIT_SECONDS * 2**number if error.wait_seconds is None else error.wait_seconds
            sleep(min(wait, _MAX_WAIT_SECONDS))
    return operation()


class Connection:
    """The way to one registry. `send` asks once; see `retried`."""

    def __init__(self, reference: Reference, access: Access) -> None:
        self.host = reference.host
        self._api_host = "registry-1.docker.io" if self.host == "docker.io" else self.host
        self._context = _tls_context(access)
        self._direct = urllib3.PoolManager(timeout=_TIMEOUT, ssl_context=self._context)
        self.scheme = "https"
        if reference.is_local or access.plain_http:
            self.scheme = self._find_scheme()

    @property
    def origin(self) -> str:
        """Scheme and host, as URLs begin."""
        return f"{self.scheme}://{self._api_host}"

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None = None,
        *,
        redirects: bool = False,
    ) -> Answer:
        """Ask once; the answer's body is not read yet.

        Args:
            method: HTTP's.
            url: Absolute.
            headers: With the authorization, which no other host is shown.
            body: Gives the bytes anew at each call; its `Content-Length` is among the headers.
            redirects: Whether to follow them, as reads of blobs do.

        Raises:
            TransientError: No answer, or one that may be another soon.
            PipelineError: Another failure of the connection.
        """
        answer = self._send_once(method, url, headers, body)
        for _ in range(_MAX_REDIRECTS if redirects else 0):
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or location is None:
                break
            answer.drain_conn()
            url = self._follow(url, location)
            kept = headers if _origin(url) == self.origin else _without_login(headers)
            answer = self._send_once(method, url, kept, None)
        if answer.status in _TRIES_MAY_HELP:
            said = describe_failure(answer)
            raise TransientError(
                f"{self.host} cannot answer now: {said}", _retry_after(answer.headers.get("Retry-After"))
            )
        return answer

    def _send_once(self, method: str, url: str, headers: Mapping[str, str], body: Body | None) -> Answer:
        try:
            return self._pool(url).request(
                method,
                url,
                headers=dict(headers),
                body=None if body is None else body(),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.SSLError as error:
            if any(word in str(error) for word in _NO_TLS):
                raise NotTlsError(
                    f"{self.host} does not speak TLS: serve it over TLS, or allow that with --plain-http"
                ) from None
            raise PipelineError(
                f"{self.host} shows a certificate that is not trusted ({_cause(error)}): name its authority "
                "with --registry-ca FILE"
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(f"{self.host} does not answer: {_cause(error)}") from None

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if proxy is None or urllib.request.proxy_bypass(str(parts.hostname)):
            return self._direct
        # The login of a proxy stands in its address.
        login = urlsplit(proxy)
        pair = f"{login.username}:{login.password or ''}" if login.username else None
        return urllib3.ProxyManager(
            proxy,
            proxy_headers=urllib3.make_headers(proxy_basic_auth=pair),
            timeout=_TIMEOUT,
            ssl_context=self._context,
        )

    def _find_scheme(self) -> str:
        try:
            retried(lambda: self.send("GET", f"https://{self._api_host}/v2/", {})).drain_conn()
        except NotTlsError:
            return "http"
        return "https"

    def _follow(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        if urlsplit(target).scheme not in (("https",) if self.scheme == "https" else ("https", "http")):
            raise PipelineError(f"{self.host} leads from https to another scheme, which is not followed")
        return target


def describe_failure(answer: Answer) -> str:
    """Return what a registry says of a failure: the messages of its JSON, else its first words."""
    try:
        body = answer.read(_MAX_ERROR_BYTES)
    except (urllib3.exceptions.HTTPError, OSError):
        body = b""
    finally:
        answer.close()
    try:
        errors = json.loads(body)["errors"]
        said = "; ".join(f"{one.get('code')}: {one.get('message')}" for one in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        said = " ".join(body.decode(errors="replace").split())[:200]
    return f"status {answer.status}" + (f" ({said})" if said else "")


def _tls_context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if access.ca_file is not None:
        try:
            context.load_verify_locations(access.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise PipelineError(f"cannot read certificates in PEM from {access.ca_file}: {error}") from None
    return context


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _without_login(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "authorization"}


def _retry_after(value: str | None) -> float | None:
    """Only seconds: dates would need clocks that agree."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _cause(error: BaseException) -> str:
    """Return the innermost cause in one line."""
    while (inner := getattr(error, "reason", None) or error.__cause__) and isinstance(inner, BaseException):
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
