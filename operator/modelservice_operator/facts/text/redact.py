"""Text from outside (logs, registries, kubelets) made fit for a status: no secrets, one line, bounded."""

from __future__ import annotations

import re

MAX_CHARACTERS = 1000

_SECRETS = (
    (re.compile(r"(?P<keep>\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@\"']+@"), r"\g<keep>***@"),
    (re.compile(r"(?P<keep>\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s?\"']*\?)[^\s\"'<>]+"), r"\g<keep>***"),
    (re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE), r"\g<keep>***"),
    (
        re.compile(
            r"(?P<keep>(?:token|secret|password|passwd|signature|credential|api[_-]?key|access[_-]?key(?:[_-]?id)?)"
            r"[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+",
            re.IGNORECASE,
        ),
        r"\g<keep>***",
    ),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "***"),
)


def redact(text: str) -> str:
    """Return `text` as one line of at most 1000 characters, with passwords, tokens and queries masked."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - 3]}..."
