"""From our watches of children, Gateways and RuntimeRollouts to the cache."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.kinds import GATEWAYS, Resource
from modelservice_operator.sources.watch import Seen

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.cache.store import Store

log = logging.getLogger(__name__)


class ChildListener:
    """Keeps one kind of children current in the store."""

    def __init__(self, store: Store, ingest: Ingest, resource: Resource, scope: str | None = None) -> None:
        self._store = store
        self._ingest = ingest
        self._resource = resource
        self._scope = scope
        """The namespace that is watched; None for all."""

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """A child, as it is or was."""
        self._ingest.on_child(self._resource, event, obj)

    def on_absent(self, is_forbidden: bool) -> None:
        """The kind is not served, or not to us; nobody knows whether its objects are gone for good."""
        self._store.forget_children(self._resource.kind, self._scope)
        self._ingest.on_offer(self._resource, scope=self._scope, is_served=False, is_forbidden=is_forbidden)

    def on_list(self, seen: Container[tuple[str, str]], version: str) -> None:
        """Deletions that no watch delivered; what was written after the list stays."""
        self._ingest.on_offer(self._resource, scope=self._scope, is_served=True)
        for child in list(self._store.children(self._resource.kind)):
            if (child.namespace, child.name) in seen or int(child.resource_version) > int(version):
                continue
            self._ingest.on_child_gone(self._resource, child.namespace, child.name, child.uid, version)


class GatewayListener:
    """Keeps Gateways, or their classes, current in the store."""

    def __init__(self, store: Store, ingest: Ingest, resource: Resource, scope: str | None = None) -> None:
        self._store = store
        self._ingest = ingest
        self._resource = resource
        self._scope = scope
        """The namespace that is watched; None for all, or for the cluster."""

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """A Gateway or a class, as it is or was."""
        self._ingest.on_gateway(self._resource, event, obj)

    def on_absent(self, is_forbidden: bool) -> None:
        """There are none, or not for us."""
        self._drop_all_but(Seen(self._scope, frozenset()))
        self._ingest.on_offer(self._resource, scope=self._scope, is_served=False, is_forbidden=is_forbidden)

    def on_list(self, seen: Container[tuple[str, str]], version: str) -> None:  # noqa: ARG002  a list is newest
        """Deletions that no watch delivered."""
        self._ingest.on_offer(self._resource, scope=self._scope, is_served=True)
        self._drop_all_but(seen)

    def _drop_all_but(self, seen: Container[tuple[str, str]]) -> None:
        for namespace, name in self._known():
            if (namespace, name) not in seen:
                metadata = {"namespace": namespace, "name": name}
                self._ingest.on_gateway(self._resource, "DELETED", {"metadata": metadata})

    def _known(self) -> list[tuple[str, str]]:
        if self._resource is GATEWAYS:
            return self._store.gateway_names()
        return [("", name) for name in self._store.gateway_class_names()]


class FleetListener:
    """Keeps RuntimeRollouts current in the store."""

    def __init__(self, store: Store, ingest: Ingest) -> None:
        self._store = store
        self._ingest = ingest
        self._said = ""

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """A RuntimeRollout, as it is or was."""
        self._ingest.on_rollout(event, obj)

    def on_absent(self, is_forbidden: bool) -> None:
        """There are none, or not for us: definitions of an older release know none."""
        said = "forbidden to us" if is_forbidden else "not served"
        if said != self._said:
            self._said = said
            log.info("RuntimeRollouts are %s", said)

    def on_list(self, seen: Container[tuple[str, str]], version: str) -> None:
        """Deletions that no watch delivered; what was written after the list stays."""
        for rollout in self._store.fleet.rollouts():
            metadata = rollout["metadata"]
            if ("", metadata["name"]) in seen or int(metadata["resourceVersion"]) > int(version):
                continue
            self._ingest.on_rollout("DELETED", {"metadata": {**metadata, "resourceVersion": version}})
