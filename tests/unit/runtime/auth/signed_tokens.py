"""Issuers for tests: key pairs, their public key sets, and tokens, good and forged."""

import base64
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "spam.mail"

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
PRIVATE_KEYS = {"RS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}


def public_jwk(algorithm: str, **members: object) -> dict[str, Any]:
    """The public key for an algorithm, with its name as its key id."""
    public: Any = PRIVATE_KEYS[algorithm].public_key()
    if algorithm == "RS256":
        text = RSAAlgorithm.to_jwk(public)
    elif algorithm == "ES256":
        text = ECAlgorithm.to_jwk(public)
    else:
        text = OKPAlgorithm.to_jwk(public)
    return {**json.loads(text), "kid": algorithm, **members}


def jwks(*keys: object) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


# Tokens may be made when tests are collected, and a first build of the clusters comes between.
DAY_SECONDS = 86_400
ALL_KEYS = jwks(*(public_jwk(algorithm) for algorithm in PRIVATE_KEYS))


def make_claims(**claims: object) -> dict[str, Any]:
    """Claims of a good token; None takes one away."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + DAY_SECONDS, "nbf": now - 10, "sub": "client"}
    return {name: value for name, value in (good | claims).items() if value is not None}


def sign(
    algorithm: str = "RS256", key: Any = None, headers: dict[str, Any] | None = None, **claims: object
) -> bytes:
    """A token signed by our issuer, unless `key` says otherwise."""
    token = jwt.encode(
        make_claims(**claims),
        PRIVATE_KEYS[algorithm] if key is None else key,
        algorithm,
        headers={"kid": algorithm} if headers is None else headers,
    )
    return token.encode()


def assemble(
    header: bytes | dict[str, Any], payload: bytes | dict[str, Any], signature: bytes = b"x"
) -> bytes:
    """A token of any parts, with a signature that is none."""
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload))
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (*parts, signature))
