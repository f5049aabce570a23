"""Which fields two objects differ in, such as what was applied and what came of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KEYS = ("name", "mountPath", "containerPort", "port", "topologyKey")
"""What Kubernetes knows the items of lists by: the first that tells all items apart."""


def differences(intended: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of fields that are not the same in both, in the order of the alphabet.

    They are for a log line. Values are left out: they may be long, and not for everybody's eyes.
    """
    return tuple(sorted(path for path, _, _ in compare("", intended, found)))


def compare(path: str, left: Any, right: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield each field below `path` that differs, with its value in both: None where it is not set."""
    if isinstance(left, dict) and isinstance(right, dict):
        for name in left.keys() | right.keys():
            yield from compare(f"{path}.{name}" if path else name, left.get(name), right.get(name))
    elif _are_objects(left) and _are_objects(right):
        yield from _compare_lists(path, left, right)
    elif left != right:
        yield path, left, right


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _compare_lists(path: str, left: list[Any], right: list[Any]) -> Iterator[tuple[str, Any, Any]]:
    key = next((name for name in _KEYS if _is_key(name, left) and _is_key(name, right)), None)
    before, after = (
        {item[key] if key else index: item for index, item in enumerate(one)} for one in (left, right)
    )
    for name in before.keys() | after.keys():
        yield from compare(f"{path}[{name}]", before.get(name), after.get(name))


def _is_key(name: str, items: list[Any]) -> bool:
    values = [item.get(name) for item in items]
    return all(isinstance(value, str | int) for value in values) and len(set(values)) == len(values)
