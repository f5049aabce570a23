"""Fields that a person put into an object of ours, where they stand in the way of what we apply. Pure.

Server-side apply merges lists by key and knows nothing of fields that exclude each other. So an edit of a key
(a Service's port, the name of a container) leaves the edited item beside the one that is applied again, and
another kind of volume or budget leaves both: the API server refuses that (422), or keeps the leftover for
ever. The remedy is that of client-go's `csaupgrade`: the person's fields are handed to our field manager, and
the next apply, which does not name them, removes them. UID, addresses and everything else stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts import labels
from modelservice_operator.facts.fields.canonical import decode_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Fields = dict[str, Any]
"""A set of fields in the form FieldsV1 of `metadata.managedFields`."""


def is_edited(obj: Mapping[str, Any]) -> bool:
    """Whether plain updates, not applies, set fields of the spec: a person, mostly."""
    return any("f:spec" in entry.get("fieldsV1", ()) for entry in _updates(obj))


def plan_takeover(
    live: Mapping[str, Any], body: Mapping[str, Any], *, everything: bool
) -> dict[str, Any] | None:
    """Return the merge patch that makes fields of persons ours, None where there are none to take.

    `body` is what is going to be applied to `live`. Taken are the items that stand in a list where an item of
    ours is missing: they were ours before somebody gave them another key. With `everything` it is all that
    plain updates set in the spec, for an apply that was refused.
    """
    entries = []
    ours: Fields = {}
    for entry in live["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        if not _is_update(entry):
            entries.append(entry)
            continue
        taken = _spec_of(fields) if everything else _replaced_items(live, body, fields)
        ours = _union(ours, taken)
        rest = _difference(fields, taken)
        if rest:
            entries.append({**entry, "fieldsV1": rest})
    if not ours:
        return None
    own = next((entry for entry in entries if _is_own(entry)), None)
    others = [entry for entry in entries if entry is not own]
    return {
        "metadata": {
            "uid": live["metadata"]["uid"],
            "resourceVersion": live["metadata"]["resourceVersion"],
            "managedFields": [*others, _with_fields(own, ours, body["apiVersion"])],
        }
    }


def _with_fields(own: Mapping[str, Any] | None, fields: Fields, api_version: str) -> dict[str, Any]:
    """Return our entry of `managedFields` with further fields; a new one of `api_version` without `own`."""
    return {
        "manager": labels.MANAGER,
        "operation": "Apply",
        "apiVersion": own["apiVersion"] if own else api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": _union(own["fieldsV1"] if own else {}, fields),
    }


def _updates(obj: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (entry for entry in obj["metadata"].get("managedFields") or () if _is_update(entry))


def _is_update(entry: Mapping[str, Any]) -> bool:
    """Subresources have writers of their own: autoscalers, and the controllers that write status."""
    return entry.get("operation") == "Update" and not entry.get("subresource")


def _is_own(entry: Mapping[str, Any]) -> bool:
    is_apply = entry.get("operation") == "Apply" and not entry.get("subresource")
    return is_apply and entry.get("manager") == labels.MANAGER


def _spec_of(fields: Fields) -> Fields:
    return {"f:spec": fields["f:spec"]} if "f:spec" in fields else {}


def _replaced_items(live: Any, body: Any, fields: Fields) -> Fields:
    """Return the items among `fields` that stand where items of `body` are missing."""
    if isinstance(live, list) and isinstance(body, list):
        return _replaced_in_list(live, body, fields)
    taken: Fields = {}
    if isinstance(live, dict) and isinstance(body, dict):
        for path, children in fields.items():
            name = path[2:]
            if path.startswith("f:") and name in live and name in body:
                taken[path] = _replaced_items(live[name], body[name], children)
    return {path: children for path, children in taken.items() if children}


def _replaced_in_list(live: list[Any], body: list[Any], fields: Fields) -> Fields:
    keys = {path: decode_key(path[2:]) for path in fields if path.startswith("k:")}
    if not keys:
        return {}
    names = tuple(next(iter(keys.values())))
    wanted = [(_key_of(item, names), item) for item in body]
    present = {_key_of(item, names): item for item in live}
    is_lost = any(key not in present for key, _ in wanted)
    taken: Fields = {}
    for path, key in keys.items():
        place = _key_of(key, names)
        mine = next((item for known, item in wanted if known == place), None)
        if mine is None and is_lost:
            taken[path] = fields[path]
        elif mine is not None and place in present:
            taken[path] = _replaced_items(present[place], mine, fields[path])
    return {path: children for path, children in taken.items() if children}


def _key_of(item: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(name) for name in names)


def _union(left: Fields, right: Fields) -> Fields:
    both = {**left, **right}
    for path in left.keys() & right.keys():
        both[path] = _union(left[path], right[path])
    return both


def _difference(fields: Fields, taken: Fields) -> Fields:
    """Return `fields` without what is in `taken`, and without nodes of which nothing is left."""
    rest = {}
    for path, children in fields.items():
        kept = _difference(children, taken[path]) if path in taken else children
        if path not in taken or kept:
            rest[path] = kept
    return rest
