"""Registry credentials and the bearer-token exchange of the OCI distribution specification."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from modelservice_runtime.fetch.client import GuardedClient, check_status, read_document
from modelservice_runtime.fetch.credentials import (
    REGISTRY_KEYS,
    Credentials,
    basic_authorization,
    credentials_missing,
)
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.redaction import Redactor
from modelservice_runtime.fetch.uri import OciUri

_PARAMETER = re.compile(r'([A-Za-z]+)="([^"]*)"')
_SCHEME = re.compile(r"\b(Bearer|Basic)\b", re.IGNORECASE)
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True)
class Login:
    """A user name and password, or a ready bearer token."""

    username: str = ""
    password: str = ""
    token: str = ""

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header."""
        return basic_authorization(self.username, self.password)


@dataclass(frozen=True)
class Challenge:
    """What a registry asks for in ``WWW-Authenticate``; ``scheme`` is lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenge(header: str) -> Challenge | None:
    """Read a ``WWW-Authenticate`` header; Bearer wins over Basic. None where neither is asked for."""
    schemes = {name.lower() for name in _SCHEME.findall(header)}
    for scheme in ("bearer", "basic"):
        if scheme in schemes:
            return Challenge(scheme, {key.lower(): value for key, value in _PARAMETER.findall(header)})
    return None


def find_login(credentials: Credentials, uri: OciUri) -> Login | None:
    """Find the registry's entry in the docker configuration of the Secret.

    Entries may name a registry or a registry with a path; the longest that fits wins. The keys
    ``username`` and ``password`` are used where there is no such file.

    Raises:
        FetchError: ``CredentialsMissing`` where the file or the entry cannot be read.

    """
    text = credentials.first(*REGISTRY_KEYS)
    if text is None:
        pair = credentials.pair("username", "password")
        return Login(*pair) if pair else None
    entries = {_normalize(key): value for key, value in _parse_docker_config(text).items()}
    path = f"{_normalize(uri.registry)}/{uri.repository}"
    while path:
        if path in entries:
            return _parse_entry(path, entries[path])
        path = path.rpartition("/")[0]
    return None


class RegistryAuthorizer:
    """Answers the challenges of one registry and remembers the answer.

    Args:
        client: also used for the token service.
        uri: the artifact; its repository is the scope.
        login: what the Secret has for this registry.
        redactor: learns every secret that is met.

    """

    def __init__(self, client: GuardedClient, uri: OciUri, login: Login | None, redactor: Redactor) -> None:
        self._client = client
        self._uri = uri
        self._login = login
        self._redactor = redactor
        self.headers: dict[str, str] = {}
        if login is not None:
            redactor.add(login.password, login.token, login.basic.removeprefix("Basic "))

    @property
    def has_login(self) -> bool:
        """Whether the Secret has an entry for this registry."""
        return self._login is not None

    async def answer(self, header: str, *, encrypted: bool) -> None:
        """Set :attr:`headers` so that the challenge in ``header`` is met.

        Raises:
            FetchError: ``CredentialsMissing`` or ``AccessDenied``.
            TransientError: the token service is not well.

        """
        challenge = parse_challenge(header)
        if challenge is None:
            raise _denied(f"{self._uri.registry} asks for a login that is neither Basic nor Bearer")
        if self._login is not None and not encrypted:
            raise _denied(
                f"{self._uri.registry} asks for credentials over plain http, where they are never sent; "
                "serve the registry over TLS"
            )
        if self._login is not None and self._login.token:
            self.headers = {"Authorization": f"Bearer {self._login.token}"}
        elif challenge.scheme == "basic":
            if self._login is None:
                raise _no_login(self._uri)
            self.headers = {"Authorization": self._login.basic}
        else:
            self.headers = {"Authorization": f"Bearer {await self._request_token(challenge, encrypted)}"}

    async def _request_token(self, challenge: Challenge, encrypted: bool) -> str:
        url = self._token_url(challenge.parameters, encrypted)
        secret = {"Authorization": self._login.basic} if self._login else {}
        response = await self._client.get(url, {}, secret)
        try:
            check_status(response, f"token service {url.host}", authenticated=self.has_login)
            body = await read_document(response)
        finally:
            response.close()
        token = _parse_token(body)
        self._redactor.add(token)
        return token

    def _token_url(self, parameters: Mapping[str, str], encrypted: bool) -> URL:
        try:
            url = URL(parameters.get("realm", ""))
            host = url.host
        except ValueError as error:
            raise _denied(f"{self._uri.registry} names an invalid token service") from error
        if not host or url.scheme not in (("https",) if encrypted else ("https", "http")) or url.user:
            raise _denied(f"{self._uri.registry} names a token service that is not https://")
        query = {"scope": f"repository:{self._uri.repository}:pull"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        return url.update_query(query)


def _denied(message: str) -> FetchError:
    return FetchError(FetchReason.ACCESS_DENIED, message)


def _no_login(uri: OciUri) -> FetchError:
    return credentials_missing(
        f"{uri.registry} asks for credentials; put a .dockerconfigjson with an entry for {uri.registry} "
        "into the Secret that spec.model.credentials.secretName names"
    )


def _normalize(key: str) -> str:
    """``https://host/v1/`` and ``host`` are the same entry."""
    key = re.sub(r"^https?://", "", key)
    key = re.sub(r"/v[12]/?$", "", key).rstrip("/")
    host, slash, path = key.partition("/")
    return ("docker.io" if host in _DOCKER_HUB else host) + slash + path


def _parse_docker_config(text: str) -> Mapping[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise credentials_missing("the docker configuration in the credentials Secret is not JSON") from error
    auths = config.get("auths", config) if isinstance(config, dict) else None
    if not isinstance(auths, dict):
        raise credentials_missing('the docker configuration in the credentials Secret has no object "auths"')
    return auths


def _parse_entry(path: str, entry: object) -> Login:
    entry = entry if isinstance(entry, dict) else {}
    if entry.get("registrytoken"):
        return Login(token=str(entry["registrytoken"]))
    username, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        try:
            username, _, password = (
                base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
            )
        except ValueError as error:
            raise credentials_missing(
                f"the entry {path} of the docker configuration has an invalid auth"
            ) from error
    if not username or not password:
        raise credentials_missing(
            f"the entry {path} of the docker configuration needs auth, or username and password"
        )
    return Login(username, password)


def _parse_token(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _denied("the token service did not answer with JSON") from error
    token = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise _denied("the token service gave no token")
    return token
