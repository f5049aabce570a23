"""Registry credentials and the bearer-token exchange of the OCI distribution specification."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from modelservice_runtime.fetch.credentials import credentials_missing
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.http.client import GuardedClient, check_status, read_document
from modelservice_runtime.fetch.oci.docker_config import Login
from modelservice_runtime.fetch.redaction import Redactor
from modelservice_runtime.fetch.uri import OciUri

_PARAMETER = re.compile(r'([A-Za-z]+)="([^"]*)"')
_SCHEME = re.compile(r"\b(Bearer|Basic)\b", re.IGNORECASE)
# Registries write it into their logs.
_CLIENT_ID = "modelservice-fetch"


@dataclass(frozen=True)
class Challenge:
    """What a registry asks for in `WWW-Authenticate`; `scheme` is lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenge(header: str) -> Challenge | None:
    """Read a `WWW-Authenticate` header; Bearer wins over Basic. None where neither is asked for."""
    schemes = {name.lower() for name in _SCHEME.findall(header)}
    for scheme in ("bearer", "basic"):
        if scheme in schemes:
            return Challenge(scheme, {key.lower(): value for key, value in _PARAMETER.findall(header)})
    return None


class RegistryAuthorizer:
    """Answers the challenges of one registry and remembers the answer.

    Args:
        client: also used for the token service.
        uri: the artifact; its repository is the scope.
        login: what the Secret has for this registry; a text says why it has nothing and what to do.
        redactor: learns every secret that is met.

    """

    def __init__(self, client: GuardedClient, uri: OciUri, login: Login | str, redactor: Redactor) -> None:
        self._client = client
        self._uri = uri
        self._login = None if isinstance(login, str) else login
        self._no_login = login if isinstance(login, str) else ""
        self._redactor = redactor
        self.headers: dict[str, str] = {}
        if self._login is not None:
            redactor.add(*self._login.secrets)

    def check_access(self, status: int) -> None:
        """Raise the failure of an anonymous reader; readers with a login have others.

        Raises:
            FetchError: `CredentialsMissing`.

        """
        if status in (401, 403) and self._login is None:
            raise credentials_missing(self._no_login)

    async def answer(self, header: str, *, encrypted: bool) -> None:
        """Set `headers` so that the challenge in `header` is met.

        Raises:
            FetchError: `CredentialsMissing` or `AccessDenied`.
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
            self.headers = {"Authorization": self._basic()}
        else:
            self.headers = {"Authorization": f"Bearer {await self._request_token(challenge, encrypted)}"}

    def _basic(self) -> str:
        if self._login is None:
            raise credentials_missing(self._no_login)
        if not self._login.basic:
            raise _denied(
                f"{self._uri.registry} asks for a user and password, and its entry in the docker "
                "configuration has an identity token only; add auth, or username and password"
            )
        return self._login.basic

    async def _request_token(self, challenge: Challenge, encrypted: bool) -> str:
        url, query = self._token_url(challenge.parameters, encrypted)
        if self._login is not None and self._login.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": self._login.identity_token,
                "client_id": _CLIENT_ID,
                **query,
            }
            response = await self._client.post(url, form)
        else:
            secret = {"Authorization": self._login.basic} if self._login else {}
            response = await self._client.get(url.update_query(query), {}, secret)
        try:
            self.check_access(response.status)
            check_status(response, f"token service {url.host}", authenticated=True)
            body = await read_document(response)
        finally:
            response.close()
        token = _parse_token(body)
        self._redactor.add(token)
        return token

    def _token_url(self, parameters: Mapping[str, str], encrypted: bool) -> tuple[URL, dict[str, str]]:
        """The token service and what it is told (distribution specification, "Token Authentication")."""
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
        return url, query


def _denied(message: str) -> FetchError:
    return FetchError(FetchReason.ACCESS_DENIED, message)


def _parse_token(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _denied("the token service did not answer with JSON") from error
    token = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise _denied("the token service gave no token")
    return token
