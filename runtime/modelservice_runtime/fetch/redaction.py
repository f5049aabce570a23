"""Keeps secrets out of logs and messages. Pure."""

from collections.abc import Iterable
from urllib.parse import quote, urlsplit

# Shorter strings would blot out ordinary words and protect nothing.
_MIN_SECRET_LENGTH = 4
_REPLACEMENT = "[redacted]"


def redact_url(url: str) -> str:
    """Return `url` without user information, query and fragment: each may carry a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return _REPLACEMENT
    netloc = parts.netloc.rpartition("@")[2]
    query = "?" + _REPLACEMENT if parts.query else ""
    return f"{parts.scheme}://{netloc}{parts.path}{query}"


class Redactor:
    """Replaces known secret values wherever they occur in a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Learn more secret values; their percent-encoded forms are covered too."""
        known = set(self._secrets)
        for secret in secrets:
            if len(secret) >= _MIN_SECRET_LENGTH:
                known.update((secret, quote(secret, safe="")))
        # The longest first: one secret may contain another.
        self._secrets = sorted(known, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """Return `text` without any known secret."""
        for secret in self._secrets:
            text = text.replace(secret, _REPLACEMENT)
        return text
