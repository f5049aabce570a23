"""Finds the login of a registry: from the environment, Docker's configuration, a credential helper.

https://docs.docker.com/reference/cli/docker/login/ and the protocol of docker-credential-helpers.
"""

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.access import PASSWORD, USERNAME, config_files
from modelservice_pipeline.oci.reference import Reference

_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HUB_KEY = "https://index.docker.io/v1/"
# The user that helpers name where the secret is an identity token.
_TOKEN_USER = "<token>"  # noqa: S105 - not a password
_HELPER_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
# Helpers may ask a person, or a cloud.
_HELPER_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Login:
    """What opens a registry: a user with a password, or one of the tokens."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    """Given to the token service for a token of the registry."""
    token: str = ""
    """For the registry itself."""

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


def find_login(reference: Reference, environment: Mapping[str, str] | None = None) -> Login | None:
    """Return the login for a registry, None where there is none. Raises PipelineError."""
    environment = os.environ if environment is None else environment
    username, password = environment.get(USERNAME), environment.get(PASSWORD)
    if username or password:
        if not (username and password):
            raise PipelineError(f"expected both {USERNAME} and {PASSWORD}, or neither")
        return Login(username, password)
    for path in config_files():
        if path.is_file():
            return _find_in_config(_read_config(path), path, reference)
    return None


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PipelineError(f"cannot read the logins in {path}: {error}") from None
    if not isinstance(config, dict):
        raise PipelineError(f"cannot read the logins in {path}: expected a JSON object")
    return config


def _find_in_config(config: Mapping[str, Any], path: Path, reference: Reference) -> Login | None:
    host = _hub_host(reference.host)
    helpers = _mapping(config.get("credHelpers"))
    helper = next((name for key, name in helpers.items() if _hub_host(_host_of(key)) == host), None)
    if helper is not None:
        return _ask_helper(str(helper), host)
    whole = f"{host}/{reference.repository}/"
    entries = [
        (len(key), key, entry)
        for raw, entry in _mapping(config.get("auths")).items()
        if isinstance(entry, dict) and any(entry.values())
        for key in (_normalised(raw),)
        if whole.startswith(f"{key}/")
    ]
    if entries:
        _, key, entry = max(entries, key=lambda found: found[:2])
        return _read_entry(entry, f"the entry {key} in {path}")
    store = config.get("credsStore")
    return _ask_helper(str(store), host) if store else None


def _read_entry(entry: Mapping[str, Any], name: str) -> Login:
    if entry.get("registrytoken"):
        return Login(token=str(entry["registrytoken"]))
    if entry.get("identitytoken"):
        return Login(identity_token=str(entry["identitytoken"]))
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            pair = base64.b64decode(str(entry["auth"]), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise PipelineError(f"{name}: expected base64 of USER:PASSWORD in auth") from None
        username, _, password = pair.partition(":")
        password = password.rstrip("\x00")
    if not username or not password:
        raise PipelineError(f"{name}: expected auth, or username and password: log in again")
    return Login(username, password)


def _ask_helper(helper: str, host: str) -> Login | None:
    if _HELPER_NAME.fullmatch(helper) is None:
        raise PipelineError(f"the credential helper {helper!r} has no name of a program")
    program = f"docker-credential-{helper}"
    server = _HUB_KEY if host == "docker.io" else host
    try:
        answer = subprocess.run(
            [program, "get"], input=server, capture_output=True, text=True, timeout=_HELPER_TIMEOUT_SECONDS,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PipelineError(f"the credential helper {program} cannot be asked for {host}: {error}") from None
    if answer.returncode != 0:
        # That there is no login is a failure to helpers.
        if "not found" in (answer.stdout + answer.stderr).lower():
            return None
        raise PipelineError(f"{program} has no login for {host}: {(answer.stdout or answer.stderr).strip()}")
    try:
        found = json.loads(answer.stdout)
        username, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise PipelineError(f"{program} did not answer with a user and a secret for {host}") from None
    if not secret:
        return None
    return Login(identity_token=secret) if username == _TOKEN_USER else Login(username, secret)


def _normalised(key: str) -> str:
    """`https://host/v1/` and `host` are one entry; Docker Hub has many names."""
    key = re.sub(r"/v[12]/?$", "", re.sub(r"^https?://", "", key.strip())).rstrip("/")
    host, slash, path = key.partition("/")
    return f"{_hub_host(host)}{slash}{path}"


def _host_of(key: str) -> str:
    return _normalised(key).partition("/")[0]


def _hub_host(host: str) -> str:
    return "docker.io" if host in _DOCKER_HUB else host


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
