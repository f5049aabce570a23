"""Header fields that speak of one connection and are not passed on (RFC 9110, 7.6.1). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

_NEVER_PASSED = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)
"""What `Connection` must name, and what older clients forget to name; the framing is made anew."""
_ALWAYS_PASSED = frozenset({b"host", b"content-length", b"authorization"})
"""A client that names these in `Connection` would turn its request into another one."""


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the fields that are meant for the other end, as they are."""
    found = list(headers)
    named = {
        token.strip().lower()
        for name, value in found
        if name.lower() == b"connection"
        for token in value.split(b",")
    }
    dropped = (named | _NEVER_PASSED) - _ALWAYS_PASSED
    return [(name, value) for name, value in found if name.lower() not in dropped]
