"""Decides whether the credential of a request is good, and remembers that it was.

A verified credential is kept by a keyed hash until it expires, so that a client's second request costs a
microsecond and not a signature check. New keys forget everything that was verified with the old ones.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Protocol

from modelservice_runtime.auth.api_keys import ApiKeys
from modelservice_runtime.auth.caller import Caller, Verified
from modelservice_runtime.errors import UnauthenticatedError

# Larger than any token of a real issuer; bounds the work for one that is not.
MAX_CREDENTIAL_BYTES = 8 * 1024
MAX_VERIFIED = 4096
_NEVER = float("inf")


class Verifier(Protocol):
    """Checks signed tokens."""

    def verify(self, token: bytes) -> Verified:
        """See `TokenVerifier.verify`."""


class Authenticator:
    """Accepts an API key or a token; event loop's thread only."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._api_keys = ApiKeys({})
        self._tokens: Verifier | None = None
        self._verified: dict[bytes, Verified] = {}
        # Whoever can time the look-up must not be able to choose what it compares.
        self._hash_key = secrets.token_bytes(32)

    def use_api_keys(self, keys: ApiKeys) -> None:
        """Accept these keys and no others from now on."""
        self._api_keys = keys
        self._verified.clear()

    def use_tokens(self, tokens: Verifier) -> None:
        """Check tokens with this verifier from now on."""
        self._tokens = tokens
        self._verified.clear()

    def check(self, authorization: bytes | None, api_key: bytes | None) -> Caller:
        """Check the values of the headers Authorization and X-Api-Key; the second wins.

        Raises UnauthenticatedError or PermissionDeniedError.
        """
        credential = _credential(authorization, api_key)
        digest = hashlib.blake2b(credential, key=self._hash_key, digest_size=32).digest()
        known = self._verified.get(digest)
        if known is not None:
            if self._clock() < known.expires:
                return known.caller
            del self._verified[digest]
        verified = self._verify(credential)
        if len(self._verified) >= MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = verified
        return verified.caller

    def _verify(self, credential: bytes) -> Verified:
        name = self._api_keys.find(credential)
        if name is not None:
            return Verified(Caller(api_key=name), _NEVER)
        if self._tokens is not None and credential.count(b".") == 2:
            return self._tokens.verify(credential)
        raise UnauthenticatedError("the API key is not valid")


def _credential(authorization: bytes | None, api_key: bytes | None) -> bytes:
    if api_key is not None:
        credential = api_key.strip()
    elif authorization is not None:
        scheme, _, credential = authorization.strip().partition(b" ")
        if scheme.lower() != b"bearer":
            raise UnauthenticatedError("the header Authorization must have the form 'Bearer KEY'")
        credential = credential.strip()
    else:
        raise UnauthenticatedError(
            "this server needs a key: send it as 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'"
        )
    if not credential:  # whatever a key file says of its hash
        raise UnauthenticatedError("the API key is not valid: it is empty")
    if len(credential) > MAX_CREDENTIAL_BYTES:
        raise UnauthenticatedError(f"the key is longer than {MAX_CREDENTIAL_BYTES} bytes")
    return credential
