"""Nodes, reduced to what decides whether a pod may run there. Pure."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  msgspec reads it at run time
from sys import intern
from typing import Any

import msgspec


class Taint(msgspec.Struct, frozen=True):
    """What keeps pods off a node."""

    key: str
    value: str
    effect: str

    @property
    def text(self) -> str:
        """As kubectl writes it."""
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One node."""

    name: str
    labels: Mapping[str, str] = {}
    taints: tuple[Taint, ...] = ()
    is_cordoned: bool = False
    allocatable: Mapping[str, str] = {}


def read_node(obj: Mapping[str, Any]) -> Node:
    """Return the facts of a Node as read; thousands of them resemble each other."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    taints = [
        Taint(intern(one["key"]), intern(one.get("value") or ""), intern(one["effect"]))
        for one in spec.get("taints") or ()
    ]
    return Node(
        name=metadata["name"],
        labels=_interned(metadata.get("labels")),
        taints=tuple(taints),
        is_cordoned=bool(spec.get("unschedulable")),
        allocatable=_interned((obj.get("status") or {}).get("allocatable")),
    )


def _interned(texts: Mapping[str, str] | None) -> dict[str, str]:
    return {intern(key): intern(str(value)) for key, value in (texts or {}).items()}
