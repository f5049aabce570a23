"""One form for desired and observed objects, so that "is there anything to write?" is one comparison.

The API server adds defaults, rewrites quantities and keeps other managers' fields. What our field manager
owns is in `metadata.managedFields` (structured-merge-diff, FieldsV1): the projection keeps exactly those
fields, the canonical form removes what two spellings of the same object may differ in, the fingerprint is
the hash of that. Runs on every watch event, so it is written for speed. Pure.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.facts import labels
from modelservice_operator.facts.remembered import remembered
from modelservice_operator.facts.text.quantity import canonical_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

_METADATA = ("labels", "annotations", "ownerReferences", "finalizers")
"""The metadata that an intent may carry; everything else there is identity or bookkeeping."""
_IDENTITY = frozenset({"apiVersion", "kind", "metadata", "status"})
_OPAQUE = frozenset({"labels", "annotations", "matchLabels", "nodeSelector", "data"})
"""Maps of free text, and the snapshot of a revision: compared as they are."""
_AMOUNTS = frozenset({"requests", "limits"})
_DROPPED_WHEN_EMPTY = (_OPAQUE | _AMOUNTS) - {"data"}
_QUANTITIES = frozenset({"sizeLimit", "averageValue", "value"})
"""`sizeLimit` of a volume; the others only in the `target` of a metric."""
_NESTED = (dict, list)


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


def _counts(key: str, value: Any) -> bool:
    return key not in _IDENTITY and not _is_unset(key, value)


def _is_unset(key: str, value: Any) -> bool:
    """Whether the API server would not store this: nothing, an empty list, an empty map of free text.

    Other empty objects mean something (`emptyDir: {}`, `podSelector: {}`).
    """
    return value is None or (not value and (type(value) is list or key in _DROPPED_WHEN_EMPTY))


def _value(value: Any, key: str) -> Any:
    if type(value) is dict:
        if key in _OPAQUE:
            return value
        if key in _AMOUNTS:
            return {name: _quantity(amount) for name, amount in value.items()}
        return {
            name: _value(item, name)
            if type(item) in _NESTED
            else _quantity(item)
            if name in _QUANTITIES and (name == "sizeLimit" or key == "target")
            else item
            for name, item in value.items()
            if item or not _is_unset(name, item)
        }
    if type(value) is list:
        # Scalars first: most lists are arguments.
        return [_value(item, key) if type(item) in _NESTED else item for item in value]
    return value


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
    if type(value) is dict:
        owned = {}
        for path, children in fields.items():
            name = path[2:]
            if name in value and path[:2] == "f:":
                owned[name] = _project(value[name], children) if children else value[name]
        return owned if owned or _has_children(fields) else value
    if type(value) is list and _has_children(fields):
        return _project_list(value, fields)
    return value


def _has_children(fields: Mapping[str, Any]) -> bool:
    return len(fields) > ("." in fields)


def _project_list(items: list[Any], fields: Mapping[str, Any]) -> list[Any]:
    """Return the owned items in their observed order: by key (`k:`), by value (`v:`) or by place (`i:`)."""
    owned: dict[int, Any] = {}
    for path, children in fields.items():
        index = _find(items, path[:2], path[2:])
        if index is not None:
            # The key of an item is owned with the item, also where it is not listed among the fields.
            item = items[index]
            owned[index] = {**decode_key(path[2:]), **_project(item, children)} if children else item
    return [owned[index] for index in sorted(owned)]


def _find(items: list[Any], marker: str, text: str) -> int | None:
    if marker == "k:":
        return _find_by_key(items, decode_key(text))
    if marker == "v:":
        wanted = msgspec.json.decode(text)
        return items.index(wanted) if wanted in items else None
    return int(text) if marker == "i:" and int(text) < len(items) else None


def _find_by_key(items: list[Any], key: Mapping[str, Any]) -> int | None:
    for index, item in enumerate(items):
        for name, part in key.items():
            if item.get(name) != part:
                break
        else:
            return index
    return None


@lru_cache(maxsize=4096)
def decode_key(text: str) -> dict[str, Any]:
    """Return the key of a list's item: what follows `k:` in a path of FieldsV1."""
    return msgspec.json.decode(text, type=dict[str, Any])


def fingerprint(canonical: Mapping[str, Any]) -> str:
    """Return a short hash (24 hexadecimal digits) that does not depend on the order of keys."""
    encoded = msgspec.json.encode(canonical, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=12).hexdigest()


@remembered(2048)
def intended_fingerprint(desired: Mapping[str, Any]) -> str:
    """Return the fingerprint of an object that is desired: the same for as long as nothing changes it."""
    return fingerprint(canonicalise(desired))
