"""Finds a registry's login in the Secret, as the kubelet and `docker login` write and read it. Pure.

The file is Docker's `config.json`; the kubelet's rules for hosts with `*` are those of
https://kubernetes.io/docs/concepts/containers/images/#config-json.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from modelservice_runtime.fetch.credentials import (
    REGISTRY_KEYS,
    Credentials,
    basic_authorization,
    credentials_missing,
)
from modelservice_runtime.fetch.uri import OciUri

_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
# Docker's helpers give this name to a login that is an identity token.
_TOKEN_USER = "<token>"  # noqa: S105 - not a password
_CREATE_SECRET = (
    "kubectl create secret docker-registry NAME "  # noqa: S105 - a command
    "--docker-server={host} --docker-username=... --docker-password=..."
)


@dataclass(frozen=True)
class Login:
    """What opens a registry; one of the three is there.

    Attributes:
        username: with `password`.
        password: of `username`.
        token: a bearer token for the registry itself.
        identity_token: a refresh token, for which the token service gives bearer tokens.

    """

    username: str = ""
    password: str = ""
    token: str = ""
    identity_token: str = ""

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header; empty where there is no password."""
        return basic_authorization(self.username, self.password) if self.password else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never be shown."""
        return self.password, self.token, self.identity_token, self.basic.removeprefix("Basic ")


def find_login(credentials: Credentials, uri: OciUri) -> Login | None:
    """Find what the Secret has for the registry of `uri`; None for anonymous access.

    Entries name a registry or a registry with a path, and `*` stands for one label of the host or a part
    of it. The longest path that fits wins, then the host without `*`; empty entries count for nothing. The
    keys `username` and `password` are used where there is no docker configuration.

    Raises:
        FetchError: `CredentialsMissing` where the file or the entry cannot be read.

    """
    text = credentials.first(*REGISTRY_KEYS)
    if text is None:
        pair = credentials.pair("username", "password")
        return Login(*pair) if pair else None
    host, path = _hub_host(uri.registry), uri.repository.split("/")
    found = [
        (len(entry_path), "*" not in entry_host, entry_host, entry)
        for entry_host, entry_path, entry in _entries(_parse_docker_config(text))
        if _host_matches(entry_host, host) and path[: len(entry_path)] == entry_path
    ]
    if not found:
        return None
    *_, name, entry = max(found, key=lambda candidate: candidate[:3])
    return _parse_entry(name, entry)


def explain_no_login(credentials: Credentials, uri: OciUri) -> str:
    """Say why the Secret has nothing for a registry that asks for a login, and what to do."""
    text = credentials.first(*REGISTRY_KEYS)
    helper = _find_helper(_parse_docker_config(text), uri) if text else None
    create = _CREATE_SECRET.format(host=uri.registry)
    if helper:
        return (
            f"the docker configuration in the credentials Secret leaves the login of {uri.registry} to the "
            f"credential helper {helper!r}, a program that is not here; make a Secret that holds the login: "
            f"{create}"
        )
    return (
        f"{uri.registry} asks for credentials; name a Secret with an entry for {uri.registry} in "
        f"spec.model.credentials.secretName: {create}"
    )


def _entries(config: Mapping[str, Any]) -> Iterator[tuple[str, list[str], Mapping[str, Any]]]:
    """Host, path and content of every entry that has one."""
    auths = config.get("auths", config)
    if not isinstance(auths, dict | None):
        raise credentials_missing('the docker configuration in the credentials Secret has no object "auths"')
    for key, entry in (auths or {}).items():
        if isinstance(entry, dict) and any(entry.values()):
            host, path = _split_key(key)
            yield host, path, entry


def _split_key(key: str) -> tuple[str, list[str]]:
    """`https://host/v1/` and `host` are the same entry."""
    key = re.sub(r"^https?://", "", key.strip())
    key = re.sub(r"/v[12]/?$", "", key).rstrip("/")
    host, _, path = key.partition("/")
    return _hub_host(host), path.split("/") if path else []


def _hub_host(host: str) -> str:
    return "docker.io" if host in _DOCKER_HUB else host


def _host_matches(pattern: str, host: str) -> bool:
    """Compare label by label, so that `*` never crosses a dot; a port is compared as it is."""
    pattern, _, pattern_port = pattern.partition(":")
    host, _, port = host.partition(":")
    labels, wanted = host.lower().split("."), pattern.lower().split(".")
    return pattern_port == port and len(labels) == len(wanted) and all(map(fnmatchcase, labels, wanted))


def _parse_docker_config(text: str) -> Mapping[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise credentials_missing("the docker configuration in the credentials Secret is not JSON") from error
    if not isinstance(config, dict):
        raise credentials_missing("the docker configuration in the credentials Secret is not a JSON object")
    return config


def _parse_entry(name: str, entry: Mapping[str, Any]) -> Login:
    if entry.get("registrytoken"):
        return Login(token=str(entry["registrytoken"]))
    if entry.get("identitytoken"):
        return Login(identity_token=str(entry["identitytoken"]))
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        username, password = _decode_auth(name, str(entry["auth"]))
    if username == _TOKEN_USER and password:
        return Login(identity_token=password)
    if not username or not password:
        raise credentials_missing(
            f"the entry {name} of the docker configuration needs auth (base64 of USER:PASSWORD), "
            "username and password, identitytoken or registrytoken"
        )
    return Login(username, password)


def _decode_auth(name: str, auth: str) -> tuple[str, str]:
    """User and password; base64 of either alphabet, with or without its padding."""
    text = re.sub(r"\s", "", auth).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        pair = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except ValueError as error:
        raise credentials_missing(
            f"the auth of the entry {name} of the docker configuration is not base64 of USER:PASSWORD"
        ) from error
    username, _, password = pair.partition(":")
    return username, password.strip("\x00\r\n")


def _find_helper(config: Mapping[str, Any], uri: OciUri) -> str | None:
    """The credential helper that `docker` would ask for this registry."""
    helpers, host = config.get("credHelpers"), _hub_host(uri.registry)
    for key, helper in helpers.items() if isinstance(helpers, dict) else ():
        if _split_key(key)[0] == host:
            return str(helper)
    return str(config["credsStore"]) if config.get("credsStore") else None
