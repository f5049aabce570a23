"""API keys: a file of names and hashes, and the check against it; pure.

A line is `NAME:sha256:HEX`; empty lines and lines that begin with `#` do not count. The keys are 256
random bits, so a plain SHA-256 is as good at rest as a slow password hash, and costs a request nothing.
The base installation can import this module: the command line makes keys with it.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from modelservice_runtime.errors import InvalidSettingsError

# Lets people and secret scanners see what a leaked string is.
KEY_PREFIX = "ms_"
_KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The accepted keys: SHA-256 digests by name."""

    digests: dict[str, bytes]

    def find(self, key: bytes) -> str | None:
        """The name of `key`, None for a key that is none of them.

        Every entry is compared, each in constant time.
        """
        digest = hashlib.sha256(key).digest()
        found = None
        for name, known in self.digests.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def new_api_key() -> str:
    """Make a random key."""
    return KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def api_key_line(name: str, key: str) -> str:
    """The line of the key file that accepts `key`. Raises InvalidSettingsError for a bad name."""
    if not _NAME.fullmatch(name):
        raise InvalidSettingsError(
            f"the API key's name {name[:80]!r} must be at most 64 letters, digits, '.', '_' or '-', "
            "and begin with a letter or digit"
        )
    return f"{name}:sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def parse_api_keys(text: str) -> ApiKeys:
    """Read a key file's content, which may have no key.

    Raises InvalidSettingsError naming the line, but never its content, which may be a key by mistake.
    """
    digests: dict[str, bytes] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        scheme, _, digest = rest.partition(":")
        if not _NAME.fullmatch(name) or scheme != "sha256" or not _DIGEST.fullmatch(digest):
            raise InvalidSettingsError(
                f"line {number} must have the form NAME:sha256:HEX; "
                "'modelservice api-key new NAME' writes one"
            )
        if name in digests:
            raise InvalidSettingsError(f"line {number} uses the name {name!r} again")
        digests[name] = bytes.fromhex(digest)
    return ApiKeys(digests)
