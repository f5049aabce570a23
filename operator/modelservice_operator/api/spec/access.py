"""`spec.auth` and `spec.tls`: who may ask, and how connections are kept from others.

Secrets are named, never read here: the kubelet brings their keys to the server as files.
"""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from modelservice_operator.api.types.base import LIST_TYPE, ApiModel, ObjectName
from modelservice_operator.api.types.rules import Rule, must_match

ClaimText = Annotated[
    str,
    Field(max_length=1024),
    must_match(
        "[!-#%-,.-~][!-#%-~]*",
        "expected ASCII characters without spaces and '$', not beginning with '-'",
    ),
]
Scope = Annotated[
    str,
    Field(max_length=256),
    must_match(
        r"[!#%-,.-\[\]-~][!#%-\[\]-~]*",
        "expected one scope: without spaces, quotes, backslashes and '$', and not beginning with '-'",
    ),
]


def _each_once(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(scopes)) < len(scopes):
        raise PydanticCustomError("unique", "each scope is listed at most once")
    return scopes


class ApiKeysSpec(ApiModel):
    """Clients show an API key."""

    secret_name: ObjectName
    """A Secret of the same namespace; its key api-keys has lines that `modelservice api-key` writes."""


class JwtSpec(ApiModel):
    """Clients show a JSON Web Token; exactly one of jwksSecretName and jwksConfigMapName is set."""

    issuer: ClaimText
    """Who issues the tokens: their iss."""
    audience: ClaimText
    """What the tokens are for: one of their aud."""
    jwks_secret_name: ObjectName | None = None
    """A Secret of the same namespace; its key jwks.json is the issuer's public key set (RFC 7517)."""
    jwks_config_map_name: ObjectName | None = None
    """A ConfigMap with the same."""
    scopes: Annotated[
        tuple[Scope, ...],
        Field(max_length=16, json_schema_extra={LIST_TYPE: "set"}),
        AfterValidator(_each_once),
    ] = ()
    """Scopes that a token needs, all of them (scope or scp). Default: none."""

    rules = (
        Rule(
            cel="has(self.jwksSecretName) != has(self.jwksConfigMapName)",
            message="expected exactly one of jwksSecretName and jwksConfigMapName",
            check=lambda self: (self.jwks_secret_name is None) != (self.jwks_config_map_name is None),
        ),
    )


class AuthSpec(ApiModel):
    """What clients have to show; with both, either will do. Probes and metrics need neither."""

    api_keys: ApiKeysSpec | None = None
    """Clients show an API key."""
    jwt: JwtSpec | None = None
    """Clients show a JSON Web Token."""

    rules = (
        Rule(
            cel="has(self.apiKeys) || has(self.jwt)",
            message="expected apiKeys, jwt or both; without auth everybody may ask who reaches the pods",
            check=lambda self: self.api_keys is not None or self.jwt is not None,
        ),
    )


class TlsSpec(ApiModel):
    """TLS on the ports of the protocols; that of the metrics stays plain."""

    secret_name: ObjectName
    """A Secret of the same namespace, of type kubernetes.io/tls: its tls.crt and tls.key."""
    client_ca_secret_name: ObjectName | None = Field(default=None, alias="clientCASecretName")
    """A Secret whose ca.crt has the authorities of client certificates; clients then need one."""


TLS_RULE = Rule(
    cel="!has(self.tls) || !has(self.route)",
    message=(
        "a Gateway or an Ingress would speak to the pods without TLS: end TLS there (its listener's "
        "certificate) and remove tls, or remove route"
    ),
    check=lambda self: self.tls is None or self.route is None,
    field_path=".tls",
)
"""Of the whole spec."""
