"""The cache: what the operator has seen of the cluster, as compact as decisions allow.

It never goes backwards: an object replaces another one of the same name only with a higher
resourceVersion. Those are compared as integers, which Kubernetes guarantees since 1.35 and has always done
before. So the answer of a write can be put in at once (read-your-writes), and the watch event that repeats
it, or an older one, changes nothing. No I/O, no clock.

Memory at 5,000 services: ModelServices are kept as JSON text; the snapshots of revisions, which resemble
each other, are compressed against the first one seen.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from modelservice_operator.cache.entries import ServiceEntry, read_service, without_managed_fields
from modelservice_operator.cache.fleet import FleetBook
from modelservice_operator.cache.ports import PortBook
from modelservice_operator.cache.snapshots import SnapshotCompressor
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.labels import NAME
from modelservice_operator.facts.observed import (
    Child,
    ClusterFacts,
    DeploymentChild,
    Observed,
    RevisionChild,
    SliceChild,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from modelservice_operator.facts.gateways import Gateway, GatewayClass

TOMBSTONES = 10_000
"""Deletions remembered, so that an answer that was overtaken by a deletion brings nothing back."""

ChildT = TypeVar("ChildT", bound=Child)
PlaceT = TypeVar("PlaceT")
FactT = TypeVar("FactT")


class ChildChange(NamedTuple):
    """What putting or removing a child changed."""

    before: Child | None
    after: Child | None


def is_newer(candidate: str, known: str) -> bool:
    """Whether a resourceVersion is higher; versions that are no numbers are taken as newer if they differ."""
    try:
        return int(candidate) > int(known)
    except ValueError:
        return candidate != known


def owner_key(child: Child) -> Key | None:
    """The ModelService that a child concerns: its owner, else the one that its label names."""
    name = child.owner_name or child.labels.get(NAME)
    return Key(child.namespace, name) if name else None


class Store:
    """Cached ModelServices, ModelRuntimes and children."""

    def __init__(self) -> None:
        self._services: dict[Key, ServiceEntry] = {}
        self._runtimes: dict[str, dict[str, Any]] = {}
        self._children: dict[tuple[str, str, str], Child] = {}
        """By kind, namespace and name."""
        self._by_owner: dict[Key, dict[tuple[str, str], Child]] = {}
        self._gateways: dict[tuple[str, str], Gateway] = {}
        self._gateway_classes: dict[str, GatewayClass] = {}
        self._offers: dict[tuple[str, str | None], tuple[bool, bool]] = {}
        """By kind and watched namespace (None for all): whether it is served there, and whether forbidden."""
        self._tombstones: OrderedDict[str, str] = OrderedDict()
        """UID -> resourceVersion of its deletion."""
        self._snapshots = SnapshotCompressor()
        self.cluster = ClusterFacts()
        """What every view tells of the cluster."""
        self.ports = PortBook()
        """Which ports of the activator belong to whom."""
        self.fleet = FleetBook()
        """RuntimeRollouts, and whom they concern."""

    # ModelServices

    def put_service(self, obj: Mapping[str, Any]) -> tuple[ServiceEntry | None, ServiceEntry] | None:
        """Keep a ModelService; (before, after), or None where the object is not news."""
        metadata = obj["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        before = self._services.get(key)
        version = metadata["resourceVersion"]
        if before is not None and not is_newer(version, before.resource_version):
            return None
        if self._is_dead(metadata["uid"], version):
            return None
        self._services[key] = after = read_service(obj)
        return before, after

    def remove_service(self, key: Key, uid: str, resource_version: str) -> bool:
        """Drop a deleted ModelService; False where this object was not here (any more)."""
        self._bury(uid, resource_version)
        known = self._services.get(key)
        if known is None or known.uid != uid:
            return False
        del self._services[key]
        return True

    def service(self, key: Key) -> ServiceEntry | None:
        """The cached ModelService."""
        return self._services.get(key)

    def service_keys(self) -> list[Key]:
        """Keys of all ModelServices."""
        return list(self._services)

    def services_for_runtime(self, name: str, *, is_default: bool) -> Iterator[Key]:
        """ModelServices that name this ModelRuntime, or none where it is the default."""
        for key, entry in self._services.items():
            if entry.runtime_ref == name or (is_default and entry.runtime_ref is None):
                yield key

    # ModelRuntimes

    def put_runtime(self, obj: Mapping[str, Any]) -> bool:
        """Keep a ModelRuntime; whether it is news."""
        metadata = obj["metadata"]
        known = self._runtimes.get(metadata["name"])
        version = metadata["resourceVersion"]
        if known is not None and not is_newer(version, known["metadata"]["resourceVersion"]):
            return False
        if self._is_dead(metadata["uid"], version):
            return False
        self._runtimes[metadata["name"]] = without_managed_fields(obj)
        return True

    def remove_runtime(self, name: str, uid: str, resource_version: str) -> bool:
        """Drop a deleted ModelRuntime; False where this object was not here."""
        self._bury(uid, resource_version)
        known = self._runtimes.get(name)
        if known is None or known["metadata"]["uid"] != uid:
            return False
        del self._runtimes[name]
        return True

    def runtimes(self) -> tuple[dict[str, Any], ...]:
        """All ModelRuntimes, by name."""
        return tuple(self._runtimes[name] for name in sorted(self._runtimes))

    # RuntimeRollouts

    def put_rollout(self, obj: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]] | None:
        """Keep a RuntimeRollout; (before, after), or None where the object is not news."""
        metadata = obj["metadata"]
        before, version = self.fleet.rollout(metadata["name"]), metadata["resourceVersion"]
        if before is not None and not is_newer(version, before["metadata"]["resourceVersion"]):
            return None
        if self._is_dead(metadata["uid"], version):
            return None
        self.fleet.put(obj)
        after = self.fleet.rollout(metadata["name"])
        assert after is not None
        return before, after

    def remove_rollout(self, name: str, uid: str, resource_version: str) -> bool:
        """Drop a deleted RuntimeRollout; False where this object was not here."""
        self._bury(uid, resource_version)
        known = self.fleet.rollout(name)
        if known is None or known["metadata"]["uid"] != uid:
            return False
        self.fleet.remove(name)
        return True

    # What comes and goes with what else is installed

    def offer(
        self, kind: str, *, scope: str | None = None, is_served: bool, is_forbidden: bool = False
    ) -> bool:
        """Keep whether an optional kind is served in a namespace, or only not to us; whether that is news.

        What one namespace lacks takes nothing from the others.
        """
        before, one = self.cluster, frozenset({kind})
        self._offers[kind, scope] = is_served, is_forbidden
        said = [offer for (known, _), offer in self._offers.items() if known == kind]
        served, forbidden = any(served for served, _ in said), any(forbidden for _, forbidden in said)
        self.cluster = replace(
            before,
            kinds=before.kinds | one if served else before.kinds - one,
            forbidden=before.forbidden | one if forbidden and not served else before.forbidden - one,
        )
        return self.cluster != before

    def put_gateway(self, namespace: str, name: str, gateway: Gateway | None) -> bool:
        """Keep a Gateway, or drop it; whether that is news."""
        if not _put(self._gateways, (namespace, name), gateway):
            return False
        self.cluster = replace(self.cluster, gateways=tuple(self._gateways.values()))
        return True

    def put_gateway_class(self, name: str, gateway_class: GatewayClass | None) -> bool:
        """Keep a GatewayClass, or drop it; whether that is news."""
        if not _put(self._gateway_classes, name, gateway_class):
            return False
        self.cluster = replace(self.cluster, gateway_classes=tuple(self._gateway_classes.values()))
        return True

    def gateway_names(self) -> list[tuple[str, str]]:
        """Namespaces and names of all Gateways."""
        return list(self._gateways)

    def gateway_class_names(self) -> list[str]:
        """Names of all GatewayClasses."""
        return list(self._gateway_classes)

    def routed_services(self) -> list[Key]:
        """ModelServices that want a route."""
        return [key for key, entry in self._services.items() if entry.is_routed]

    # Children

    def is_news(self, kind: str, namespace: str, name: str, uid: str, version: str) -> bool:
        """Whether this state of a child is newer than what is known of it, a deletion too."""
        known = self._children.get((kind, namespace, name))
        is_known = known is not None and not is_newer(version, known.resource_version)
        return not is_known and not self._is_dead(uid, version)

    def put_child(self, child: Child) -> ChildChange | None:
        """Keep a child; None where it is not news."""
        if not self.is_news(child.kind, child.namespace, child.name, child.uid, child.resource_version):
            return None
        before = self._children.get((child.kind, child.namespace, child.name))
        if isinstance(child, RevisionChild):
            child = replace(child, data=self._snapshots.compress(child.data))
        if before is not None:
            self._unlink(before)
        self._link(child)
        key = owner_key(child)
        if isinstance(child, SliceChild) and key is not None:
            self.ports.note(key, child.slice.ports)
        return ChildChange(before, child)

    def remove_child(
        self, kind: str, namespace: str, name: str, uid: str, resource_version: str
    ) -> ChildChange | None:
        """Drop a deleted child (or one that left our label selector); None where it was not here."""
        self._bury(uid, resource_version)
        known = self._children.get((kind, namespace, name))
        if known is None or known.uid != uid:
            return None
        self._unlink(known)
        key = owner_key(known)
        if isinstance(known, SliceChild) and key is not None:
            self.ports.release(key)
        return ChildChange(known, None)

    def forget_children(self, kind: str, namespace: str | None) -> None:
        """Drop what is not served (there) any more; nobody knows whether it is gone for good."""
        for child in list(self.children(kind)):
            if namespace in (None, child.namespace):
                self._unlink(child)

    def mark_deleting(self, child: Child) -> None:
        """The API server accepted our deletion: do not count on this child until its event comes."""
        known = self._children.get((child.kind, child.namespace, child.name))
        if known is not None and known.uid == child.uid:
            self._unlink(known)
            self._link(replace(known, deleting=True))

    def child(self, kind: str, namespace: str, name: str) -> Child | None:
        """A cached child. The data of a revision is compressed here; `observe` restores it."""
        return self._children.get((kind, namespace, name))

    def children(self, kind: str) -> Iterator[Child]:
        """Every cached child of one kind."""
        return (child for place, child in self._children.items() if place[0] == kind)

    def counts(self) -> dict[str, int]:
        """Number of objects by kind."""
        counts = {"ModelService": len(self._services), "ModelRuntime": len(self._runtimes)}
        for kind, _, _ in self._children:
            counts[kind] = counts.get(kind, 0) + 1
        return counts

    def observe(self, key: Key) -> Observed | None:
        """One consistent view of a ModelService and its surroundings; None where there is none."""
        entry = self._services.get(key)
        if entry is None:
            return None
        children = self._by_owner.get(key, {}).values()
        return Observed(
            service=msgspec.json.decode(entry.raw),
            runtimes=self.runtimes(),
            revisions=tuple(
                replace(child, data=self._snapshots.expand(child.data))
                for child in _of_type(children, RevisionChild)
            ),
            deployments=_of_type(children, DeploymentChild),
            others=tuple(
                child for child in children if not isinstance(child, RevisionChild | DeploymentChild)
            ),
            cluster=self.cluster,
            assignment=self.fleet.assignment(key, entry.uid),
        )

    def _link(self, child: Child) -> None:
        self._children[child.kind, child.namespace, child.name] = child
        key = owner_key(child)
        if key is not None:
            self._by_owner.setdefault(key, {})[child.kind, child.name] = child

    def _unlink(self, child: Child) -> None:
        del self._children[child.kind, child.namespace, child.name]
        key = owner_key(child)
        if key is not None:
            siblings = self._by_owner[key]
            del siblings[child.kind, child.name]
            if not siblings:
                del self._by_owner[key]

    def _bury(self, uid: str, resource_version: str) -> None:
        self._tombstones[uid] = resource_version
        self._tombstones.move_to_end(uid)
        if len(self._tombstones) > TOMBSTONES:
            self._tombstones.popitem(last=False)

    def _is_dead(self, uid: str, resource_version: str) -> bool:
        """Whether this state is from before the object's deletion (or before it left our selector)."""
        deleted_at = self._tombstones.get(uid)
        return deleted_at is not None and not is_newer(resource_version, deleted_at)


def _put(known: dict[PlaceT, FactT], place: PlaceT, fact: FactT | None) -> bool:
    before = known.get(place)
    if fact is None:
        known.pop(place, None)
    else:
        known[place] = fact
    return before != fact


def _of_type(children: Iterable[Child], child_type: type[ChildT]) -> tuple[ChildT, ...]:
    return tuple(child for child in children if isinstance(child, child_type))
