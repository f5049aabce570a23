"""Leaves out what the API server would not store: empty lists and maps in structures of the user."""

from __future__ import annotations

from typing import Any

_MEANINGFUL_WHEN_EMPTY = frozenset({"labelSelector", "namespaceSelector", "podSelector", "preference"})
"""An empty selector matches everything; `preference` is a required field."""


def without_empty(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` without empty lists and maps at any depth, selectors excepted."""
    trimmed = {key: _trim(item) for key, item in value.items()}
    return {
        key: item for key, item in trimmed.items() if key in _MEANINGFUL_WHEN_EMPTY or item not in ({}, [])
    }


def _trim(item: Any) -> Any:
    if isinstance(item, dict):
        return without_empty(item)
    return [_trim(part) for part in item] if isinstance(item, list | tuple) else item
