"""JSON Web Tokens (RFC 7519, with the advice of RFC 8725) against a fixed set of public keys.

Every key of the set is bound to one signature algorithm when it is loaded: by its `alg`, or by its type.
A token can therefore choose a key by its `kid`, but never an algorithm; "none" and shared secrets do not
exist here. Nothing in a token is ever fetched or looked up outside the set.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from modelservice_runtime.auth.caller import Caller, Verified
from modelservice_runtime.errors import InvalidSettingsError, PermissionDeniedError, UnauthenticatedError
from modelservice_runtime.settings.security import JwtSettings

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
# Clocks of issuer and server may differ by this much.
LEEWAY_SECONDS = 30
# Members of a key that are text (RFC 7517, 4; RFC 7518, 6).
_TEXT_MEMBERS = ("kty", "kid", "alg", "crv", "n", "e", "x", "y")
_REQUIRED_CLAIMS = ["exp", "iss", "aud"]
_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "has expired"),
    (jwt.ImmatureSignatureError, "is not valid yet"),
    (jwt.InvalidAudienceError, "is for another audience"),
    (jwt.InvalidIssuerError, "is from another issuer"),
    (jwt.MissingRequiredClaimError, "lacks one of the claims exp, iss and aud"),
)


@dataclass(frozen=True, slots=True)
class KeySet:
    """Public keys by (key id, algorithm)."""

    keys: dict[tuple[str | None, str], jwt.PyJWK]

    def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key a token's header means; without an id it must be the only one of its algorithm."""
        if key_id is not None:
            return self.keys.get((key_id, algorithm))
        candidates = [key for (_, known), key in self.keys.items() if known == algorithm]
        return candidates[0] if len(candidates) == 1 else None


class TokenVerifier:
    """Accepts tokens of one issuer for one audience, and of the scopes that are asked for."""

    def __init__(self, keys: KeySet, settings: JwtSettings) -> None:
        self._keys = keys
        self._settings = settings

    def verify(self, token: bytes) -> Verified:
        """Check a token.

        Raises UnauthenticatedError, and PermissionDeniedError where the scope is missing.
        """
        try:
            text = token.decode("ascii")
            header = jwt.get_unverified_header(text)
            key = self._keys.find(header.get("kid"), str(header.get("alg")))
            if key is None:
                raise UnauthenticatedError("the token is signed with a key this server does not know")
            claims = jwt.decode(
                text,
                key,
                algorithms=[key.algorithm_name],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED_CLAIMS},
            )
            expires = float(claims["exp"])
        # Beside PyJWT's own errors: text that is not ASCII, nesting that the JSON parser gives up on, and
        # times beyond all numbers.
        except (jwt.PyJWTError, ValueError, RecursionError, OverflowError) as error:
            raise UnauthenticatedError(f"the token {_reason(error)}") from None
        self._check_scope(claims)
        return Verified(Caller(token_subject=_subject(claims)), expires + LEEWAY_SECONDS)

    def _check_scope(self, claims: dict[str, Any]) -> None:
        if not self._settings.scopes:
            return
        given = _scopes(claims)
        for wanted in self._settings.scopes:
            if wanted not in given:
                raise PermissionDeniedError(f"the token lacks the scope {wanted!r}")


def parse_jwks(content: bytes) -> KeySet:
    """Read a JSON Web Key Set (RFC 7517), which may have no key for us. Raises InvalidSettingsError.

    Keys for encryption and of other algorithms are passed over, as providers publish those too.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidSettingsError("--jwt-jwks-file is not valid JSON; save the issuer's key set") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise InvalidSettingsError("--jwt-jwks-file needs an array 'keys' (RFC 7517)")
    keys: dict[tuple[str | None, str], jwt.PyJWK] = {}
    for entry in entries:
        key = _usable_key(entry)
        if key is None:
            continue
        identity = (key.key_id, key.algorithm_name)
        if identity in keys:
            raise InvalidSettingsError(f"--jwt-jwks-file has two keys with the kid {key.key_id!r}")
        keys[identity] = key
    return KeySet(keys)


def _usable_key(entry: object) -> jwt.PyJWK | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
        return None
    if "d" in entry:
        raise InvalidSettingsError("--jwt-jwks-file holds a private key; give the issuer's public key set")
    if not all(isinstance(entry.get(member), str | None) for member in _TEXT_MEMBERS):
        return None
    try:
        key = jwt.PyJWK(entry)
    # Beside PyJWT's own errors: numbers that are none, or too large.
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        return None
    if key.algorithm_name not in ALGORITHMS:
        return None
    weakness = key.Algorithm.check_key_length(key.key)
    if weakness:
        raise InvalidSettingsError(f"--jwt-jwks-file has a weak key {key.key_id!r}: {weakness}")
    return key


def _scopes(claims: dict[str, Any]) -> Sequence[object]:
    """`scope` is a list in one string (RFC 8693, 4.2); some issuers write `scp`, or a real list."""
    value = claims.get("scope", claims.get("scp"))
    if isinstance(value, str):
        return value.split(" ")
    return value if isinstance(value, list) else ()


def _subject(claims: dict[str, Any]) -> str:
    """Whom the token is about (RFC 7519, 4.1.2); where it does not say, whose it is (RFC 9068, 2.2)."""
    return str(claims.get("sub") or claims.get("client_id") or claims.get("azp") or "")


def _reason(error: Exception) -> str:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return "is not valid"
