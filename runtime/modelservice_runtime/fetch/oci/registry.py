"""Fetches an artifact from an OCI registry (OCI distribution specification 1.1).

Registries are asked over TLS. Where the registry turns out not to speak TLS, plain http is used only
if the content is pinned by a digest and the address is private, and credentials are not sent: the
network can then refuse to deliver the model, but neither change it nor learn a secret.
"""

import hashlib
import platform
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import aiohttp
from yarl import URL

from modelservice_runtime.fetch.credentials import Credentials
from modelservice_runtime.fetch.errors import FetchError, NotTlsError
from modelservice_runtime.fetch.files.destination import StoredFile
from modelservice_runtime.fetch.files.transfer import Answer, Transfer, Wanted, check_digest
from modelservice_runtime.fetch.http.answer import build_range_headers, read_answer
from modelservice_runtime.fetch.http.client import GuardedClient, check_status, read_document
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.oci.auth import RegistryAuthorizer
from modelservice_runtime.fetch.oci.docker_config import explain_no_login, find_login
from modelservice_runtime.fetch.oci.files import Layers
from modelservice_runtime.fetch.oci.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Artifact,
    Index,
    parse_manifest,
    refused,
)
from modelservice_runtime.fetch.redaction import Redactor
from modelservice_runtime.fetch.retry import retried
from modelservice_runtime.fetch.uri import OciUri, invalid_uri

_ACCEPT = {"Accept": ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))}

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Registry:
    """One repository of a registry, with the way to reach it."""

    client: GuardedClient
    scheme: str
    uri: OciUri
    authorizer: RegistryAuthorizer

    async def get(self, path: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Ask for `path` below the repository; meets one challenge.

        Raises:
            FetchError, TransientError: see `check_status`.

        """
        url = URL(
            f"{self.scheme}://{build_api_host(self.uri.registry)}/v2/{self.uri.repository}/{path}",
            encoded=True,
        )
        response = await self.client.get(url, headers, self.authorizer.headers)
        challenge = response.headers.get("WWW-Authenticate")
        if response.status == 401 and challenge:
            response.close()
            await self.authorizer.answer(challenge, encrypted=self.scheme == "https")
            response = await self.client.get(url, headers, self.authorizer.headers)
        try:
            subject = f"{self.uri.registry}/{self.uri.repository} {path[:90]}"
            self.authorizer.check_access(response.status)
            check_status(response, subject, authenticated=True)
        except BaseException:
            response.close()
            raise
        return response

    async def read_manifest(self, reference: str) -> bytes:
        """The bytes of a manifest; checked where `reference` is a digest."""
        body = await read_document(await self.get(f"manifests/{reference}", _ACCEPT))
        digest = hashlib.sha256(body).hexdigest()
        if reference.startswith("sha256:"):
            check_digest(reference.removeprefix("sha256:"), digest, "the manifest")
        log("manifest", {"reference": reference, "digest": f"sha256:{digest}"})
        return body


@dataclass(frozen=True)
class BlobSource:
    """One blob of a repository."""

    registry: Registry
    digest: str

    async def open(self, wanted: Wanted) -> Answer:
        """Ask for the blob."""
        headers = build_range_headers(wanted)
        return read_answer(await self.registry.get(f"blobs/sha256:{self.digest}", headers))


@dataclass(frozen=True)
class RegistryAccess:
    """What is needed to reach a registry."""

    client: GuardedClient
    credentials: Credentials
    redactor: Redactor

    def open(self, uri: OciUri, client: GuardedClient, scheme: str) -> Registry:
        """The repository of `uri` through `client`."""
        login = find_login(self.credentials, uri) or explain_no_login(self.credentials, uri)
        return Registry(client, scheme, uri, RegistryAuthorizer(client, uri, login, self.redactor))


async def fetch_oci(
    uri: OciUri, sha256: str | None, access: RegistryAccess, transfer: Transfer
) -> list[StoredFile]:
    """Fetch the model of an artifact and the files that it names, the model last.

    Raises:
        FetchError: with the reason.

    """
    async with AsyncExitStack() as stack:
        registry, body = await _reach(uri, sha256, access, transfer, stack)
        artifact = await _resolve(registry, body, transfer)
        unpinned = None
        if registry.scheme == "http" and uri.digest is None:
            unpinned = _unpinned(
                uri, "a model of several files needs the manifest's digest in the URI (@sha256:...)"
            )
        layers = Layers(
            artifact.layers, lambda layer: BlobSource(registry, layer.digest), transfer, sha256, unpinned
        )
        return await layers.fetch()


async def _reach(
    uri: OciUri, sha256: str | None, access: RegistryAccess, transfer: Transfer, stack: AsyncExitStack
) -> tuple[Registry, bytes]:
    """Find out how the registry is reached; returns it with the manifest's bytes."""
    registry = access.open(uri, access.client, "https")
    try:
        return registry, await retried(lambda: registry.read_manifest(uri.reference), transfer.limits)
    except NotTlsError as error:
        if uri.digest is None and sha256 is None:
            raise _unpinned(
                uri, "add spec.model.sha256 or name the manifest's digest (@sha256:...)"
            ) from error
    policy = replace(access.client.policy, allow_public=False)
    client = await stack.enter_async_context(GuardedClient(policy, access.client.tls, access.client.limits))
    plain = access.open(uri, client, "http")
    log("registry speaks plain http; its content is pinned by a digest", {"registry": uri.registry})
    return plain, await retried(lambda: plain.read_manifest(uri.reference), transfer.limits)


async def _resolve(registry: Registry, body: bytes, transfer: Transfer) -> Artifact:
    architecture = machine_architecture()
    found = parse_manifest(body, architecture)
    if isinstance(found, Index):
        digest = found.digest
        body = await retried(lambda: registry.read_manifest(digest), transfer.limits)
        found = parse_manifest(body, architecture)
    if isinstance(found, Index):
        raise refused("the reference leads to an index inside an index")
    return found


def _unpinned(uri: OciUri, remedy: str) -> FetchError:
    return invalid_uri(
        f"{uri.registry} speaks plain http, where anyone on the way can change the model; {remedy}, "
        "or serve the registry over TLS"
    )


def machine_architecture() -> str:
    """The architecture of this machine as images name it: in the words of Go."""
    machine = platform.machine().lower()
    return _ARCHITECTURES.get(machine, machine)


def build_api_host(registry: str) -> str:
    """Docker Hub's API lives at another host than its name says."""
    return "registry-1.docker.io" if registry == "docker.io" else registry
