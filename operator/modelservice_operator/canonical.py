"""One form for desired and observed objects, so that "is there anything to write?" is one comparison.

The API server adds defaults, rewrites quantities and keeps other managers' fields. What our field manager
owns is in `metadata.managedFields` (structured-merge-diff, FieldsV1): the projection keeps exactly those
fields, the canonical form removes what two spellings of the same object may differ in, the fingerprint is
the hash of that. Runs on every watch event, so it is written for speed. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from modelservice_operator import labels
from modelservice_operator.api.quantity import canonical_quantity

_METADATA = ("labels", "annotations", "ownerReferences", "finalizers")
"""The metadata that an intent may carry; everything else there is identity or bookkeeping."""
_IDENTITY = frozenset({"apiVersion", "kind", "metadata", "status"})
_OPAQUE = frozenset({"labels", "annotations", "matchLabels", "nodeSelector", "data"})
"""Maps of free text, and the snapshot of a revision: compared as they are."""
_MISSING = object()


def canonicalise(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an object that states an intent, in one spelling.

    Identity (`apiVersion`, `kind`, names, UID, bookkeeping) and `status` are left out, unset fields are
    dropped, quantities are written as the API server stores them. Lists keep their order.
    """
    result = {key: _value(value, key) for key, value in obj.items() if _counts(key, value)}
    metadata = obj.get("metadata") or {}
    kept = {key: _value(metadata[key], key) for key in _METADATA if metadata.get(key)}
    if kept:
        result["metadata"] = kept
    return result


def _counts(key: str, value: object) -> bool:
    return value is not None and key not in _IDENTITY


def _value(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        if key in _OPAQUE:
            return value
        if key in ("requests", "limits"):
            return {name: _quantity(amount) for name, amount in value.items()}
        is_target = key == "target"
        return {
            name: _quantity(item) if _is_quantity(name, is_target) else _value(item, name)
            for name, item in value.items()
            if item is not None
        }
    if isinstance(value, list | tuple):
        return [_value(item, key) for item in value]
    return value


def _is_quantity(name: str, in_metric_target: bool) -> bool:
    return name == "sizeLimit" or (in_metric_target and name in ("averageValue", "value"))


def _quantity(value: Any) -> Any:
    return _canonical_quantity(str(value)) if isinstance(value, str | int) else value


@lru_cache(maxsize=4096)
def _canonical_quantity(text: str) -> str:
    try:
        return canonical_quantity(text)
    except ValueError:
        return text


def project_managed(obj: Mapping[str, Any], manager: str = labels.MANAGER) -> dict[str, Any]:
    """Return the fields of an observed object that `manager` owns by server-side apply.

    Entries of other managers, of plain updates and of subresources are ignored; where nothing is owned the
    answer is empty. A field that another manager took is missing, one that lost its value is missing too.
    """
    result: dict[str, Any] = {}
    for entry in (obj.get("metadata") or {}).get("managedFields") or ():
        if entry.get("manager") != manager or entry.get("operation") != "Apply" or entry.get("subresource"):
            continue
        projection = _project(obj, entry.get("fieldsV1") or {})
        result = _merge(result, projection) if result else projection
    return result


def _merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Unite two projections of one object: only an upgrade of an API version leaves two entries."""
    both = {**left, **right}
    for key in left.keys() & right.keys():
        if isinstance(left[key], dict) and isinstance(right[key], dict):
            both[key] = _merge(left[key], right[key])
    return both


def _project(value: Any, fields: Mapping[str, Any]) -> Any:
    """Return the owned part of `value`; a node without children owns all of it."""
    if isinstance(value, Mapping):
        owned = {}
        for path, children in fields.items():
            if path[:2] == "f:" and (item := value.get(path[2:], _MISSING)) is not _MISSING:
                owned[path[2:]] = _project(item, children) if children else item
        return owned if owned or _has_children(fields) else value
    if isinstance(value, list) and _has_children(fields):
        return _project_list(value, fields)
    return value


def _has_children(fields: Mapping[str, Any]) -> bool:
    return len(fields) > ("." in fields)


def _project_list(items: list[Any], fields: Mapping[str, Any]) -> list[Any]:
    """Return the owned items in their observed order: by key (`k:`), by value (`v:`) or by place (`i:`)."""
    owned: dict[int, Any] = {}
    for path, children in fields.items():
        if path == ".":
            continue
        index = _find(items, path[:2], path[2:])
        if index is not None:
            owned[index] = _project_item(items[index], children, path)
    return [owned[index] for index in sorted(owned)]


def _project_item(item: Any, children: Mapping[str, Any], path: str) -> Any:
    if not children:
        return item
    projected = _project(item, children)
    if path[:2] == "k:" and isinstance(projected, dict):
        return {**_decode_key(path[2:]), **projected}
    return projected


def _find(items: list[Any], marker: str, text: str) -> int | None:
    if marker == "k:":
        key = _decode_key(text)
        matches = (
            index
            for index, item in enumerate(items)
            if isinstance(item, Mapping) and all(item.get(name) == part for name, part in key.items())
        )
        return next(matches, None)
    wanted = _decode(text)
    if marker == "v:":
        return items.index(wanted) if wanted in items else None
    return wanted if marker == "i:" and isinstance(wanted, int) and wanted < len(items) else None


@lru_cache(maxsize=4096)
def _decode_key(text: str) -> dict[str, Any]:
    key = msgspec.json.decode(text)
    return key if isinstance(key, dict) else {}


def _decode(text: str) -> Any:
    return msgspec.json.decode(text)


def fingerprint(canonical: Mapping[str, Any]) -> str:
    """Return a short hash (24 hexadecimal digits) that does not depend on the order of keys."""
    encoded = msgspec.json.encode(canonical, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=12).hexdigest()
