"""From objects as the API server sends them to cached facts and keys in the work queue.

Every source comes through here: kopf's events for ModelServices and ModelRuntimes, our own watches for
children, answers of writes, and the auditor. What is no news is dropped, so our own writes cause no work.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from modelservice_operator.cache.fleet import fleet_key
from modelservice_operator.cache.project import project_child
from modelservice_operator.cache.store import Store, owner_key
from modelservice_operator.cache.workqueue import Key, Priority, WorkQueue
from modelservice_operator.facts.gateways import read_gateway, read_gateway_class
from modelservice_operator.facts.kinds import (
    CHILDREN,
    GATEWAYS,
    MODEL_RUNTIMES,
    MODEL_SERVICES,
    Resource,
)
from modelservice_operator.facts.labels import is_default_runtime
from modelservice_operator.facts.observed import Child, DeploymentChild
from modelservice_operator.facts.succession import has_ended, has_started

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.cache.entries import ServiceEntry
    from modelservice_operator.cache.store import ChildChange

log = logging.getLogger(__name__)

CHILD_DEBOUNCE_SECONDS = 0.15
"""A Deployment changes its status several times within this time; one reconciliation sees all."""
MOVING_DEBOUNCE_SECONDS = 0.5
"""While its pods are on their way there is little to decide, and the status is not written more often."""

FLEET_DEBOUNCE_SECONDS = 0.5
"""Members of a RuntimeRollout change together: one look, and one write, sees several of them."""


class Ingest:
    """Keeps the store current and tells the queue who is concerned."""

    def __init__(self, store: Store, queue: WorkQueue) -> None:
        self._store = store
        self._queue = queue

    def on_service(self, event_type: str | None, obj: Mapping[str, Any]) -> None:
        """A ModelService as listed (type None) or as a watch event brought it."""
        metadata = obj["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        if event_type == "DELETED":
            if self._store.remove_service(key, metadata["uid"], metadata["resourceVersion"]):
                self._queue.forget(key)
                self._queue.add(key)
                self._tell_fleet(key)
            return
        change = self._store.put_service(obj)
        if change is None:
            return
        before, after = change
        self._tell_fleet(key)
        if before is None:
            # At start every object is new: an edit that comes meanwhile shall not wait behind them.
            self._queue.add(key, Priority.NORMAL if event_type is None else Priority.URGENT)
        elif _intent(before) != _intent(after):
            self._queue.forget(key)
            self._queue.add(key, Priority.URGENT)
        elif before.status != after.status:
            self._queue.add(key)

    def on_runtime(self, event_type: str | None, obj: Mapping[str, Any]) -> None:
        """A ModelRuntime came, changed or went: services without an own revision may wait for it."""
        metadata = obj["metadata"]
        known = next(
            (one for one in self._store.runtimes() if one["metadata"]["name"] == metadata["name"]), None
        )
        if event_type == "DELETED":
            news = self._store.remove_runtime(metadata["name"], metadata["uid"], metadata["resourceVersion"])
        else:
            news = self._store.put_runtime(obj)
        if news:
            is_default = is_default_runtime(obj) or (known is not None and is_default_runtime(known))
            for key in list(self._store.services_for_runtime(metadata["name"], is_default=is_default)):
                self._queue.add(key)
            self._wake_rollouts()

    def on_rollout(self, event_type: str | None, obj: Mapping[str, Any]) -> None:
        """A RuntimeRollout came, changed or went: one that begins takes the place of older ones."""
        metadata = obj["metadata"]
        name = metadata["name"]
        if event_type == "DELETED":
            if self._store.remove_rollout(name, metadata["uid"], metadata["resourceVersion"]):
                self._queue.add(fleet_key(name))
            return
        change = self._store.put_rollout(obj)
        if change is None:
            return
        self._queue.forget(fleet_key(name))
        self._queue.add(fleet_key(name), Priority.URGENT)
        self._wake_on_turn(*change)

    def on_rollout_written(self, obj: Mapping[str, Any]) -> None:
        """The answer of our status write: those that it ends have their turn."""
        change = self._store.put_rollout(obj)
        if change is None:
            return
        self._wake_on_turn(*change)
        before, after = change
        if before is None or _wish(before) != _wish(after):
            self._queue.add(fleet_key(after["metadata"]["name"]), Priority.URGENT)

    def _wake_on_turn(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> None:
        """Wake the other RuntimeRollouts where this one has begun."""
        if before is None or has_started(before) != has_started(after):
            self._wake_rollouts()

    def _wake_rollouts(self) -> None:
        for rollout in self._store.fleet.rollouts():
            if not has_ended(rollout):
                self._queue.add(fleet_key(rollout["metadata"]["name"]))

    def _tell_fleet(self, key: Key) -> None:
        """Have those look whose member this is."""
        for name in self._store.fleet.concerned(key):
            self._queue.add(fleet_key(name), after_seconds=FLEET_DEBOUNCE_SECONDS)

    def on_child(self, resource: Resource, event_type: str | None, obj: Mapping[str, Any]) -> None:
        """A child as listed (type None) or as a watch event brought it."""
        metadata = obj["metadata"]
        place = (metadata["namespace"], metadata["name"], metadata["uid"], metadata["resourceVersion"])
        if event_type == "DELETED":
            self.on_child_gone(resource, *place)
            return
        if not self._store.is_news(resource.kind, *place):
            return  # our own writes come back: reading them costs more than anything else here
        change = self._store.put_child(project_child(resource, obj))
        if change is not None:
            self._enqueue_owners(change, is_listed=event_type is None)

    def on_child_gone(
        self, resource: Resource, namespace: str, name: str, uid: str, resource_version: str
    ) -> bool:
        """A child was deleted, or lost the label that we watch for; whether it was known."""
        change = self._store.remove_child(resource.kind, namespace, name, uid, resource_version)
        if change is None or change.before is None:
            return False
        key = owner_key(change.before)
        if key is not None:
            self._queue.add(key, Priority.NORMAL if change.before.deleting else Priority.URGENT)
        return True

    def on_offer(
        self,
        resource: Resource,
        *,
        scope: str | None = None,
        is_served: bool,
        is_forbidden: bool = False,
    ) -> None:
        """An optional kind is served in a namespace (None: in all), or not (any more), or not to us."""
        if resource in CHILDREN or not self._store.offer(
            resource.kind, scope=scope, is_served=is_served, is_forbidden=is_forbidden
        ):
            return
        log.info("the kind %s is %s", resource.kind, "served" if is_served else "not served")
        self._add_all()

    def on_autoscaler(self, *, is_silent: bool) -> None:
        """Something has been heard of the autoscaler, or nothing for a while."""
        if is_silent != self._store.cluster.is_autoscaler_silent:
            log.warning("the autoscaler is %s", "silent" if is_silent else "heard again")
            self._store.cluster = replace(self._store.cluster, is_autoscaler_silent=is_silent)
            self._add_all()

    def on_gateway(self, resource: Resource, event_type: str | None, obj: Mapping[str, Any]) -> None:
        """A Gateway or a GatewayClass came, changed or went."""
        metadata, is_gone = obj["metadata"], event_type == "DELETED"
        if resource is GATEWAYS:
            gateway = None if is_gone else read_gateway(obj)
            news = self._store.put_gateway(metadata["namespace"], metadata["name"], gateway)
        else:
            news = self._store.put_gateway_class(
                metadata["name"], None if is_gone else read_gateway_class(obj)
            )
        if news:
            for key in self._store.routed_services():
                self._queue.add(key)

    def on_child_written(self, resource: Resource, obj: Mapping[str, Any]) -> Child:
        """The answer of our apply, and what was read of it.

        A watch event with the same resourceVersion will change nothing: the reconciliation that wrote this
        has already seen it, and comes back by itself after writing a Deployment.
        """
        child = project_child(resource, obj)
        self._store.put_child(child)
        return child

    def on_service_written(self, obj: Mapping[str, Any]) -> None:
        """The answer of our status write; what others wrote in between shows here first, and only here."""
        change = self._store.put_service(obj)
        if change is None:
            return
        before, after = change
        key = Key(obj["metadata"]["namespace"], obj["metadata"]["name"])
        self._tell_fleet(key)
        if before is None or _intent(before) != _intent(after):
            self._queue.add(key, Priority.URGENT)
        elif before.scaling != after.scaling:
            self._queue.add(key)

    def on_event(self, resource: Resource, event_type: str | None, obj: Mapping[str, Any]) -> None:
        """Any watched object."""
        if resource is MODEL_SERVICES:
            self.on_service(event_type, obj)
        elif resource is MODEL_RUNTIMES:
            self.on_runtime(event_type, obj)
        else:
            self.on_child(resource, event_type, obj)

    def _add_all(self) -> None:
        for key in self._store.service_keys():
            self._queue.add(key)

    def _enqueue_owners(self, change: ChildChange, *, is_listed: bool) -> None:
        """Wake the owner where the child means something new to it, and a former owner too."""
        before, after = change.before, change.after
        assert after is not None
        if before is not None and _significance(before) == _significance(after):
            return
        delay = 0.0 if is_listed else _debounce_seconds(after)
        keys = {owner_key(after)} | ({owner_key(before)} if before is not None else set())
        for key in keys:
            # Children that are listed before their services must not fill the queue with unknown keys.
            if key is not None and self._store.service(key) is not None:
                self._queue.add(key, Priority.NORMAL, delay)


def _intent(entry: ServiceEntry) -> tuple[object, ...]:
    """Everything about a ModelService that people decide."""
    return entry.uid, entry.generation, entry.deleting, entry.intent


def _wish(rollout: Mapping[str, Any]) -> tuple[object, ...]:
    """Everything about a RuntimeRollout that people decide."""
    metadata = rollout["metadata"]
    return metadata["uid"], metadata.get("generation"), metadata.get("annotations")


def _debounce_seconds(child: Child) -> float:
    """How long to wait for what else changes soon."""
    is_moving = isinstance(child, DeploymentChild) and child.is_moving
    return MOVING_DEBOUNCE_SECONDS if is_moving else CHILD_DEBOUNCE_SECONDS


def _significance(child: Child) -> dict[str, Any]:
    """Everything about a child but its resourceVersion, a revision's (compressed) data and measurements.

    A Deployment whose pods came and went while nobody watched differs in its resourceVersion alone.
    """
    facts = msgspec.structs.asdict(child)
    if not isinstance(child, DeploymentChild):
        del facts["resource_version"]
    facts.pop("data", None)
    facts.pop("metrics", None)
    return facts
