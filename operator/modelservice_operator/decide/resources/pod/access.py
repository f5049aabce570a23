"""What `spec.auth` and `spec.tls` become in a pod: files, and the server's arguments that name them. Pure.

One projected volume holds the few keys that are asked for, of Secrets and ConfigMaps that may have others.
It is mounted whole, so that the kubelet exchanges the files under a running server, which reads them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts import access_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelservice_operator.api import AuthSpec, ModelServiceSpec, TlsSpec

_VOLUME = "access"
_READABLE_BY_ALL = 0o444
"""The containers run as a user that is not root, and without fsGroup (its range is the cluster's choice)."""


def access_volumes(spec: ModelServiceSpec) -> list[dict[str, Any]]:
    """Return the volume with the files, if there are any."""
    sources = [*_auth_sources(spec.auth), *_tls_sources(spec.tls)]
    if not sources:
        return []
    return [{"name": _VOLUME, "projected": {"defaultMode": _READABLE_BY_ALL, "sources": sources}}]


def access_mounts(spec: ModelServiceSpec) -> list[dict[str, Any]]:
    """Return the server's mount of `access_volumes`."""
    return [
        {"name": volume["name"], "mountPath": access_files.DIRECTORY, "readOnly": True}
        for volume in access_volumes(spec)
    ]


def access_args(spec: ModelServiceSpec) -> list[str]:
    """Return the server's arguments; none where nothing is set."""
    return [text for pair in [*_auth_args(spec.auth), *_tls_args(spec.tls)] for text in pair]


def _auth_sources(auth: AuthSpec | None) -> Iterator[dict[str, Any]]:
    if auth is not None and auth.api_keys is not None:
        yield _source("secret", auth.api_keys.secret_name, access_files.API_KEYS)
    if auth is not None and auth.jwt is not None:
        if auth.jwt.jwks_secret_name is not None:
            yield _source("secret", auth.jwt.jwks_secret_name, access_files.JWKS)
        if auth.jwt.jwks_config_map_name is not None:
            yield _source("configMap", auth.jwt.jwks_config_map_name, access_files.JWKS)


def _tls_sources(tls: TlsSpec | None) -> Iterator[dict[str, Any]]:
    if tls is not None:
        yield _source("secret", tls.secret_name, access_files.CERTIFICATE, access_files.PRIVATE_KEY)
        if tls.client_ca_secret_name is not None:
            yield _source("secret", tls.client_ca_secret_name, access_files.CLIENT_CA)


def _source(kind: str, name: str, *keys: str) -> dict[str, Any]:
    return {kind: {"name": name, "items": [{"key": key, "path": key} for key in keys]}}


def _auth_args(auth: AuthSpec | None) -> Iterator[tuple[str, str]]:
    if auth is not None and auth.api_keys is not None:
        yield "--api-key-file", access_files.path_of(access_files.API_KEYS)
    if auth is not None and auth.jwt is not None:
        yield "--jwt-jwks-file", access_files.path_of(access_files.JWKS)
        yield "--jwt-issuer", auth.jwt.issuer
        yield "--jwt-audience", auth.jwt.audience
        if auth.jwt.scopes:
            # An image that takes one scope alone finds no such scope in any token: it lets nobody in.
            yield "--jwt-scope", " ".join(auth.jwt.scopes)


def _tls_args(tls: TlsSpec | None) -> Iterator[tuple[str, str]]:
    if tls is not None:
        yield "--tls-cert", access_files.path_of(access_files.CERTIFICATE)
        yield "--tls-key", access_files.path_of(access_files.PRIVATE_KEY)
        if tls.client_ca_secret_name is not None:
            yield "--tls-client-ca", access_files.path_of(access_files.CLIENT_CA)
