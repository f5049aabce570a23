"""Answers a registry that asks who is there: Basic, or a token of its token service.

https://distribution.github.io/distribution/spec/auth/token/ and .../oauth/
"""

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.connection import Answer, Connection, describe_failure, retried
from modelservice_pipeline.oci.logins import Login, find_login
from modelservice_pipeline.oci.reference import Reference

_CHALLENGE = re.compile(r"(?i)(?:^|,\s*)(Bearer|Basic)\b")
_PARAMETER = re.compile(r'([A-Za-z]+)\s*=\s*"([^"]*)"')
_CLIENT_ID = "modelservice"
_MAX_TOKEN_BYTES = 1 << 20


class Authorizer:
    """Answers one registry's challenges for one repository; the login is looked for when it is asked for."""

    def __init__(self, connection: Connection, reference: Reference, actions: str) -> None:
        self._connection, self._reference = connection, reference
        self._scopes = [f"repository:{reference.repository}:{actions}"]
        self.headers: dict[str, str] = {}

    def add_source(self, repository: str) -> None:
        """Ask for the right to take blobs from another repository too."""
        self._scopes.append(f"repository:{repository}:pull")

    def answer(self, challenge: str) -> None:
        """Set `headers` as a `WWW-Authenticate` asks for. Raises PipelineError."""
        schemes = {name.lower() for name in _CHALLENGE.findall(challenge)}
        login = find_login(self._reference)
        if login is not None and self._connection.scheme == "http" and not self._reference.is_local:
            raise PipelineError(
                f"{self._connection.host} asks for a login without TLS, where none is sent: serve it over TLS"
            )
        if login is not None and login.token:
            self.headers = {"Authorization": f"Bearer {login.token}"}
        elif "bearer" in schemes:
            parameters = {key.lower(): value for key, value in _PARAMETER.findall(challenge)}
            self.headers = {"Authorization": f"Bearer {self._fetch_token(parameters, login)}"}
        elif login is None or login.identity_token:
            raise PipelineError(self.no_login())
        else:
            self.headers = {"Authorization": login.basic}

    def no_login(self) -> str:
        """Return what to say of a registry that refuses."""
        host = self._connection.host
        return f"{host} refuses {self._reference.repository}: log in, as with 'docker login {host}'"

    def _fetch_token(self, parameters: Mapping[str, str], login: Login | None) -> str:
        url = self._realm(parameters.get("realm", ""))
        service = {"service": parameters["service"]} if "service" in parameters else {}
        if login is not None and login.identity_token:
            form = urlencode(
                {
                    "grant_type": "refresh_token",
                    "refresh_token": login.identity_token,
                    "client_id": _CLIENT_ID,
                    "scope": " ".join(self._scopes),
                    **service,
                }
            ).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(form))}
            return self._read_token(
                lambda: self._connection.send("POST", url, headers, lambda: iter((form,)))
            )
        query = urlencode([*(("scope", scope) for scope in self._scopes), *service.items()])
        separator = "&" if urlsplit(url).query else "?"
        headers = {"Authorization": login.basic} if login is not None else {}
        return self._read_token(lambda: self._connection.send("GET", f"{url}{separator}{query}", headers))

    def _realm(self, url: str) -> str:
        parts = urlsplit(url)
        schemes = ("https",) if self._connection.scheme == "https" else ("https", "http")
        if parts.scheme not in schemes or not parts.hostname or parts.username:
            raise PipelineError(f"{self._connection.host} names a token service that is not https://")
        return url

    def _read_token(self, send: Callable[[], Answer]) -> str:
        answer = retried(send)
        if answer.status in (401, 403):
            answer.drain_conn()
            raise PipelineError(self.no_login())
        if answer.status != 200:
            said = describe_failure(answer)
            raise PipelineError(f"the token service of {self._connection.host} gave no token: {said}")
        try:
            body = json.loads(answer.read(_MAX_TOKEN_BYTES))
            token = body.get("token") or body.get("access_token")
        except (ValueError, AttributeError):
            token = None
        finally:
            answer.close()
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise PipelineError(f"the token service of {self._connection.host} gave no token")
        return token
