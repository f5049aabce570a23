"""Reads objects of buckets through obstore (Rust's object_store), behind the guarding proxy.

The library signs, and exchanges identities for credentials. Attempts, pauses, resuming, digests and messages
are ours, the same for every source.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError, PreconditionError
from yarl import URL

from modelservice_runtime.fetch.buckets.identity import Identity
from modelservice_runtime.fetch.buckets.proxy import Endpoint, GuardProxy, Way
from modelservice_runtime.fetch.errors import FetchError, FetchReason, TransientError
from modelservice_runtime.fetch.files.transfer import Answer, ChangedError, Wanted
from modelservice_runtime.fetch.http.addresses import AddressPolicy
from modelservice_runtime.fetch.http.client import describe_status
from modelservice_runtime.fetch.limits import TransferLimits
from modelservice_runtime.fetch.uri import invalid_uri

_USER_AGENT = "modelservice-fetch"
_STATUS = re.compile(r"status code: (\d{3})|HTTP status \w+ error \((\d{3})")
_ERROR_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
# What is asked of an identity service is not shown by the library; nothing else hides its address.
_IDENTITY_SIGNS = ("POST REDACTED", "token request", "token file")
_NO_AUTHORITIES = "No CA certificates"
_DEFAULT_PORTS = {"https": 443, "http": 80}
MAX_LISTED = 10_000

ErrorExplainer = Callable[[int, str, str, bool], FetchError | None]
StoreOpener = Callable[[str, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Bucket:
    """A bucket, where it is, and how it is opened.

    Attributes:
        scheme: of model URIs.
        name: of the bucket.
        endpoint: where requests go.
        open_store: makes the library's store for an endpoint and options of its HTTP client.
        explain: the failure that an answer means: status, code, text, signed.
        identity: whose credentials are asked for; None where a Secret has them, or nobody signs.
        signed: whether requests are signed.

    """

    scheme: str
    name: str
    endpoint: URL
    open_store: StoreOpener
    explain: ErrorExplainer
    identity: Identity | None
    signed: bool

    @property
    def encrypted(self) -> bool:
        """Whether requests go over TLS."""
        return self.endpoint.scheme == "https"

    def uri(self, key: str) -> str:
        """How a model URI names `key`."""
        return str(URL.build(scheme=self.scheme, host=self.name, path=f"/{key}"))


@dataclass(frozen=True)
class ObjectStore:
    """An opened bucket."""

    bucket: Bucket
    store: Any
    proxy: GuardProxy

    async def list_objects(self, prefix: str) -> dict[str, int]:
        """Keys of the objects below `prefix`, relative to it, with their sizes; at most 10,000.

        Raises:
            FetchError, TransientError: the store cannot be asked.

        """
        found: dict[str, int] = {}
        try:
            stream = obstore.list(self.store, prefix or None, chunk_size=1000)
            async for batch in stream:
                for item in batch:
                    path = str(item["path"])
                    found[path.removeprefix(prefix.rstrip("/")).lstrip("/")] = int(item["size"])
                if len(found) >= MAX_LISTED:
                    break
        except (BaseError, OSError, ValueError) as error:
            raise self.translate(error, prefix) from error
        return found

    def translate(self, error: Exception, key: str) -> Exception:
        """The failure that an error of the library means."""
        failure = self.proxy.take_failure()
        if failure is not None:
            return failure
        text = str(error).partition("\n\nDebug source")[0]
        identity = self.bucket.identity
        if identity and _is_about(identity, text):
            return _identity_failure(identity, text)
        status, code = _STATUS.search(text), _ERROR_CODE.search(text)
        if status is None:
            kind = "was silent for too long" if "timed out" in text.lower() else "broke"
            return TransientError(f"the connection to {self.bucket.endpoint.host} {kind}")
        number, word = int(status[1] or status[2]), code[1] if code else ""
        found = self.bucket.explain(number, word, text, self.bucket.signed)
        subject = self.bucket.uri(key)
        return found or describe_status(number, subject, authenticated=self.bucket.signed, detail=word)


@dataclass(frozen=True)
class ObjectSource:
    """One object of a bucket."""

    store: ObjectStore
    key: str

    async def open(self, wanted: Wanted) -> Answer:
        """Ask for the object."""
        options: dict[str, Any] = {}
        if wanted.end_bytes is not None:
            options["range"] = (wanted.start_bytes, wanted.end_bytes)
        elif wanted.start_bytes:
            options["range"] = {"offset": wanted.start_bytes}
        if wanted.etag:
            options["if_match"] = wanted.etag
        try:
            result = await obstore.get_async(self.store.store, self.key, options=options or None)  # type: ignore[arg-type]
        except PreconditionError as error:
            raise ChangedError("the object was changed meanwhile") from error
        except (BaseError, OSError, ValueError) as error:
            raise self.store.translate(error, self.key) from error
        etag = result.meta["e_tag"] or ""
        strong = etag if etag.startswith('"') else None
        return Answer(result.range[0], result.meta["size"], strong, self._read(result), lambda: None)

    async def _read(self, result: Any) -> AsyncIterator[bytes]:
        try:
            # Pieces as they come: a larger minimum would hide from the rule of speed that hardly any come.
            async for piece in result.stream(min_chunk_size=1):
                yield bytes(piece)
        except (BaseError, OSError) as error:
            failure = self.store.translate(error, self.key)
            raise failure from error


@asynccontextmanager
async def open_bucket(
    bucket: Bucket, policy: AddressPolicy, way: Way, authorities: str, limits: TransferLimits
) -> AsyncIterator[ObjectStore]:
    """Open a bucket behind the proxy.

    Args:
        bucket: the bucket.
        policy: which addresses may be connected to, beside the services of the bucket's identity.
        way: how connections are made.
        authorities: certificates of further authorities in PEM, for identity services; may be empty.
        limits: bounds of the transfer.

    """
    origin = Endpoint(
        bucket.endpoint.host or "", bucket.endpoint.port or _DEFAULT_PORTS[bucket.endpoint.scheme]
    )
    asked = bucket.endpoint.with_scheme("http").with_port(bucket.endpoint.explicit_port)
    services = bucket.identity.services if bucket.identity else frozenset()
    if origin in services:
        raise invalid_uri("the endpoint in the credentials Secret is a service that gives credentials")
    origins = {Endpoint(asked.host or "", asked.port or 80): origin if bucket.encrypted else None}
    options: dict[str, Any] = {
        "allow_http": True,  # up to the proxy, which encrypts
        "user_agent": _USER_AGENT,
        "connect_timeout": timedelta(seconds=limits.connect_timeout_seconds),
        "read_timeout": timedelta(seconds=limits.read_timeout_seconds),
        "timeout": timedelta(seconds=limits.total_timeout_seconds),
    }
    if authorities:
        options["root_certificate"] = authorities
    async with GuardProxy(policy, services, origins, way) as proxy:
        options["proxy_url"] = proxy.url
        try:
            store = bucket.open_store(str(asked).rstrip("/"), options)
        except (BaseError, ValueError) as error:
            raise _unusable(error) from error
        yield ObjectStore(bucket, store, proxy)


def parse_endpoint(text: str, what: str, *, with_path: bool = False) -> URL:
    """Read the endpoint of a store.

    Raises:
        FetchError: `InvalidUri`.

    """
    try:
        url = URL(text)
        path_fits = url.path == "/" or with_path
        usable = url.scheme in _DEFAULT_PORTS and url.host and not url.user and path_fits and not url.query
    except ValueError:
        usable = False
    if not usable:
        raise invalid_uri(
            f"{what} in the credentials Secret must be https://host[:port] or http://host[:port]"
        )
    return url


def _unusable(error: Exception) -> FetchError:
    """The failure of settings that the library does not take, for example a key that is none."""
    if _NO_AUTHORITIES in str(error):
        what = "the image has no certificates of authorities; install ca-certificates in it"
    else:
        what = f"the credentials Secret cannot be used: {_first_line(error)[:200]}; correct it"
    return FetchError(FetchReason.CREDENTIALS_MISSING, what)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _is_about(identity: Identity, text: str) -> bool:
    hosts = [service.host for service in identity.services]
    return any(sign in text for sign in (*_IDENTITY_SIGNS, *(f"//{host}" for host in hosts)))


def _identity_failure(identity: Identity, text: str) -> Exception:
    status = _STATUS.search(text)
    number = int(status[1] or status[2]) if status else 0
    if status and number not in (400, 401, 403, 404):
        return TransientError(f"the credentials of {identity.name} cannot be had: HTTP {number}")
    why = f"HTTP {number}" if status else text.rpartition(": ")[2][:200]
    return FetchError(
        FetchReason.ACCESS_DENIED,
        f"the identity of the pod is refused ({identity.name}: {why}); check the role of the service account "
        "in spec.serviceAccountName and whom it trusts",
    )
