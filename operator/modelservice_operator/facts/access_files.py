"""The files by which a server knows its clients: each is a key of a Secret or a ConfigMap. Pure."""

from __future__ import annotations

DIRECTORY = "/mnt/access"
"""Where they lie in the server's container."""

API_KEYS = "api-keys"
JWKS = "jwks.json"
CERTIFICATE = "tls.crt"
PRIVATE_KEY = "tls.key"
CLIENT_CA = "ca.crt"
SERVER_CA = "ca.crt"
"""In an explainer's pod: the authority of its certificate, where the Secret has one (cert-manager's do)."""

FIELDS = {
    API_KEYS: "spec.auth.apiKeys.secretName",
    JWKS: "spec.auth.jwt.jwksSecretName",
    CERTIFICATE: "spec.tls.secretName",
    PRIVATE_KEY: "spec.tls.secretName",
    CLIENT_CA: "spec.tls.clientCASecretName",
}
"""The field that names the Secret of each key."""
JWKS_CONFIG_MAP_FIELD = "spec.auth.jwt.jwksConfigMapName"


def path_of(key: str) -> str:
    """Return where the file of a key lies in the server's container."""
    return f"{DIRECTORY}/{key}"
