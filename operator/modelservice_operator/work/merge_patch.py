"""From one status to the next as a JSON merge patch (RFC 7386). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that turns `old` into `new`; empty where they are equal.

    Fields that are only in `old` become null, so nothing stale and nothing forged stays. A merge patch
    without a resourceVersion cannot conflict with an edit of the spec.
    """
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        known = old.get(name)
        if isinstance(value, dict) and isinstance(known, dict):
            nested = merge_patch(known, value)
            if nested:
                patch[name] = nested
        elif name not in old or not _is_same(known, value):
            patch[name] = value
    return patch


def _is_same(left: object, right: object) -> bool:
    """Equality as JSON: a tuple and a list are one."""
    return left == right or _json(left) == _json(right)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
