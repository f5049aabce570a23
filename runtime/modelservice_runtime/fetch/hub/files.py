"""Fetches a model from a repository of the Hub, at the one commit that its revision stands for."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from yarl import URL

from modelservice_runtime.fetch.credentials import HUB_ENDPOINT_KEY, HUB_TOKEN_KEYS, Credentials
from modelservice_runtime.fetch.errors import FetchError, FetchReason, NotBesideError, TransientError
from modelservice_runtime.fetch.files.bundle import Located, store_model
from modelservice_runtime.fetch.files.destination import StoredFile
from modelservice_runtime.fetch.files.transfer import Answer, Expected, Transfer, Wanted, check_digest
from modelservice_runtime.fetch.http.answer import build_range_headers, read_answer
from modelservice_runtime.fetch.http.client import GuardedClient, check_status, read_document
from modelservice_runtime.fetch.hub.repository import (
    Snapshot,
    explain_refusal,
    find_model,
    parse_reset_seconds,
    parse_snapshot,
)
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.names import MODEL_FILE, describe_need, join_path, stored_name
from modelservice_runtime.fetch.retry import retried
from modelservice_runtime.fetch.uri import HubUri, invalid_uri, split_host_port

_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True)
class HubAccess:
    """Where the Hub is, and who asks it."""

    endpoint: URL
    token: str | None

    @property
    def is_encrypted(self) -> bool:
        """Whether requests go over TLS."""
        return self.endpoint.scheme == "https"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authorize the reader; secret."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub, with the way to reach it."""

    client: GuardedClient
    access: HubAccess
    uri: HubUri

    async def read_snapshot(self) -> Snapshot:
        """What the repository holds at the commit that the revision stands for now.

        Raises:
            FetchError, TransientError: see `get`.

        """
        revision = quote(self.uri.revision, safe="")
        response = await self.get(f"/api/models/{self.uri.repository}/revision/{revision}?blobs=true", {})
        return parse_snapshot(await read_document(response), self.uri.repository)

    async def get(self, path: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Ask the Hub; redirects lead to where large files are, without the token.

        Raises:
            FetchError: for good.
            TransientError: worth another attempt.

        """
        url = URL(str(self.access.endpoint).rstrip("/") + path, encoded=True)
        response = await self.client.get(url, headers, self.access.headers)
        try:
            code, authenticated = response.headers.get("X-Error-Code", ""), bool(self.access.token)
            refusal = explain_refusal(response.status, code, self.uri, authenticated=authenticated)
            if refusal is not None:
                raise refusal
            check_status(response, f"hf://{self.uri.repository}", authenticated=authenticated)
        except TransientError as error:
            response.close()
            if error.retry_after_seconds is None:
                error.retry_after_seconds = parse_reset_seconds(response.headers.get("RateLimit", ""))
            raise
        except BaseException:
            response.close()
            raise
        return response


@dataclass(frozen=True)
class HubSource:
    """A file of a repository at one commit."""

    repository: Repository
    commit: str
    path: str

    async def open(self, wanted: Wanted) -> Answer:
        """Ask for the file."""
        path = f"/{self.repository.uri.repository}/resolve/{self.commit}/{quote(self.path)}"
        return read_answer(await self.repository.get(path, build_range_headers(wanted)))


def read_access(credentials: Credentials, environment: Mapping[str, str]) -> HubAccess:
    """Read where the Hub is, and the token: of the Secret, else of the environment as the Hub's client does.

    Raises:
        FetchError: `InvalidUri` for an endpoint that is none.

    """
    endpoint = credentials.first(HUB_ENDPOINT_KEY) or environment.get(HUB_ENDPOINT_KEY, "").strip()
    token = credentials.first(*HUB_TOKEN_KEYS, "token") or environment.get(HUB_TOKEN_KEYS[0], "").strip()
    return HubAccess(_parse_endpoint(endpoint or _ENDPOINT), token or None)


@dataclass(frozen=True)
class HubFetch:
    """One fetch from a repository.

    Attributes:
        repository: where the model is.
        sha256: digest of the model, where it is known.
        transfer: takes the files.

    """

    repository: Repository
    sha256: str | None
    transfer: Transfer

    async def run(self) -> tuple[list[StoredFile], str]:
        """Fetch the model and the files that it names, the model last; return them with the commit.

        Raises:
            FetchError: with the reason.

        """
        self._check_transport()
        uri = self.repository.uri
        snapshot = await retried(self.repository.read_snapshot, self.transfer.limits)
        log("commit", {"repository": uri.repository, "revision": uri.revision, "commit": snapshot.commit})
        path = find_model(snapshot, uri, self.transfer.file)
        file = snapshot.files[path]
        if self.sha256 and file.sha256:
            check_digest(self.sha256, file.sha256, path)
        name = MODEL_FILE if path == uri.path else stored_name(path)
        expected = Expected(name, self.sha256 or file.sha256, file.size_bytes)

        async def locate(location: str) -> Located:
            return self._locate(snapshot, path, location)

        model = Located(HubSource(self.repository, snapshot.commit, path), expected)
        return await store_model(self.transfer, model, path, locate), snapshot.commit

    def _check_transport(self) -> None:
        access = self.repository.access
        if access.is_encrypted:
            return
        if self.sha256 is None:
            raise _unpinned(access, "add spec.model.sha256")
        if access.token:
            raise FetchError(
                FetchReason.ACCESS_DENIED,
                "the token is never sent over plain http; use an https:// HF_ENDPOINT",
            )

    def _locate(self, snapshot: Snapshot, model: str, location: str) -> Located:
        uri, access = self.repository.uri, self.repository.access
        if not access.is_encrypted:
            raise _unpinned(access, "a model with external data needs an endpoint that speaks https")
        path = join_path(model, location)
        if path not in snapshot.files:
            raise NotBesideError(
                FetchReason.MODEL_NOT_FOUND,
                f"{describe_need(model, path)}, which {uri.repository} does not have at {uri.revision}; "
                "upload both, side by side as they were exported",
            )
        file = snapshot.files[path]
        expected = Expected(location, file.sha256, file.size_bytes, is_model=False)
        return Located(HubSource(self.repository, snapshot.commit, path), expected)


def _parse_endpoint(text: str) -> URL:
    """Read an address, which may have a path (mirrors in artifact stores); raises FetchError."""
    try:
        url = URL(text)
        usable = url.scheme in ("https", "http") and url.host and not url.user and not url.query_string
    except ValueError:
        usable = False
    if not usable:
        raise invalid_uri("HF_ENDPOINT must be https://host[:port], with a path where the mirror has one")
    split_host_port(url.authority)
    return url


def _unpinned(access: HubAccess, remedy: str) -> FetchError:
    return invalid_uri(
        f"HF_ENDPOINT ({access.endpoint.host}) speaks plain http, where anyone on the way can change the "
        f"model; {remedy}, or use an https:// endpoint"
    )
