"""From our watches of children to the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.cache.store import Store
    from modelservice_operator.facts.kinds import Resource


class ChildListener:
    """Keeps one kind of children current in the store."""

    def __init__(self, store: Store, ingest: Ingest, resource: Resource) -> None:
        self._store = store
        self._ingest = ingest
        self._resource = resource

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """A child, as it is or was."""
        self._ingest.on_child(self._resource, event, obj)

    def on_list(self, seen: Set[tuple[str, str]], version: str) -> None:
        """Deletions that no watch delivered; what was written after the list stays."""
        for child in list(self._store.children(self._resource.kind)):
            if (child.namespace, child.name) in seen or int(child.resource_version) > int(version):
                continue
            self._ingest.on_child_gone(self._resource, child.namespace, child.name, child.uid, version)
